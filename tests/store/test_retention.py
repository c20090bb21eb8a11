"""Bytes that leave: which rows, in what order, through which index."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from rows import NOON, webhook

from gateway.store import bookings, inbox, refusals, retention
from gateway.store.inbox import Kept, Outcome
from gateway.store.pool import Database, open_database

MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


async def kept(database: Database, *event_keys: str, site: str = "acme", ended: bool = True, **what: Any) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook(key, site=site, **what) for key in event_keys])
        if ended:
            done = [Outcome(connection="example", event_key=key, outcome="booked") for key in event_keys]
            await bookings.write(connection, site, NOON, "webhook", outcomes=done)


async def forget(database: Database, limit: int = 10, site: str = "acme") -> int:
    async with database.transaction() as connection:
        return await retention.forget(connection, site, NOON + MINUTE, limit)


async def with_bytes(database: Database) -> list[str]:
    async with database.reading() as connection:
        rows = await connection.fetch("SELECT event_key FROM inbox WHERE body IS NOT NULL ORDER BY event_key")
    return [row["event_key"] for row in rows]


async def test_the_content_of_old_settled_rows_leaves_oldest_first_and_the_rows_stay(database: Database) -> None:
    for number in range(3):
        await kept(database, f"old_{number}", received_at=NOON - number * MINUTE)
    await kept(database, "unread", ended=False)
    await kept(database, "young", received_at=NOON + MINUTE)
    assert await forget(database, 2) == 2
    assert await with_bytes(database) == ["old_0", "unread", "young"]
    assert [await forget(database, 2), await forget(database, 2)] == [1, 0]
    async with database.transaction() as connection:
        row = await connection.fetchrow("SELECT * FROM inbox WHERE event_key = 'old_0'")
        assert row is not None
        assert [row[name] for name in ("body", "headers", "query", "remote_ip")] == [None] * 4
        assert await inbox.keep(connection, [webhook("old_0")]) == [Kept(new=False)]
    assert await with_bytes(database) == ["unread", "young"], "a repeat of what is booked brings no bytes back"


async def test_a_row_that_somebody_is_writing_is_left_to_the_next_time(database: Database) -> None:
    await kept(database, "free", "locked")
    async with database.transaction() as connection:
        await connection.execute("SELECT 1 FROM inbox WHERE event_key = 'locked' FOR UPDATE")
        assert await forget(database) == 1
    assert await with_bytes(database) == ["locked"]


async def test_every_site_with_old_bytes_is_found_whoever_is_configured(database: Database) -> None:
    for site in ("acme", "gone", "zeta"):
        await kept(database, "old", site=site)
    await kept(database, "young", site="young", received_at=NOON + MINUTE)
    await forget(database, site="zeta")
    async with database.reading() as connection:
        assert await retention.sites(connection, NOON + MINUTE) == ["acme", "gone"]
        assert await retention.sites(connection, NOON - MINUTE) == []


async def test_the_address_of_the_last_refused_caller_leaves_and_the_count_stays(database: Database) -> None:
    def refusal(site: str, at: Any) -> refusals.Refusal:
        return refusals.Refusal(
            site=site, connection="example", at=at, reason="signature_mismatch", detail="x", seconds_off=None,
            remote_ip="192.0.2.1",
        )  # fmt: skip

    async with database.transaction() as connection:
        await refusals.note(connection, [refusal("acme", NOON), refusal("globex", NOON + MINUTE)])
        await retention.forget_callers(connection, NOON + MINUTE)
        rows = await connection.fetch("SELECT site, count, remote_ip FROM refusals ORDER BY site")
    assert [tuple(row.values()) for row in rows] == [("acme", 1, None), ("globex", 1, "192.0.2.1")]


FILL = """
INSERT INTO inbox (site, connection, event_key, id, method, headers, query, body, received_at, last_seen_at, proof,
                   seen, outcome)
SELECT 'site' || n % 5, 'example', 'evt_' || n, gen_random_uuid(), 'POST', 'X: 1', '',
       convert_to(repeat('x', 300), 'UTF8'), $1::timestamptz + n * interval '1 second', $1, 'signature', 1, 'booked'
FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("analyzed", [False, True])
async def test_both_statements_read_the_index_of_raw_rows_and_not_the_table(database: Database, analyzed: bool) -> None:
    async with database.transaction() as connection:
        await connection.execute(FILL, NOON)
    if analyzed:
        async with database.reading() as connection:
            await connection.execute("VACUUM ANALYZE inbox")
    async with database.transaction() as connection:
        await connection.execute(retention.IN_ORDER)
        forget = await connection.fetch(
            "EXPLAIN " + retention.FORGET.replace("$1", "'site1'").replace("$2", f"'{NOON}'").replace("$3", "500")
        )
        sites = await connection.fetch("EXPLAIN " + retention.SITES.replace("$1", f"'{NOON}'"))
    for plan in (forget, sites):
        text = "\n".join(row[0] for row in plan)
        assert "inbox_raw" in text, text
        assert "Seq Scan" not in text, text
        assert "Sort" not in text, text
