"""Several processes on one port against one."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

from bench.children import resident_bytes
from bench.contenders import Round, ours, rounds
from bench.figures import median, ratio
from bench.place import Place
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, megabytes, times

NAME = "several"
TITLE = "Several processes (`--processes`)"


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found, memory = await measure(place)
    figures = {name: [asdict(one) for one in each] for name, each in found.items()}
    return Section(name=NAME, title=TITLE, text=table(found, memory), plots=plots(found), figures=figures)


async def measure(place: Place) -> tuple[dict[str, list[Round]], dict[str, int]]:
    """Let one process and several accept in turns."""
    async with AsyncExitStack() as stack:
        contenders = [
            await stack.enter_async_context(ours(place, _name(count), processes=count))
            for count in place.scale.processes
        ]
        found = await rounds(place, contenders, place.scale.webhooks)
        return found, {who.name: resident_bytes(who.roots) for who in contenders}


def _name(count: int) -> str:
    return f"{count} process{'es' * (count > 1)}"


def table(found: Mapping[str, Sequence[Round]], memory: Mapping[str, int]) -> str:
    """Return the rates, and each to that of one process."""
    one = [each.rate for each in found[_name(1)]]
    rows = [
        [name, figure(median([each.rate for each in theirs]), "/s"), times(ratio([each.rate for each in theirs], one)),
         figure(median([each.cpu_us for each in theirs]), " us"), figure(median([each.p99 for each in theirs]), " ms"),
         megabytes(memory[name])]
        for name, theirs in found.items()
    ]  # fmt: skip
    return markdown(["", "rate", "to one", "CPU per webhook", "99 %", "memory"], rows)


def plots(found: Mapping[str, Sequence[Round]]) -> dict[str, str]:
    """Return the rates as bars."""
    rates = {name: median([each.rate for each in theirs]) for name, theirs in found.items()}
    return {"several.svg": bars("Webhooks accepted a second", rates, unit="/s")}
