"""What probes and scrapes ask of the database."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from rows import NOON, webhook

from gateway.store import health, inbox
from gateway.store.errors import StoreUnavailable
from gateway.store.pool import Database, open_database


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=2)
    yield database
    await database.close()


async def test_the_trial_write_leaves_nothing_behind(database: Database) -> None:
    await health.try_write(database, NOON)
    await health.try_write(database, NOON)
    async with database.reading() as connection:
        assert await connection.fetchval("SELECT count(*) FROM sites") == 0


async def test_a_database_that_only_reads_is_not_ready(database_url: str) -> None:
    separator = "&" if "?" in database_url else "?"
    database = await open_database(f"{database_url}{separator}default_transaction_read_only=on")
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        await health.try_write(database, NOON)
    await database.close()


async def test_the_backlog_says_what_waits_and_since_when(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook("a"), webhook("b", received_at=NOON - timedelta(minutes=1))])
        await connection.execute(
            """
            INSERT INTO outbox (site, connection, revenue_key, destination, api, payment_id, is_sale, order_id_sent,
                                basis, amount_unit, currency, status, due_at, created_at)
            SELECT 'acme', 'example', key, 'faurya', 'revenue', 'p', true, 'o', 'gross', 'minor', 'USD', 'pending',
                   at, at
            FROM unnest($1::text[], $2::timestamptz[]) AS new (key, at)
            """,
            ["payment:1", "payment:2"],
            [NOON - timedelta(hours=1), NOON + timedelta(hours=1)],
        )
        await connection.execute(
            "INSERT INTO holds (site, destination, since, reason) VALUES ('globex', 'faurya', $1, 'bad_key')", NOON
        )
        found = await health.backlog(connection, [("acme", "example"), ("globex", "example"), ("new", "example")], NOON)
        elsewhere = await health.backlog(connection, [("acme", "sandbox")], NOON)
        last = await health.last_webhooks(connection, [("acme", "example"), ("acme", "sandbox")])
    assert found == [
        ("acme", NOON - timedelta(hours=1), 1, False),
        ("globex", None, 0, True),
        ("new", None, 0, False),
    ]
    assert elsewhere == [("acme", None, 0, False)], "rows of a connection that is not configured are nobody's backlog"
    assert last == [("acme", "example", NOON), ("acme", "sandbox", None)]
