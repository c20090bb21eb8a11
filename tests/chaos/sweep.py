"""Webhooks that never come: the provider's own list is read, and every one of them is found."""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from tests.chaos.history import Place
from tests.chaos.programs import environment
from tests.chaos.sites import CONNECTION, SHOPS

FOUND_SECONDS = 400.0
"""Of one `reconcile`: it reads a page of 200 events every two seconds."""

AGO = timedelta(minutes=10)
"""How long ago what is swallowed happened: of the last minutes a webhook may still be on its way."""

RECONCILE = ("-m", "gateway", "reconcile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How many webhooks were swallowed, and of how many the money was found; `seconds` is how long that took."""

    swallowed: int = 0
    found: int = 0
    seconds: float = 0.0


async def swallowed_and_found(running: Any) -> Swept:
    """Swallow webhooks, let `faurya-gateway reconcile` look, and say of how many it found the money."""
    if running.plan.swallowed == 0:
        return Swept()
    told = swallow(running)
    started = time.monotonic()
    await asyncio.gather(*(_reconcile(running, f"{shop.name}/{CONNECTION}") for shop in SHOPS))
    seconds = time.monotonic() - started
    await running.drain()
    swept = await _swept(running)
    found = sum(place in swept for place in told.values())
    return Swept(swallowed=len(told), found=found, seconds=seconds)


def swallow(running: Any) -> dict[Place, Place]:
    """Let things happen at Paddle of which no webhook tells; return of each event which movement it is."""
    told: dict[Place, Place] = {}
    while len(told) < running.plan.swallowed:
        for event in running.market.sell():
            if event.tells:
                running.paddle.happen(event, swallowed=True, ago=AGO)
                told[event.movement.site, event.id] = event.movement.site, event.movement.key
    running.paddle.swallowed |= told.keys()
    return told


async def _reconcile(running: Any, place: str) -> None:
    code, said = await _run(running, place, "--since", "1d", "--apply")
    if code != 0:
        running.say(f"reconcile {place}: exit {code}: {said[-2000:]}")


async def _swept(running: Any) -> set[Place]:
    connection = await asyncpg.connect(running.database)
    try:
        rows = await connection.fetch("SELECT site, revenue_key FROM ledger WHERE source = 'sweep'")
    finally:
        await connection.close()
    return {(row["site"], row["revenue_key"]) for row in rows}


async def _run(running: Any, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *RECONCILE, *words, "--config", str(running.folder / "config.yaml"),
        cwd=running.folder, env=environment(running.database),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), FOUND_SECONDS)
    return process.returncode or 0, said.decode(errors="replace")
