"""One site's Faurya is dead, in three ways: the other sites' deliveries may hardly be later for it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median

from bench.bodies import unique
from bench.children import free_port
from bench.driving import Asked, load, new_run
from bench.figures import percentile
from bench.gateways import SITE, gateway, secret_of
from bench.place import Place
from bench.queues import Faurya, faurya
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, times

NAME = "neighbours"
TITLE = "A site whose Faurya is dead, and its neighbours"
OTHERS = ("quiet-1", "quiet-2", "quiet-3")
OTHERS_RATE = 20
RATE = 40
"""Sales a second of the site whose Faurya is dead: twice those of a neighbour."""

WELL, REFUSING, HANGING, FAILING = "well", "refuses connections", "never answers", "answers 503"
HOWS = (WELL, REFUSING, HANGING, FAILING)
FAILURE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Milliseconds of the neighbours' whole way, round by round, by what the one site's Faurya does."""

    rounds: int
    ways: Mapping[str, Sequence[Sequence[float]]]

    def of(self, how: str, share: float) -> float:
        """Return the median over the rounds of a percentile."""
        return median(percentile(took, share) for took in self.ways[how])


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    shares = {how: {"median": found.of(how, 0.5), "95 %": found.of(how, 0.95)} for how in HOWS}
    plot = bars("The neighbours' way to Faurya, 95 %", {how: of["95 %"] for how, of in shares.items()}, unit=" ms")
    figures = {**asdict(found), "shares": shares}
    return Section(name=NAME, title=TITLE, text=table(found), plots={"neighbours.svg": plot}, figures=figures)


async def measure(place: Place) -> Neighbours:
    """Interleave rounds in which one site's Faurya is well with rounds in which it is not."""
    ways: dict[str, list[list[float]]] = {how: [] for how in HOWS}
    for number in range(place.scale.rounds):
        for how in HOWS[number % len(HOWS) :] + HOWS[: number % len(HOWS)]:
            ways[how].append(await _round(place, how))
    return Neighbours(rounds=place.scale.rounds, ways=ways)


async def _round(place: Place, how: str) -> list[float]:
    url = await place.gateway_database("neighbours")
    async with faurya(place) as stand_in, _other(how, stand_in.port) as port:
        apart = {SITE: f"http://127.0.0.1:{port}"}
        where = f"http://127.0.0.1:{stand_in.port}"
        async with gateway(place, url, worker=True, faurya=where, sites=(SITE, *OTHERS), apart_faurya=apart) as served:
            took = await _ways(place, stand_in, served.port)
    await place.drop(url)
    return took


async def _ways(place: Place, stand_in: Faurya, port: int) -> list[float]:
    seconds = place.scale.calm_seconds
    asked = [
        Asked(path=f"/webhooks/{site}/paddle", run=new_run(), rate=rate, end=seconds, secret=secret_of(site))
        for site, rate in ((SITE, RATE), *((site, OTHERS_RATE) for site in OTHERS))
    ]
    async with load(port, asked, connections=place.scale.connections) as ready:
        done = await ready.go()
    took: list[float] = []
    for stream in done.streams[1:]:
        await stand_in.has(stream.run, stream.accepted, place.scale.drain_seconds)
        recorded, _ = await stand_in.recorded(stream.run)
        for number, moment in enumerate(stream.moments):
            if moment > seconds / 4:  # by then the circuit of the dead one is open
                took.append((recorded[unique(stream.run, number)] - done.began - moment) * 1000)
    return took


@asynccontextmanager
async def _other(how: str, well: int) -> AsyncIterator[int]:
    """Yield the port of the Faurya of the one site."""
    if how == WELL:
        yield well
        return
    if how == REFUSING:
        yield free_port()
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if how == FAILING:
                writer.write(FAILURE)
                await writer.drain()
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def table(found: Neighbours) -> str:
    """Return how much later the neighbours' deliveries were."""
    well = found.of(WELL, 0.5), found.of(WELL, 0.95)
    rows = [
        [f"one site's Faurya {'is ' if how == WELL else ''}{how}", figure(found.of(how, 0.5), " ms"),
         figure(found.of(how, 0.95), " ms"), times(found.of(how, 0.5) / well[0]), times(found.of(how, 0.95) / well[1])]
        for how in HOWS
    ]  # fmt: skip
    worst = max(found.of(how, 0.5) / well[0] for how in HOWS[1:])
    return (
        f"Three sites with {OTHERS_RATE} sales a second each beside one with {RATE}; the whole way from the webhook to "
        f"Faurya's answer, medians of {found.rounds} interleaved rounds.\n\n"
        + markdown(["", "median", "95 %", "median grown", "95 % grown"], rows)
        + "\n"
        + markdown(["target", "measured", "wanted"], [["the neighbours' delay, median", times(worst), "below 1.2 x"]])
    )
