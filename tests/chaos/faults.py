"""
What goes wrong: each fault is a short story with a beginning and an end, drawn from the seed.

A fault returns a few words about itself. When it returns, whatever was broken works again (a program that was killed
may still be starting).
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import asyncpg

from tests.chaos.stage import Stage

Fault = Callable[[Stage, Random], Awaitable[str]]


async def gateway_killed(stage: Stage, draw: Random) -> str:
    """SIGKILL: one process under a master, a master with its processes, or a server alone."""
    server = draw.choice(stage.servers)
    children = server.children()
    if children and draw.random() < 0.6:
        server.kill(draw.choice(children))
        return f"one process of {server.name}"
    server.kill()
    return server.name


async def worker_killed(stage: Stage, draw: Random) -> str:
    """SIGKILL, twice in a row: also while it starts."""
    stage.worker.kill()
    await asyncio.sleep(draw.uniform(0.5, 3.0))
    stage.worker.kill()
    return "twice"


async def rolling_restart(stage: Stage, _draw: Random) -> str:
    """SIGTERM to one after the other, as a deployment does."""
    for program in stage.programs:
        await program.restart()
    return f"{len(stage.programs)} programs"


async def postgres_crashed(stage: Stage, draw: Random) -> str:
    """Kill the postmaster, or let it stop at once without a checkpoint; it recovers from its log."""
    number = draw.choice((signal.SIGKILL, signal.SIGQUIT))
    pid_file = next(stage.data.glob("*/postmaster.pid"))
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


async def backends_terminated(stage: Stage, draw: Random) -> str:
    """`pg_terminate_backend` of every connection, several times."""
    times, ended = draw.randrange(2, 5), 0
    connection = await asyncpg.connect(stage.database)
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


async def connections_cut(stage: Stage, draw: Random) -> str:
    """Connections to Postgres break somewhere inside a message."""
    chance, seconds = draw.choice((0.01, 0.03, 0.1)), draw.uniform(3.0, 6.0)
    await stage.line.say("snip", chance)
    await asyncio.sleep(seconds)
    await stage.line.say("snip", 0)
    return f"each message with {chance:.0%}"


async def database_unreachable(stage: Stage, draw: Random) -> str:
    """Every connection to Postgres breaks, and none is accepted for a while."""
    await stage.line.say("refuse")
    await asyncio.sleep(draw.uniform(3.0, 8.0))
    await stage.line.say("accept")
    return "refused"


async def network_frozen(stage: Stage, draw: Random) -> str:
    """Nothing passes to Postgres and nothing breaks."""
    await stage.line.say("freeze")
    await asyncio.sleep(draw.uniform(2.0, 6.0))
    await stage.line.say("thaw")
    return "silent"


async def network_slow(stage: Stage, draw: Random) -> str:
    """Every message to and from Postgres is late."""
    late = draw.choice((0.05, 0.1, 0.2))
    await stage.line.say("slow", late)
    await asyncio.sleep(draw.uniform(4.0, 7.0))
    await stage.line.say("slow", 0)
    return f"{late:g} s each way"


async def process_paused(stage: Stage, draw: Random) -> str:
    """A program stands still, as a virtual machine that is moved does, for less than a lease."""
    program = draw.choice(stage.programs)
    pids = [pid for pid in (program.pid, *program.children()) if pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(draw.uniform(2.0, 4.5))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return program.name


async def _skewed(stage: Stage, skew: float) -> str:
    await stage.worker.restart(skew=skew)
    await asyncio.sleep(8.0)
    await stage.worker.restart()
    return f"{skew:+g} s"


async def clock_behind(stage: Stage, draw: Random) -> str:
    """A worker's clock is slow."""
    return await _skewed(stage, -draw.choice((3.0, 30.0, 300.0)))


async def clock_ahead(stage: Stage, draw: Random) -> str:
    """A worker's clock is fast."""
    return await _skewed(stage, draw.choice((3.0, 30.0, 300.0)))


async def faurya_down(stage: Stage, draw: Random) -> str:
    """Faurya refuses connections."""
    await stage.faurya.stop()
    await asyncio.sleep(draw.uniform(4.0, 8.0))
    await stage.faurya.start()
    return "refused"


async def _faurya_feels(stage: Stage, mood: str, seconds: float) -> None:
    stage.faurya.feel(mood)
    await asyncio.sleep(seconds)
    stage.faurya.feel("calm")


async def faurya_hanging(stage: Stage, _draw: Random) -> str:
    """Faurya takes calls and never answers, for longer than a call may take; some it records."""
    await _faurya_feels(stage, "hanging", 12.0)
    return "no answer"


async def faurya_erring(stage: Stage, draw: Random) -> str:
    """500, 503, resets before and after recording, garbage, answers that drip."""
    await _faurya_feels(stage, "erring", draw.uniform(5.0, 9.0))
    return "of all kinds"


async def faurya_quota(stage: Stage, draw: Random) -> str:
    """429 with `Retry-After: 10`: the sites are held and resume by themselves."""
    await _faurya_feels(stage, "quota", draw.uniform(5.0, 7.0))
    return "429"


async def faurya_bad_key(stage: Stage, draw: Random) -> str:
    """401, then the key works again and an operator reloads."""
    await _faurya_feels(stage, "bad_key", draw.uniform(3.0, 6.0))
    for program in stage.programs:
        program.signal(signal.SIGHUP)
    return "401, then SIGHUP"


async def visitors_unknown(stage: Stage, draw: Random) -> str:
    """404 for some visitors: they are asked for again minutes later."""
    await _faurya_feels(stage, "unknown_visitors", draw.uniform(3.0, 5.0))
    return "404 now and then"


async def duplicate_flood(stage: Stage, draw: Random) -> str:
    """Every recent webhook once or twice again, within a few seconds."""
    seconds, times = draw.uniform(2.0, 4.0), draw.randrange(1, 3)
    again = list(stage.paddle.recent) * times
    draw.shuffle(again)
    for number, (event, at) in enumerate(again):
        stage.paddle.send(event, at, after=seconds * number / len(again))
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
