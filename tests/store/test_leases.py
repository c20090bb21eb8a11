"""Leases are prolonged and given back only where they are still held."""

from datetime import timedelta
from uuid import UUID

import pytest_asyncio
from rows import NOON, webhook

from gateway.store import inbox, leases
from gateway.store.pool import Database, open_database

OURS, THEIRS = UUID(int=1), UUID(int=2)
LEASE = timedelta(seconds=30)
LATER = NOON + timedelta(minutes=5)


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> Database:
    database = await open_database(database_url, size=2)
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook(f"evt_{number}") for number in range(3)])
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=OURS, lease_for=LEASE, limit=2)
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=THEIRS, lease_for=LEASE, limit=1)
    yield database
    await database.close()


async def held(database: Database) -> dict[UUID | None, list[object]]:
    async with database.reading() as connection:
        rows = await connection.fetch("SELECT lease, event_key, due_at, attempts FROM inbox ORDER BY event_key")
    found: dict[UUID | None, list[object]] = {}
    for row in rows:
        found.setdefault(row["lease"], []).append((row["due_at"], row["attempts"]))
    return found


ALL = [("example", f"evt_{number}", OURS) for number in range(3)] + [("example", "evt_9", OURS)]


async def test_only_our_own_leases_are_prolonged(database: Database) -> None:
    async with database.transaction() as connection:
        await leases.renew_webhooks(connection, "acme", ALL, LATER)
        await leases.renew_webhooks(connection, "globex", ALL, LATER + LEASE)
        await leases.renew_webhooks(connection, "acme", [], LATER + LEASE)
    assert await held(database) == {OURS: [(LATER, 1)] * 2, THEIRS: [(NOON + LEASE, 1)]}


async def test_only_our_own_leases_are_given_back(database: Database) -> None:
    async with database.transaction() as connection:
        await leases.give_back_webhooks(connection, "acme", ALL, NOON)
    assert await held(database) == {None: [(NOON, 0)] * 2, THEIRS: [(NOON + LEASE, 1)]}


async def test_a_row_that_is_locked_is_passed_over(database: Database) -> None:
    async with database.transaction() as settling, database.transaction() as connection:
        await settling.execute("SELECT 1 FROM inbox WHERE event_key = (SELECT min(event_key) FROM inbox) FOR UPDATE")
        await leases.renew_webhooks(connection, "acme", ALL, LATER)
    (first, second) = (await held(database))[OURS]
    assert (first, second) == ((NOON + LEASE, 1), (LATER, 1))
