"""Memory after some and after many webhooks: nothing may stay behind."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.children import BenchFailure, resident_bytes
from bench.driving import Asked, load, new_run
from bench.gateways import PATH, Served, gateway
from bench.place import Place
from bench.queues import Faurya, faurya
from bench.report import Section
from bench.svg import bars
from bench.tables import markdown, megabytes, times

NAME = "memory"
TITLE = "Memory after many webhooks"


@dataclass(frozen=True, slots=True)
class Weighed:
    """Bytes in RAM of the gateway's processes at the start and after so many webhooks."""

    name: str
    empty: int
    after: Sequence[tuple[int, int]]


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    return Section(
        name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=[asdict(each) for each in found]
    )


async def measure(place: Place) -> list[Weighed]:
    """Accept many webhooks without a worker; accept and deliver fewer with one."""
    found = [await _weighed(place, "the whole way", place.scale.memory_delivered, worker=True)]
    if place.scale.variants:
        found.append(await _weighed(place, "accepting only", place.scale.memory_webhooks, worker=False))
    return found


async def _weighed(place: Place, name: str, counts: Sequence[int], *, worker: bool) -> Weighed:
    url = await place.gateway_database("memory")
    async with (
        faurya(place) as stand_in,
        gateway(place, url, worker=worker, faurya=f"http://127.0.0.1:{stand_in.port}") as served,
    ):
        empty, sent, after = resident_bytes(served.roots), 0, []
        for count in counts:
            await _sent(place, served, count - sent, stand_in if worker else None)
            sent = count
            after.append((count, resident_bytes(served.roots)))
    await place.drop(url)
    return Weighed(name, empty, after)


async def _sent(place: Place, served: Served, count: int, stand_in: Faurya | None) -> None:
    run = new_run()
    asked = [Asked(path=PATH, run=run, count=count)]
    async with load(served.port, asked, connections=place.scale.connections, keep=False) as ready:
        (await ready.go()).demand_accepted("memory")
    if stand_in and not await stand_in.has(run, count, place.scale.drain_seconds):
        raise BenchFailure(f"of {count} webhooks {await stand_in.count(run)} were recorded in time")


def table(found: Sequence[Weighed]) -> str:
    """Return the bytes by webhooks."""
    rows = []
    for each in found:
        (few, before), (many, after) = each.after
        rows.append([each.name, megabytes(each.empty), f"{megabytes(before)} ({few:,})",
                     f"{megabytes(after)} ({many:,})", times(after / before)])  # fmt: skip
    head = ["", "at the start", "after some webhooks", "after many", "grown"]
    targets = [[f"{each.name}, after many to after some", times(each.after[1][1] / each.after[0][1]), "at most 1.1 x"]
               for each in found]  # fmt: skip
    return markdown(head, rows) + "\n" + markdown(["target", "measured", "wanted"], targets)


def plots(found: Sequence[Weighed]) -> dict[str, str]:
    """Return the megabytes as bars."""
    values = {}
    for each in found:
        values[f"{each.name}, at the start"] = each.empty / 1e6
        values |= {f"{each.name}, after {count:,}": size / 1e6 for count, size in each.after}
    return {"memory.svg": bars("Memory of the gateway's process", values, unit=" MB")}
