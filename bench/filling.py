"""Writing a history and backlogs into a database of the gateway."""

from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg

from bench import history

CHUNK = 50_000


async def fill(url: str, rows: int, *, bodies: int, now: datetime | None = None, analyze: bool = True) -> None:
    """Write `rows` settled sales; the newest `bodies` of them still have their raw bytes."""
    at, text = now or datetime.now(UTC), history.body()
    connection = await asyncpg.connect(url)
    try:
        for first, last in _chunks(0, rows):
            await connection.execute(history.inbox(due=False), first, last, at, rows - bodies, text)
            for statement in (
                history.ledger(due=False),
                history.outbox(due=False),
                history.ATTEMPTS,
                history.CHECKOUTS,
            ):
                await connection.execute(statement, first, last, at)
        if analyze:
            await _analyze(connection)
    finally:
        await connection.close()


async def fill_due(url: str, begin: int, rows: int, *, now: datetime | None = None, analyze: bool = True) -> None:
    """Write `rows` webhooks to be read and as many deliveries to be sent, from number `begin` on."""
    at, text = now or datetime.now(UTC), history.body()
    connection = await asyncpg.connect(url)
    try:
        for first, last in _chunks(begin, begin + rows):
            await connection.execute(history.inbox(due=True), first, last, at, begin, text)
            for statement in (history.ledger(due=True), history.outbox(due=True)):
                await connection.execute(statement, first, last, at)
        if analyze:
            await _analyze(connection)
    finally:
        await connection.close()


async def _analyze(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """As autovacuum would have done long ago."""
    await connection.execute(f"VACUUM ANALYZE {', '.join(history.TABLES)}")


def _chunks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    for first in range(begin, end, CHUNK):
        yield first, min(first + CHUNK, end)
