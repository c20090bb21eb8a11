"""Waiting until everything has settled."""

import asyncio
import time

import asyncpg

from tests.chaos.stage import Stage

DRAIN_SECONDS = 120.0

LATER = 900.0
"""Seconds that the clock is put forward at the end: deliveries that were answered 404 wait for minutes."""

DUE_SOON = """
SELECT (SELECT count(*) FROM inbox WHERE outcome = 'received')
     + (SELECT count(*) FROM outbox
        WHERE status = 'pending' AND (due_at IS NULL OR due_at < now() + interval '1 minute')
          AND NOT EXISTS (SELECT FROM outbox AS sale
                          WHERE sale.site = outbox.site AND sale.payment_id = outbox.payment_id AND sale.is_sale
                            AND sale.status = 'pending' AND sale.due_at > now() + interval '1 minute'))
"""
UNDONE = """
SELECT (SELECT count(*) FROM inbox WHERE outcome = 'received')
     + (SELECT count(*) FROM outbox WHERE status = 'pending')
"""
LEFT = """
SELECT site, status, reason, count(*), min(due_at) - now() AS due_in FROM outbox
WHERE status = 'pending' GROUP BY 1, 2, 3
"""


async def drained(stage: Stage) -> None:
    """Wait until all webhooks are acknowledged and nothing is due any more, but what waits for minutes."""
    if not await stage.paddle.drained(DRAIN_SECONDS):
        stage.say(f"{stage.paddle.pending} webhooks are not acknowledged yet")
    await settled(stage, DUE_SOON, DRAIN_SECONDS)


async def settled(stage: Stage, sql: str, seconds: float) -> bool:
    """Wait until a query counts nothing; say whether that happened in time."""
    connection, deadline = await asyncpg.connect(stage.database), time.monotonic() + seconds
    try:
        while left := await connection.fetchval(sql):
            if time.monotonic() > deadline:
                stage.say(f"{left} still due: {[tuple(row) for row in await connection.fetch(LEFT)]}")
                return False
            await asyncio.sleep(0.25)
    finally:
        await connection.close()
    return True


async def minutes_later(stage: Stage) -> None:
    """With all others stopped, let one worker do what is due in a quarter of an hour."""
    if await settled(stage, UNDONE, 0.0):
        return
    stage.faurya.feel("good")
    stage.worker.skew, stage.worker.alone = LATER, True
    await stage.worker.start()
    await settled(stage, UNDONE, DRAIN_SECONDS)
    await stage.worker.stop()
