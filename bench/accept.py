"""Accepting: ours against one INSERT per webhook, in Python and in Node, and against the two limits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench import pgbench
from bench.contenders import BARE, EXPRESS, NAIVE, OURS, Round, everybody, rounds
from bench.figures import NAN, median, ratio
from bench.place import Place
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, times

NAME = "accept"
TITLE = "Accepting webhooks, as fast as they are answered"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Rounds by contender; rows a second and CPU per row by way of pgbench; who could not take part."""

    rounds: Mapping[str, Sequence[Round]]
    limits: Mapping[str, Sequence[tuple[float, float]]]
    absent: Sequence[str]


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    return Section(name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=asdict(found))


async def measure(place: Place) -> Accepted:
    """Let everybody accept in turns, and pgbench insert after each turn."""
    async with everybody(place) as (contenders, absent):
        found = await rounds(place, contenders, place.scale.webhooks)
    limits: dict[str, list[tuple[float, float]]] = {}
    binary = pgbench.program()
    if binary is None:
        return Accepted(found, limits, [*absent, "pgbench: left out, it is not on this machine"])
    for limit in pgbench.LIMITS:
        url = await place.gateway_database("limit")
        for _ in range(place.scale.rounds):
            await place.settle()
            limits.setdefault(limit.name, []).append(await pgbench.measured(place, binary, url, limit))
    return Accepted(found, limits, absent)


def table(found: Accepted) -> str:
    """Return the figures and what ours is to each."""
    ours = found.rounds[OURS]
    rows = []
    for name, theirs in found.rounds.items():
        rates, cpu = [one.rate for one in theirs], [one.cpu_us for one in theirs]
        rows.append([
            name, figure(median(rates), "/s"), times(ratio([one.rate for one in ours], rates)),
            figure(median(cpu), " us"), figure(median([one.database_us for one in theirs]), " us"),
            times(ratio([one.cpu_us for one in ours], cpu)),
            figure(median([one.p50 for one in theirs]), " ms"), figure(median([one.p99 for one in theirs]), " ms"),
        ])  # fmt: skip
    for name, measured in found.limits.items():
        rates, cpu = [rate for rate, _ in measured], [spent for _, spent in measured]
        ours_to_it = ratio([one.rate for one in ours], rates)
        rows.append([name, figure(median(rates), "/s"), times(ours_to_it), *[figure(median(cpu), " us")] * 2,
                     times(ratio([one.cpu_us for one in ours], cpu)), "-", "-"])  # fmt: skip
    head = ["", "rate", "ours to it", "CPU per webhook", "of it Postgres", "ours to it", "median", "99 %"]
    refused = {name: sum(one.refused for one in theirs) for name, theirs in found.rounds.items()}
    notes = [f"{name}: {count:,} were not accepted" for name, count in refused.items() if count]
    return "\n".join([markdown(head, rows), _targets(found), *(f"- {line}" for line in (*notes, *found.absent))]) + "\n"


def _targets(found: Accepted) -> str:
    def rate(name: str) -> float:
        theirs = found.rounds.get(name)
        return ratio([one.rate for one in found.rounds[OURS]], [one.rate for one in theirs]) if theirs else NAN

    cpu = ratio([one.cpu_us for one in found.rounds[OURS]], [one.cpu_us for one in found.rounds[NAIVE]])
    rows = [
        ["rate, to one INSERT each in Python", times(rate(NAIVE)), "at least 1.5 x"],
        ["rate, to one INSERT each in Node", times(rate(EXPRESS)), "at least 2 x"],
        ["rate, to no database at all", times(rate(BARE)), "at least 0.6 x"],
        ["CPU per webhook, to one INSERT each in Python", times(cpu), "at most 0.6 x"],
    ]
    return markdown(["target", "measured", "wanted"], rows)


def plots(found: Accepted) -> dict[str, str]:
    """Return the rates and the CPU times as bars."""
    rates = {name: median([one.rate for one in theirs]) for name, theirs in found.rounds.items()}
    rates |= {name: median([rate for rate, _ in measured]) for name, measured in found.limits.items()}
    cpu = {name: median([one.cpu_us for one in theirs]) for name, theirs in found.rounds.items()}
    return {
        "accept-rate.svg": bars("Webhooks accepted a second", rates, unit="/s"),
        "accept-cpu.svg": bars("CPU time per webhook, Postgres included", cpu, unit=" us"),
    }
