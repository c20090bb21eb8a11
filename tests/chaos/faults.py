"""
What goes wrong: each fault is a short story with a beginning and an end, drawn from the seed.

A fault returns a few words about itself. When it returns, whatever was broken works again (a program that was killed
may still be starting).
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Protocol

import asyncpg

from tests.chaos.faurya import Faurya
from tests.chaos.line import DatabaseLine
from tests.chaos.paddle import Paddle
from tests.chaos.programs import Program


class Scene(Protocol):
    """What a fault can get hold of."""

    faurya: Faurya
    paddle: Paddle
    line: DatabaseLine
    data: Path
    database: str
    servers: list[Program]
    worker: Program

    @property
    def programs(self) -> list[Program]: ...


Fault = Callable[[Scene, Random], Awaitable[str]]


async def gateway_killed(scene: Scene, draw: Random) -> str:
    """SIGKILL: one process under a master, a master with its processes, or a server alone."""
    server = draw.choice(scene.servers)
    children = server.children()
    if children and draw.random() < 0.6:
        server.kill(draw.choice(children))
        return f"one process of {server.name}"
    server.kill()
    return server.name


async def worker_killed(scene: Scene, draw: Random) -> str:
    """SIGKILL, twice in a row: also while it starts."""
    scene.worker.kill()
    await asyncio.sleep(draw.uniform(0.5, 3.0))
    scene.worker.kill()
    return "twice"


async def rolling_restart(scene: Scene, _draw: Random) -> str:
    """SIGTERM to one after the other, as a deployment does."""
    for program in scene.programs:
        await program.restart()
    return f"{len(scene.programs)} programs"


async def postgres_crashed(scene: Scene, draw: Random) -> str:
    """Kill the postmaster, or let it stop at once without a checkpoint; it recovers from its log."""
    number = draw.choice((signal.SIGKILL, signal.SIGQUIT))
    pid_file = next(scene.data.glob("*/postmaster.pid"))
    pid = int(pid_file.read_text().splitlines()[0])
    os.kill(pid, number)
    for _ in range(600):
        await asyncio.sleep(0.1)
        try:
            lines = pid_file.read_text().splitlines()
        except OSError:
            continue
        if len(lines) > 7 and lines[0] != str(pid) and lines[7].strip() == "ready":
            return number.name
    raise TimeoutError("Postgres did not come back")


async def backends_terminated(scene: Scene, draw: Random) -> str:
    """`pg_terminate_backend` of every connection, several times."""
    times, ended = draw.randrange(2, 5), 0
    connection = await asyncpg.connect(scene.database)
    try:
        for _ in range(times):
            ended += await connection.fetchval(
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                """
            )
            await asyncio.sleep(draw.uniform(0.3, 1.5))
    finally:
        await connection.close()
    return f"{ended} in {times} strokes"


async def connections_cut(scene: Scene, draw: Random) -> str:
    """Connections to Postgres break somewhere inside a message."""
    chance, seconds = draw.choice((0.01, 0.03, 0.1)), draw.uniform(3.0, 6.0)
    await scene.line.say("snip", chance)
    await asyncio.sleep(seconds)
    await scene.line.say("snip", 0)
    return f"each message with {chance:.0%}"


async def database_unreachable(scene: Scene, draw: Random) -> str:
    """Every connection to Postgres breaks, and none is accepted for a while."""
    await scene.line.say("refuse")
    await asyncio.sleep(draw.uniform(3.0, 8.0))
    await scene.line.say("accept")
    return "refused"


async def network_frozen(scene: Scene, draw: Random) -> str:
    """Nothing passes to Postgres and nothing breaks."""
    await scene.line.say("freeze")
    await asyncio.sleep(draw.uniform(2.0, 6.0))
    await scene.line.say("thaw")
    return "silent"


async def network_slow(scene: Scene, draw: Random) -> str:
    """Every message to and from Postgres is late."""
    late = draw.choice((0.05, 0.1, 0.2))
    await scene.line.say("slow", late)
    await asyncio.sleep(draw.uniform(4.0, 7.0))
    await scene.line.say("slow", 0)
    return f"{late:g} s each way"


async def process_paused(scene: Scene, draw: Random) -> str:
    """A program stands still, as a virtual machine that is moved does, for less than a lease."""
    program = draw.choice(scene.programs)
    pids = [pid for pid in (program.pid, *program.children()) if pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(draw.uniform(2.0, 4.5))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return program.name


async def _skewed(scene: Scene, skew: float) -> str:
    await scene.worker.restart(skew=skew)
    await asyncio.sleep(8.0)
    await scene.worker.restart()
    return f"{skew:+g} s"


async def clock_behind(scene: Scene, draw: Random) -> str:
    """A worker's clock is slow."""
    return await _skewed(scene, -draw.choice((3.0, 30.0, 300.0)))


async def clock_ahead(scene: Scene, draw: Random) -> str:
    """A worker's clock is fast."""
    return await _skewed(scene, draw.choice((3.0, 30.0, 300.0)))


async def faurya_down(scene: Scene, draw: Random) -> str:
    """Faurya refuses connections."""
    await scene.faurya.stop()
    await asyncio.sleep(draw.uniform(4.0, 8.0))
    await scene.faurya.start()
    return "refused"


async def _faurya_feels(scene: Scene, mood: str, seconds: float) -> None:
    scene.faurya.feel(mood)
    await asyncio.sleep(seconds)
    scene.faurya.feel("calm")


async def faurya_hanging(scene: Scene, _draw: Random) -> str:
    """Faurya takes calls and never answers, for longer than a call may take; some it records."""
    await _faurya_feels(scene, "hanging", 12.0)
    return "no answer"


async def faurya_erring(scene: Scene, draw: Random) -> str:
    """500, 503, resets before and after recording, garbage, answers that drip."""
    await _faurya_feels(scene, "erring", draw.uniform(5.0, 9.0))
    return "of all kinds"


async def faurya_quota(scene: Scene, draw: Random) -> str:
    """429 with `Retry-After: 10`: the sites are held and resume by themselves."""
    await _faurya_feels(scene, "quota", draw.uniform(5.0, 7.0))
    return "429"


async def faurya_bad_key(scene: Scene, draw: Random) -> str:
    """401, then the key works again and an operator reloads."""
    await _faurya_feels(scene, "bad_key", draw.uniform(3.0, 6.0))
    for program in scene.programs:
        program.signal(signal.SIGHUP)
    return "401, then SIGHUP"


async def visitors_unknown(scene: Scene, draw: Random) -> str:
    """404 for some visitors: they are asked for again minutes later."""
    await _faurya_feels(scene, "unknown_visitors", draw.uniform(3.0, 5.0))
    return "404 now and then"


async def duplicate_flood(scene: Scene, draw: Random) -> str:
    """Every recent webhook once or twice again, within a few seconds."""
    seconds, times = draw.uniform(2.0, 4.0), draw.randrange(1, 3)
    again = list(scene.paddle.recent) * times
    draw.shuffle(again)
    for number, (event, at) in enumerate(again):
        scene.paddle.send(event, at, after=seconds * number / len(again))
    await asyncio.sleep(seconds)
    return f"{len(again)} webhooks"


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        gateway_killed, worker_killed, rolling_restart, process_paused, clock_behind, clock_ahead, postgres_crashed,
        backends_terminated, connections_cut, database_unreachable, network_frozen, network_slow, faurya_down,
        faurya_hanging, faurya_erring, faurya_quota, faurya_bad_key, visitors_unknown, duplicate_flood,
    )
}  # fmt: skip

CUTTING = frozenset(
    fault.__name__
    for fault in (postgres_crashed, backends_terminated, connections_cut, database_unreachable, network_frozen)
)
"""Faults in which connections to the database break, or are given up."""
