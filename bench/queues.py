"""Who competes at the whole way, from a webhook to Faurya's answer."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import orjson

from bench.bodies import SECRET
from bench.children import PYTHON, ROOT, BenchFailure, answers, child, fetched, free_port
from bench.contenders import Contender
from bench.gateways import DEFAULT_CALLS, SITE, gateway
from bench.handlers import naive
from bench.handlers.posting import TOGETHER
from bench.place import Place

OURS = "Faurya Gateway, one process"
APART = "Faurya Gateway, worker apart"
DEFAULT = f"Faurya Gateway, one process, {DEFAULT_CALLS} calls at a time"
PGQUEUER = "aiohttp + PgQueuer, worker apart"
PROCRASTINATE = "aiohttp + Procrastinate, worker apart"

PACKAGES = {
    PGQUEUER: ("pgqueuer", "bench.handlers.with_pgqueuer"),
    PROCRASTINATE: ("procrastinate", "bench.handlers.with_procrastinate"),
}


@dataclass(frozen=True, slots=True)
class Faurya:
    """The stand-in of one contender."""

    port: int

    async def count(self, run: str) -> int:
        """Return how many of a run's webhooks are recorded."""
        return int((await fetched(self.port, f"/count?{run}"))[1])

    async def recorded(self, run: str) -> tuple[dict[str, float], int]:
        """Return when each webhook of a run was recorded, by its id, and how many calls that took."""
        answer = orjson.loads((await fetched(self.port, f"/recorded?{run}"))[1])
        return answer["recorded"], answer["calls"]

    async def has(self, run: str, count: int, seconds: float) -> bool:
        """Wait until a run's webhooks are all recorded; return False where that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                while await self.count(run) < count:  # noqa: ASYNC110 - another process knows
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def faurya(place: Place, delay_ms: int = 0) -> AsyncIterator[Faurya]:
    """Yield a stand-in in a process of its own, which is in nobody's CPU figure."""
    port = free_port()
    environment = {"BENCH_PORT": str(port), "BENCH_DELAY_MS": str(delay_ms)}
    log = place.folder / f"faurya-{port}.log"
    async with child([PYTHON, "-m", "bench.handlers.faurya"], log, environment=environment) as serving:
        await answers(port, "/count?none", serving)
        yield Faurya(port)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A contender, and the Faurya that it posts to."""

    who: Contender
    faurya: Faurya


@asynccontextmanager
async def ours(place: Place, delay_ms: int, name: str) -> AsyncIterator[Pipeline]:
    """Yield the gateway with its worker, with as many calls at a time as the queues' tasks, or with its default."""
    url = await place.gateway_database("pipeline")
    async with (
        faurya(place, delay_ms) as stand_in,
        gateway(
            place,
            url,
            worker=True,
            apart=name == APART,
            faurya=f"http://127.0.0.1:{stand_in.port}",
            sites=(SITE,),
            calls=DEFAULT_CALLS if name == DEFAULT else TOGETHER,
        ) as served,
    ):
        yield Pipeline(Contender(name, served.port, served.roots), stand_in)


@asynccontextmanager
async def queued(place: Place, delay_ms: int, name: str) -> AsyncIterator[Pipeline | str]:
    """Yield a handler and a worker on somebody's queue, or why there are none."""
    package, module = PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        yield f"{name}: left out, {package} is not installed (`make bench` does that)"
        return
    url = await place.database(package, naive.TABLE)
    async with AsyncExitStack() as stack:
        stand_in = await stack.enter_async_context(faurya(place, delay_ms))
        port = free_port()
        environment = {"BENCH_PORT": str(port), "BENCH_SECRET": SECRET, "BENCH_DATABASE": url,
                       "BENCH_FAURYA": f"http://127.0.0.1:{stand_in.port}"}  # fmt: skip
        log = place.folder / f"{package}-{port}.log"
        await _installed(module, environment)
        serving = await stack.enter_async_context(child([PYTHON, "-m", module, "web"], log, environment=environment))
        working = await stack.enter_async_context(
            child([PYTHON, "-m", module, "work"], log.with_suffix(".work.log"), environment=environment)
        )
        await answers(port, "/", serving)
        yield Pipeline(Contender(name, port, [serving.pid, working.pid]), stand_in)


async def _installed(module: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        "env", *(f"{name}={value}" for name, value in environment.items()), PYTHON, "-m", module, "install",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise BenchFailure(f"{module} could not make its tables:\n{said.decode()[-2000:]}")


@asynccontextmanager
async def everybody(place: Place, delay_ms: int) -> AsyncIterator[tuple[list[Pipeline], list[str]]]:
    """Yield all pipelines, and a line for each that cannot take part."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(ours(place, delay_ms, name))
            for name in ((OURS, APART, DEFAULT) if place.scale.variants else (OURS,))
        ]
        absent = []
        for name in PACKAGES:
            pipeline = await stack.enter_async_context(queued(place, delay_ms, name))
            if isinstance(pipeline, str):
                absent.append(pipeline)
            else:
                found.append(pipeline)
        yield found, absent
