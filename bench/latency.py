"""How long an answer takes when the load is low or moderate: group commit must not cost anything there."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

from bench.contenders import NAIVE, OURS, Contender, one_insert_each, ours, warmed_up
from bench.driving import Asked, load, new_run
from bench.figures import median, percentile, ratio
from bench.gateways import PATH
from bench.place import Place
from bench.report import Section
from bench.svg import lines
from bench.tables import figure, markdown, times

NAME = "latency"
TITLE = "Latency of the answer at a given rate"
SHARES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99, "99.9 %": 0.999}
CONNECTIONS = 128


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds by the names of `SHARES`, how late the load itself was, how many were not answered 200."""

    shares: Mapping[str, float]
    lateness: float
    refused: int


Found = dict[int, dict[str, list[Latencies]]]
"""By webhooks a second and contender, one for each round."""


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    figures = {rate: {name: [asdict(one) for one in each] for name, each in who.items()} for rate, who in found.items()}
    return Section(name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=figures)


async def measure(place: Place) -> Found:
    """Send at every rate to both in turns."""
    found: Found = {}
    async with AsyncExitStack() as stack:
        contenders = [
            await stack.enter_async_context(ours(place)),
            await stack.enter_async_context(one_insert_each(place)),
        ]
        for who in contenders:
            await warmed_up(place, who, place.scale.webhooks)
        await place.analyze()
        for rate in place.scale.latency_rates:
            found[rate] = {who.name: [] for who in contenders}
            for number in range(place.scale.rounds):
                for who in contenders[:: 1 if number % 2 else -1]:
                    found[rate][who.name].append(await paced(place, who, rate, number))
    return found


async def paced(place: Place, who: Contender, rate: int, seed: int) -> Latencies:
    """Send at a rate, at the same moments to everybody who has the same seed."""
    await place.settle()
    asked = [Asked(path=PATH, run=new_run(), rate=rate, end=place.scale.latency_seconds)]
    async with load(who.port, asked, connections=CONNECTIONS, seed=seed) as ready:
        done = await ready.go()
    took, refused = done.streams[0].took, done.streams[0].refused
    shares = {name: percentile(took, share) * 1000 for name, share in SHARES.items()}
    return Latencies(shares, done.lateness * 1000, refused)


def table(found: Found) -> str:
    """Return the medians over the rounds, and ours to the other's."""
    rows = []
    for rate, who in found.items():
        for name, each in who.items():
            values = [figure(median([one.shares[share] for one in each]), " ms") for share in SHARES]
            rows.append([f"{rate}/s: {name}", *values, figure(median([one.lateness for one in each]), " ms")])
        rows.append([f"{rate}/s: ours to it", *[times(_ours_to_it(who, share)) for share in SHARES], ""])
    note = "\nLatency counts from the moment at which a webhook should have left. The last column is the load's own.\n"
    wanted = _ours_to_it(found[200], "99 %") if 200 in found else float("nan")
    targets = [["99 % at 200/s, to one INSERT each", times(wanted), "at most 1.2 x"]]
    head = ["", *SHARES, "late by (99 %)"]
    refused = [
        f"\n- {rate}/s: {name}: {count:,} were not accepted\n"
        for rate, who in found.items()
        for name, each in who.items()
        if (count := sum(one.refused for one in each))
    ]
    return markdown(head, rows) + note + "\n" + markdown(["target", "measured", "wanted"], targets) + "".join(refused)


def _ours_to_it(who: Mapping[str, Sequence[Latencies]], share: str) -> float:
    return ratio([one.shares[share] for one in who[OURS]], [one.shares[share] for one in who[NAIVE]])


def plots(found: Found) -> dict[str, str]:
    """Return a plot for each rate."""
    return {
        f"latency-{rate}.svg": lines(
            f"Latency at {rate} webhooks a second",
            list(SHARES),
            {name: [median([one.shares[share] for one in each]) for share in SHARES] for name, each in who.items()},
            unit=" ms",
        )
        for rate, who in found.items()
    }
