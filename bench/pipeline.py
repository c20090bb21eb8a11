"""The whole way: from a webhook's arrival to Faurya's answer, against the same job through two queues."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.bodies import unique
from bench.children import BenchFailure, cpu_seconds
from bench.driving import Asked, Came, Load, load, new_run
from bench.figures import NAN, median, per_webhook, percentile, ratio
from bench.gateways import PATH
from bench.place import Place
from bench.queues import APART, OURS, PGQUEUER, Pipeline, everybody
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, times

NAME = "pipeline"
TITLE = "The whole way, from a webhook to Faurya's answer"
CONNECTIONS = 128
WARM_UP = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One round: webhooks a second that went the whole way, CPU per webhook, and latency (ms) at the given rate."""

    rate: float
    cpu_us: float
    p50: float
    p95: float
    p99: float
    refused: int


@dataclass(frozen=True, slots=True)
class Found:
    """Rounds by contender, for each time (ms) that Faurya takes to answer; who could not take part."""

    ways: Mapping[int, Mapping[str, Sequence[Way]]]
    absent: Sequence[str]


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    text = table(found, place.scale.pipeline_rate)
    return Section(name=NAME, title=TITLE, text=text, plots=plots(found), figures=asdict(found))


async def measure(place: Place) -> Found:
    """Let everybody go the whole way in turns."""
    ways: dict[int, dict[str, list[Way]]] = {}
    absent: dict[str, None] = {}
    for delay in place.scale.pipeline_delays:
        async with everybody(place, delay) as (pipelines, missing):
            absent |= dict.fromkeys(missing)
            found = ways[delay] = {each.who.name: [] for each in pipelines}
            for each in pipelines if place.scale.warm_up else ():
                await _flooded(place, each, WARM_UP)
            await place.analyze()
            for number in range(place.scale.rounds):
                for each in pipelines[:: 1 if number % 2 else -1]:
                    await place.settle()
                    found[each.who.name].append(await _way(place, each, number))
    return Found(ways, list(absent))


async def _way(place: Place, each: Pipeline, seed: int) -> Way:
    rate, cpu_us, refused = await _flooded(place, each, place.scale.pipeline_webhooks)
    took, refused_too = await _paced(place, each, seed)
    return Way(
        rate=rate,
        cpu_us=cpu_us,
        p50=percentile(took, 0.5) * 1000,
        p95=percentile(took, 0.95) * 1000,
        p99=percentile(took, 0.99) * 1000,
        refused=refused + refused_too,
    )


async def _flooded(place: Place, each: Pipeline, count: int) -> tuple[float, float, int]:
    """Send at full speed; return how many a second went the whole way, their CPU time, and how many were refused."""
    run = new_run()
    asked = [Asked(path=PATH, run=run, count=count)]
    async with load(each.who.port, asked, connections=place.scale.connections) as ready:
        roots = [*each.who.roots, place.postmaster]
        before = cpu_seconds(roots)
        done = await ready.go()
        recorded = await _recorded(place, each, done.streams[0])
        spent = cpu_seconds(roots) - before
    seconds = max(recorded.values()) - done.began
    return len(recorded) / seconds, per_webhook(spent, len(recorded)), done.streams[0].refused


async def _paced(place: Place, each: Pipeline, seed: int) -> tuple[list[float], int]:
    """Send at the rate; return the seconds from when each should have left to Faurya's answer, and the refused."""
    run = new_run()
    asked = [Asked(path=PATH, run=run, rate=place.scale.pipeline_rate, end=place.scale.pipeline_seconds)]
    async with load(each.who.port, asked, connections=CONNECTIONS, seed=seed) as ready:
        done = await ready.go()
    return whole_way(done, await _recorded(place, each, done.streams[0])), done.streams[0].refused


def whole_way(done: Load, recorded: Mapping[str, float]) -> list[float]:
    """Return the seconds that each accepted webhook of a paced load took until it was recorded."""
    stream = done.streams[0]
    return [
        recorded[key] - (done.began + moment)
        for number, moment in enumerate(stream.moments)
        if (key := unique(stream.run, number)) in recorded
    ]


async def _recorded(place: Place, each: Pipeline, sent: Came) -> dict[str, float]:
    """Wait for the last one that was accepted; raise where one is missing or was recorded twice."""
    complete = await each.faurya.has(sent.run, sent.accepted, place.scale.drain_seconds)
    recorded, calls = await each.faurya.recorded(sent.run)
    if not complete or calls != len(recorded):
        raise BenchFailure(f"{each.who.name}: of {sent.statuses} {len(recorded)} were recorded, in {calls} calls")
    return recorded


def table(found: Found, rate: int) -> str:
    """Return the figures and what ours is to each."""
    parts = []
    for delay, ways in found.ways.items():
        ours = [way.rate for way in ways[OURS]]
        rows = [
            [
                name, figure(median([way.rate for way in each]), "/s"), times(ratio(ours, [way.rate for way in each])),
                figure(median([way.cpu_us for way in each]), " us"), figure(median([way.p50 for way in each]), " ms"),
                figure(median([way.p95 for way in each]), " ms"), figure(median([way.p99 for way in each]), " ms"),
            ]
            for name, each in ways.items()
        ]  # fmt: skip
        head = [f"Faurya answers after {delay} ms", "sustained", "ours to it", "CPU per webhook"]
        parts.append(markdown([*head, f"median at {rate}/s", "95 %", "99 %"], rows))
    parts.append(markdown(["target", "measured", "wanted"], _targets(found)))
    parts += [f"- {name}: {count:,} were not accepted ({delay} ms)" for delay, name, count in _refused(found)]
    parts += [f"- {line}" for line in found.absent]
    return "\n".join(parts) + "\n"


def _refused(found: Found) -> list[tuple[int, str, int]]:
    counts = [
        (delay, name, sum(way.refused for way in each))
        for delay, ways in found.ways.items()
        for name, each in ways.items()
    ]
    return [known for known in counts if known[2]]


def _targets(found: Found) -> list[list[str]]:
    rows = []
    for delay, ways in found.ways.items():
        theirs = [way.rate for way in ways.get(PGQUEUER, ())]
        for name in (OURS, APART) if APART in ways else (OURS,):
            measured = ratio([way.rate for way in ways[name]], theirs) if theirs else NAN
            rows.append([f"{name}: rate, to PgQueuer's ({delay} ms)", times(measured), "at least 2 x"])
    return rows


def plots(found: Found) -> dict[str, str]:
    """Return the rates and the latencies as bars."""
    drawn = {}
    for delay, ways in found.ways.items():
        rates = {name: median([way.rate for way in each]) for name, each in ways.items()}
        late = {name: median([way.p95 for way in each]) for name, each in ways.items()}
        note = f"Faurya answers after {delay} ms"
        drawn[f"pipeline-rate-{delay}.svg"] = bars(f"Webhooks a second, the whole way ({note})", rates, unit="/s")
        drawn[f"pipeline-latency-{delay}.svg"] = bars(f"95 % of webhooks recorded within ({note})", late, unit=" ms")
    return drawn
