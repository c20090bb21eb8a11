"""
One site is flooded for a minute: nothing may be lost, and the other sites may hardly notice.

The other sites have senders and connections of their own, as their providers have: what waits at the loud site's sender
is not theirs to wait for.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.bodies import unique
from bench.driving import Asked, Came, Load, load, new_run
from bench.figures import percentile
from bench.gateways import SITE, Served, gateway, secret_of
from bench.place import Place
from bench.queues import Faurya, faurya
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, times

NAME = "burst"
TITLE = "A burst from one site"
OTHERS = ("quiet-1", "quiet-2", "quiet-3")
OTHERS_RATE = 10
CONNECTIONS, OTHERS_CONNECTIONS = 256, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """
    What became of the burst: sent, answered 200 and kept by the database, and how long all deliveries took.

    Milliseconds of the other sites' answers and of their whole way to Faurya, in the calm before and in the burst.
    """

    rate: int
    seconds: float
    sent: int
    accepted: int
    kept: int
    recorded: int
    statuses: Mapping[str, int]
    drained_after: float
    answers: Mapping[str, Sequence[float]]
    whole_way: Mapping[str, Sequence[float]]
    own_answers: Sequence[float]


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    figures = {**asdict(found), "answers": _shares(found.answers), "whole_way": _shares(found.whole_way),
               "own_answers": percentile(found.own_answers, 0.95)}  # fmt: skip
    return Section(name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=figures)


async def measure(place: Place) -> Burst:
    """Let three sites send a little all the time, and one a great deal after a while."""
    url = await place.gateway_database("burst")
    sites = (SITE, *OTHERS)
    async with (
        faurya(place) as stand_in,
        gateway(place, url, worker=True, faurya=f"http://127.0.0.1:{stand_in.port}", sites=sites) as served,
    ):
        quiet, loud = await _loads(place, served)
        burst = await _judged(place, url, stand_in, quiet, loud)
    await place.drop(url)
    return burst


async def _loads(place: Place, served: Served) -> tuple[Load, Load]:
    calm, end = place.scale.calm_seconds, place.scale.calm_seconds + place.scale.burst_seconds
    quiet = [
        Asked(path=f"/webhooks/{site}/paddle", run=new_run(), rate=OTHERS_RATE, end=end, secret=secret_of(site))
        for site in OTHERS
    ]
    loud = Asked(path=f"/webhooks/{SITE}/paddle", run=new_run(), rate=place.scale.burst_rate, begin=calm, end=end)
    async with (
        load(served.port, quiet, connections=OTHERS_CONNECTIONS) as others,
        load(served.port, [loud], connections=CONNECTIONS) as ready,
    ):
        theirs, its = await asyncio.gather(others.go(), ready.go())
        return theirs, its


async def _judged(place: Place, url: str, stand_in: Faurya, quiet: Load, loud: Load) -> Burst:
    calm, streams = place.scale.calm_seconds, [*quiet.streams, *loud.streams]
    recorded: dict[str, float] = {}
    for stream in streams:
        await stand_in.has(stream.run, stream.accepted, place.scale.drain_seconds)
        recorded |= (await stand_in.recorded(stream.run))[0]
    answers: dict[str, list[float]] = {"calm": [], "burst": []}
    whole: dict[str, list[float]] = {"calm": [], "burst": []}
    for stream in quiet.streams:
        for left, took in zip(stream.left, stream.took, strict=True):
            answers["calm" if left - quiet.began < calm else "burst"].append(took * 1000)
        for moment, taken in _ways(stream, quiet.began, recorded):
            whole["calm" if moment < calm else "burst"].append(taken * 1000)
    return Burst(
        rate=place.scale.burst_rate,
        seconds=place.scale.burst_seconds,
        sent=sum(stream.count for stream in streams),
        accepted=sum(stream.accepted for stream in streams),
        kept=await place.ask(url, "SELECT count(*) FROM inbox"),
        recorded=len(recorded),
        statuses=loud.streams[0].statuses,
        drained_after=max(recorded.values()) - (loud.began + loud.seconds),
        answers=answers,
        whole_way=whole,
        own_answers=[took * 1000 for took in loud.streams[0].took],
    )


def _ways(stream: Came, began: float, recorded: Mapping[str, float]) -> list[tuple[float, float]]:
    """Return the moment of each webhook that was recorded, and the seconds until then."""
    found = []
    for number, moment in enumerate(stream.moments):
        at = recorded.get(unique(stream.run, number))
        if at is not None:
            found.append((moment, at - began - moment))
    return found


def _shares(times_of: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {name: {"median": percentile(took, 0.5), "95 %": percentile(took, 0.95), "99 %": percentile(took, 0.99)}
            for name, took in times_of.items()}  # fmt: skip


def table(found: Burst) -> str:
    """Return what became of the burst and of the others."""
    answers, whole = _shares(found.answers), _shares(found.whole_way)
    rows = [
        [what, figure(of["calm"]["95 %"], " ms"), figure(of["burst"]["95 %"], " ms"),
         times(of["burst"]["95 %"] / of["calm"]["95 %"])]
        for what, of in (("answer, 95 %", answers), ("whole way to Faurya, 95 %", whole))
    ]  # fmt: skip
    own = figure(percentile(found.own_answers, 0.95), " ms")
    said = ", ".join(f"{count:,} times {status}" for status, count in found.statuses.items())
    lost = found.accepted - found.kept
    targets = [
        ["accepted and not kept", f"{lost:,}", "0"],
        ["accepted and not recorded at Faurya", f"{found.accepted - found.recorded:,}", "0"],
        ["the other sites' answers, 95 %", times(answers["burst"]["95 %"] / answers["calm"]["95 %"]), "below 2 x"],
    ]
    return (
        f"{found.rate:,} webhooks a second from one site for {found.seconds:g} s beside three sites with {OTHERS_RATE} "
        f"a second each: {found.sent:,} sent, {found.accepted:,} accepted, {found.kept:,} kept. The loud site was "
        f"answered {said}; 95 % within {own}. Of the accepted, {found.recorded:,} were recorded at Faurya, the last "
        f"one {found.drained_after:.0f} s after the last answer.\n\n"
        + markdown(["the other sites", "calm", "burst", "grown"], rows)
        + "\n"
        + markdown(["target", "measured", "wanted"], targets)
    )


def plots(found: Burst) -> dict[str, str]:
    """Return the other sites' 95 % as bars."""
    answers, whole = _shares(found.answers), _shares(found.whole_way)
    values = {
        "answer, calm": answers["calm"]["95 %"],
        "answer, burst": answers["burst"]["95 %"],
        "whole way, calm": whole["calm"]["95 %"],
        "whole way, burst": whole["burst"]["95 %"],
    }
    return {"burst.svg": bars("The other sites' webhooks, 95 %", values, unit=" ms")}
