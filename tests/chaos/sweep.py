"""Webhooks that never come: the provider's own list is read, and every one of them is found."""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from tests.chaos.history import Place
from tests.chaos.programs import environment
from tests.chaos.settling import drained
from tests.chaos.sites import CONNECTION, SHOPS
from tests.chaos.stage import Stage

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


async def swallowed_and_found(stage: Stage, number: int) -> Swept:
    """Swallow webhooks, let `faurya-gateway reconcile` look, and say of how many it found the money."""
    if number == 0:
        return Swept()
    told = swallow(stage, number)
    started = time.monotonic()
    await asyncio.gather(*(_reconcile(stage, f"{shop.name}/{CONNECTION}") for shop in SHOPS))
    seconds = time.monotonic() - started
    await drained(stage)
    swept = await _swept(stage)
    found = sum(place in swept for place in told.values())
    return Swept(swallowed=len(told), found=found, seconds=seconds)


def swallow(stage: Stage, number: int) -> dict[Place, Place]:
    """Let things happen at Paddle of which no webhook tells; return of each event which movement it is."""
    told: dict[Place, Place] = {}
    while len(told) < number:
        for event in stage.market.sell():
            if event.tells:
                stage.paddle.happen(event, swallowed=True, ago=AGO)
                told[event.movement.site, event.id] = event.movement.site, event.movement.key
    stage.paddle.swallowed |= told.keys()
    return told


async def _reconcile(stage: Stage, place: str) -> None:
    code, said = await _run(stage, place, "--since", "1d", "--apply")
    if code != 0:
        stage.say(f"reconcile {place}: exit {code}: {said[-2000:]}")


async def _swept(stage: Stage) -> set[Place]:
    connection = await asyncpg.connect(stage.database)
    try:
        rows = await connection.fetch("SELECT site, revenue_key FROM ledger WHERE source = 'sweep'")
    finally:
        await connection.close()
    return {(row["site"], row["revenue_key"]) for row in rows}


async def _run(stage: Stage, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *RECONCILE, *words, "--config", str(stage.config),
        cwd=stage.folder, env=environment(stage.database),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), FOUND_SECONDS)
    return process.returncode or 0, said.decode(errors="replace")
