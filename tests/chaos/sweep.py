"""Webhooks that never come: the provider's own list is read, and every one of them is found."""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from tests.chaos.programs import environment
from tests.chaos.sites import CONNECTION, SHOPS

FOUND_SECONDS = 400.0
"""Of one `reconcile`: it reads a page of 200 events every two seconds."""

AGO = timedelta(minutes=10)
"""How long ago what is swallowed happened: of the last minutes a webhook may still be on its way."""

RECONCILE = ("-m", "gateway", "reconcile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How many movements no webhook told of, and how many of them are booked; or why nobody looked."""

    swallowed: int = 0
    found: int = 0
    seconds: float = 0.0
    skipped: str | None = None


async def swallowed_and_found(running: Any) -> Swept:
    """Swallow webhooks, let `faurya-gateway reconcile` look, and say how many of their movements it found."""
    if running.plan.swallowed == 0:
        return Swept(skipped="nothing was swallowed")
    if (await _run(running, "--help"))[0] != 0:
        return Swept(skipped="this version has no `faurya-gateway reconcile`")
    before = set(running.market.movements)
    swallow(running, before)
    places = set(running.market.movements) - before
    started = time.monotonic()
    await asyncio.gather(*(_reconcile(running, f"{shop.name}/{CONNECTION}") for shop in SHOPS))
    await running.drain()
    found = await _booked(running, places)
    return Swept(swallowed=len(places), found=found, seconds=time.monotonic() - started)


def swallow(running: Any, before: set[tuple[str, str]]) -> None:
    """Let things happen at Paddle of which no webhook tells; several webhooks may tell of one movement."""
    while len(running.market.movements.keys() - before) < running.plan.swallowed:
        for event in running.market.sell():
            if event.tells:
                running.paddle.happen(event, swallowed=True, ago=AGO)
                running.paddle.swallowed.add((event.movement.site, event.id))


async def _reconcile(running: Any, place: str) -> None:
    code, said = await _run(running, place, "--since", "1d", "--apply")
    if code != 0:
        running.say(f"reconcile {place}: exit {code}: {said[-2000:]}")


async def _booked(running: Any, places: set[tuple[str, str]]) -> int:
    connection = await asyncpg.connect(running.database)
    try:
        rows = await connection.fetch("SELECT site, revenue_key FROM ledger WHERE source = 'sweep'")
    finally:
        await connection.close()
    return len(places & {(row["site"], row["revenue_key"]) for row in rows})


async def _run(running: Any, *words: str) -> tuple[int, str]:
    config = [] if "--help" in words else ["--config", str(running.folder / "config.yaml")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *RECONCILE, *words, *config,
        cwd=running.folder, env=environment(running.database),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), FOUND_SECONDS)
    return process.returncode or 0, said.decode(errors="replace")
