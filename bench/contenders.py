"""Who competes at accepting webhooks, and one round of it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import SECRET
from bench.children import PYTHON, BenchFailure, answers, child, cpu_seconds, free_port
from bench.driving import Asked, Load, load, new_run
from bench.figures import per_webhook, percentile
from bench.gateways import PATH, gateway
from bench.handlers import naive
from bench.place import Place, connection_parts

OURS = "Faurya Gateway"
NAIVE = "aiohttp + asyncpg, one INSERT each"
EXPRESS = "Express + Paddle's SDK + pg, one INSERT each"
BARE = "aiohttp, signature check, no database"

EXPRESS_FOLDER = Path(__file__).parent / "express"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that accepts webhooks on a port; `roots` are its processes."""

    name: str
    port: int
    roots: Sequence[int]
    kept: Callable[[], Awaitable[int]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    What one round came to: webhooks accepted a second, CPU time in microseconds for each, latency in milliseconds.

    `refused` were answered something else than 200, or nothing; a provider would have sent them again.
    """

    rate: float
    server_us: float
    database_us: float
    p50: float
    p99: float
    refused: int = 0

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per webhook, Postgres included."""
        return self.server_us + self.database_us


async def flood(place: Place, who: Contender, count: int, connections: int | None = None) -> Round:
    """Send `count` webhooks at full speed; raise `BenchFailure` where one was accepted and is not kept."""
    before = await who.kept() if who.kept else 0
    asked = [Asked(path=PATH, run=new_run(), count=count)]
    async with load(who.port, asked, connections=connections or place.scale.connections) as ready:
        server, database = cpu_seconds(who.roots), cpu_seconds([place.postmaster])
        done = await ready.go()
        server, database = cpu_seconds(who.roots) - server, cpu_seconds([place.postmaster]) - database
    if who.kept and not done.streams[0].accepted <= await who.kept() - before <= count:
        raise BenchFailure(f"{who.name}: of {done.streams[0].statuses} not all that was accepted was kept")
    return round_of(done, server, database)


async def warmed_up(place: Place, who: Contender, count: int) -> None:
    """Send a part of a round that does not count."""
    if place.scale.warm_up:
        await flood(place, who, max(1, int(count * place.scale.warm_up)))


def round_of(done: Load, server: float, database: float) -> Round:
    """Return the figures of a load and of the CPU seconds that it took."""
    took, count = done.streams[0].took, done.streams[0].accepted
    return Round(
        rate=count / done.seconds,
        server_us=per_webhook(server, count),
        database_us=per_webhook(database, count),
        p50=percentile(took, 0.5) * 1000,
        p99=percentile(took, 0.99) * 1000,
        refused=done.streams[0].refused,
    )


async def rounds(
    place: Place, contenders: Sequence[Contender], count: int, connections: int | None = None
) -> dict[str, list[Round]]:
    """Let the contenders take turns; whoever began a round is last in the next."""
    for who in contenders:
        await warmed_up(place, who, count)
    await place.analyze()
    found: dict[str, list[Round]] = {who.name: [] for who in contenders}
    order = list(contenders)
    for _ in range(place.scale.rounds):
        for who in order:
            await place.settle()
            found[who.name].append(await flood(place, who, count, connections))
        order = [*order[1:], order[0]]
    return found


def counting(place: Place, url: str, table: str) -> Callable[[], Awaitable[int]]:
    """Return a question: how many rows a table has."""

    async def count() -> int:
        return await place.ask(url, f"SELECT count(*) FROM {table}")

    return count


@asynccontextmanager
async def ours(
    place: Place, name: str = OURS, *, processes: int = 1, url: str | None = None
) -> AsyncIterator[Contender]:
    """Yield the gateway, without its worker."""
    url = url or await place.gateway_database("gateway")
    async with gateway(place, url, processes=processes) as served:
        yield Contender(name, served.port, served.roots, counting(place, url, "inbox"))


@asynccontextmanager
async def one_insert_each(place: Place) -> AsyncIterator[Contender]:
    """Yield the naive handler."""
    url = await place.database("naive", naive.TABLE)
    async with _python(place, NAIVE, "bench.handlers.naive", url) as who:
        yield who


@asynccontextmanager
async def nothing_kept(place: Place) -> AsyncIterator[Contender]:
    """Yield the handler without a database."""
    async with _python(place, BARE, "bench.handlers.signature_only", "") as who:
        yield who


@asynccontextmanager
async def _python(place: Place, name: str, module: str, url: str) -> AsyncIterator[Contender]:
    port = free_port()
    environment = {"BENCH_PORT": str(port), "BENCH_SECRET": SECRET, "BENCH_DATABASE": url}
    log = place.folder / f"{module}-{port}.log"
    async with child([PYTHON, "-m", module], log, environment=environment) as serving:
        await answers(port, "/", serving)
        yield Contender(name, port, [serving.pid], counting(place, url, "webhooks") if url else None)


@asynccontextmanager
async def express(place: Place) -> AsyncIterator[Contender | str]:
    """Yield the Node handler, or why there is none."""
    problem = await _installed()
    if problem:
        yield problem
        return
    url = await place.database("express", naive.TABLE)
    port = free_port()
    environment = {
        "BENCH_PORT": str(port), "BENCH_SECRET": SECRET, "BENCH_DATABASE": json.dumps(connection_parts(url)),
        "NODE_ENV": "production",
    }  # fmt: skip
    log = place.folder / f"express-{port}.log"
    async with child(["node", "server.js"], log, environment=environment, cwd=EXPRESS_FOLDER) as serving:
        await answers(port, "/", serving)
        yield Contender(EXPRESS, port, [serving.pid], counting(place, url, "webhooks"))


async def _installed() -> str | None:
    """Install the packages beside the program, once; return why that is impossible."""
    if not shutil.which("node"):
        return "there is no node on this machine"
    if (EXPRESS_FOLDER / "node_modules" / "express").is_dir():
        return None
    if not shutil.which("npm"):
        return "there is no npm on this machine"
    process = await asyncio.create_subprocess_exec(
        "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent",
        cwd=EXPRESS_FOLDER, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    return f"npm install failed: {said.decode()[-300:].strip()}" if process.returncode else None


@asynccontextmanager
async def everybody(place: Place) -> AsyncIterator[tuple[list[Contender], list[str]]]:
    """Yield all contenders at accepting, and a line for each that cannot take part."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(ours(place)),
            await stack.enter_async_context(one_insert_each(place)),
            await stack.enter_async_context(nothing_kept(place)),
        ]
        absent = []
        if place.scale.with_express:
            node = await stack.enter_async_context(express(place))
            if isinstance(node, str):
                absent.append(f"{EXPRESS}: left out, {node}")
            else:
                found.append(node)
        yield found, absent
