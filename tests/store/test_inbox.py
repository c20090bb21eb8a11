"""Webhooks kept exactly as received, on real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from multidict import CIMultiDict
from rows import NOON, webhook

from gateway.sdk import headers_of
from gateway.store import bookings, inbox
from gateway.store.errors import StoreData
from gateway.store.inbox import Kept, Outcome, Webhook, merged, pack_headers, unpack_headers
from gateway.store.pool import Database, StoreConflict, open_database

LEASE = UUID(int=1)
MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


async def keep(database: Database, *batch: Webhook) -> list[Kept]:
    async with database.transaction() as connection:
        return await inbox.keep(connection, batch)


async def claim(database: Database, *, at: Any = NOON, lease: UUID = LEASE, limit: int = 10) -> list[str]:
    async with database.transaction() as connection:
        found = await inbox.claim(connection, "acme", ["example"], now=at, lease=lease, lease_for=MINUTE, limit=limit)
    return sorted(row.event_key for row in found)


async def settle(database: Database, *outcomes: Outcome) -> None:
    async with database.transaction() as connection:
        await bookings.write(connection, "acme", NOON, "webhook", outcomes=outcomes)


def ended(event_key: str = "evt_1", outcome: str = "booked", **what: Any) -> Outcome:
    return Outcome(connection="example", event_key=event_key, outcome=outcome, **what)


async def row(database: Database, event_key: str = "evt_1") -> dict[str, Any]:
    async with database.reading() as connection:
        found = await connection.fetchrow("SELECT * FROM inbox WHERE event_key = $1", event_key)
    assert found is not None
    return dict(found)


def test_headers_survive_packing_byte_for_byte_less_the_secret_ones() -> None:
    headers = headers_of(
        [("X-A", "1"), ("x-a", "2: 3"), ("X-Raw", "caf\udce9"), ("X-Empty", ""), ("X-Token", "s3cret")]
    )
    packed = pack_headers(headers, frozenset({"x-token"}))
    assert packed == b"X-A: 1\r\nx-a: 2: 3\r\nX-Raw: caf\xe9\r\nX-Empty: "
    assert unpack_headers(packed) == CIMultiDict(
        [("X-A", "1"), ("x-a", "2: 3"), ("X-Raw", "caf\udce9"), ("X-Empty", "")]
    )


@pytest.mark.parametrize("packed", [None, b"", b"no colon"])
def test_headers_that_were_forgotten_are_no_headers(packed: bytes | None) -> None:
    assert not unpack_headers(packed)


def test_a_batch_is_one_row_per_key_in_the_order_of_keys() -> None:
    batch = [
        webhook("b", body=b"1"),
        webhook("a", site="zeta"),
        webhook("b", body=b"2", seen=4),
        webhook("a"),
        webhook("b", connection="backup"),
    ]
    assert [(one.key, one.seen, one.body) for one in merged(batch)] == [
        (("acme", "backup", "b"), 1, b"{}"),
        (("acme", "example", "a"), 1, b"{}"),
        (("acme", "example", "b"), 5, b"2"),
        (("zeta", "example", "a"), 1, b"{}"),
    ]


async def test_the_order_of_locks_is_the_databases_own(database: Database) -> None:
    """Python sorts code points and the collation "C" sorts bytes of UTF-8: the same order, whatever the letters."""
    keys = ["Z", "a", "é", "z", "\uffff", "\U0001f600", "_", "-", "ab", "A b"]
    await keep(database, *(webhook(key) for key in keys))
    async with database.reading() as connection:
        rows = await connection.fetch("SELECT event_key FROM inbox ORDER BY event_key")
    assert [found["event_key"] for found in rows] == sorted(keys)


async def test_a_batch_is_kept_in_one_statement(database: Database) -> None:
    statements: list[str] = []
    async with database.transaction() as connection:
        connection.add_query_logger(lambda record: statements.append(record.query))
        kept = await inbox.keep(connection, [webhook(f"evt_{n}") for n in range(100)])
        await asyncio.sleep(0)  # the driver's loggers run as callbacks
    assert [one.new for one in kept] == [True] * 100
    assert [text for text in statements if "inbox" in text] == [inbox.INSERT]


async def test_of_several_with_one_key_in_a_batch_only_the_first_is_new(database: Database) -> None:
    kept = await keep(database, webhook(), webhook("evt_2"), webhook(), webhook())
    assert [one.new for one in kept] == [True, True, False, False]
    assert (await row(database))["seen"] == 3
    assert [one.new for one in await keep(database, webhook(), webhook())] == [False, False]
    assert (await row(database))["seen"] == 5


async def test_what_was_received_is_found_again_byte_for_byte(database: Database) -> None:
    body = bytes(range(256))
    await keep(database, webhook(body=body, query="a=%00&b", headers=b"X: \xff", method="GET", event_type=None))
    async with database.transaction() as connection:
        (found,) = await inbox.claim(connection, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=1)
    assert (found.body, found.query, found.headers, found.method) == (body, "a=%00&b", b"X: \xff", "GET")
    assert (found.event_type, found.attempts, found.received_at, found.remote_ip) == (None, 1, NOON, "192.0.2.1")


@pytest.mark.parametrize("column", ["event_key", "event_id", "event_type", "query", "remote_ip"])
@pytest.mark.parametrize("value", ["a\0b", "a\ud800b"])
async def test_a_value_that_postgres_cannot_store_is_the_values_fault_not_the_databases(
    database: Database, column: str, value: str
) -> None:
    with pytest.raises(StoreData, match="refused a value"):
        await keep(database, webhook(**{"event_key": "evt_1", column: value}))
    assert [one.new for one in await keep(database, webhook())] == [True]


# The row before, the repeat, and whether the repeat is read again.
SAME, OTHER = b"{}", b'{"status": "refunded"}'
REPEATS = [
    ("unread, same body", None, SAME, "evt_1", False),
    ("unread, other body", None, OTHER, "evt_1", True),
    ("booked, same body", ended(), SAME, "evt_1", False),
    ("booked, other body", ended(), OTHER, "evt_1", False),
    ("ignored, same body", ended(outcome="ignored", reason="not_final"), SAME, "evt_1", False),
    ("ignored, other body", ended(outcome="ignored", reason="not_final"), OTHER, "evt_1", True),
    ("unreadable, same body", ended(outcome="unreadable", detail="no"), SAME, "evt_1", False),
    ("unreadable, other body", ended(outcome="unreadable", detail="no"), OTHER, "evt_1", True),
    ("waiting, other body", ended(outcome="received", reason="waiting_for_sale", due_at=NOON + 60 * MINUTE,
                                  waits_for="payment:p", refs=("payment:q",)), OTHER, "evt_1", True),
    ("booked, no event id", ended(), SAME, None, True),
    ("ignored, no event id", ended(outcome="ignored", reason="not_revenue"), SAME, None, True),
]  # fmt: skip


@pytest.mark.parametrize(("before", "body", "event_id", "again"), [case[1:] for case in REPEATS],
                         ids=[case[0] for case in REPEATS])  # fmt: skip
async def test_a_repeat_is_counted_and_read_again_where_it_may_say_something_new(
    database: Database, before: Outcome | None, body: bytes, event_id: str | None, again: bool
) -> None:
    await keep(database, webhook(event_id=event_id))
    if before is not None:
        assert await claim(database) == ["evt_1"]
        await settle(database, before)
    was = await row(database)
    later = NOON + 10 * MINUTE
    repeat = webhook(event_id=event_id, body=body, headers=b"X-Two: 2", query="again", received_at=later)
    assert await keep(database, repeat) == [Kept(new=False)]
    now = await row(database)
    assert (now["seen"], now["last_seen_at"], now["received_at"], now["id"]) == (2, later, NOON, was["id"])
    if again:
        assert (now["body"], now["headers"], now["query"]) == (body, b"X-Two: 2", "again")
        assert (now["outcome"], now["reason"], now["detail"], now["due_at"]) == ("received", None, None, later)
        assert (now["attempts"], now["waits_for"], now["refs"]) == (0, None, [])
        assert await claim(database, at=later) == ["evt_1"]
    else:
        kept = ("body", "headers", "query", "outcome", "reason", "detail", "due_at", "attempts")
        assert {name: now[name] for name in kept} == {name: was[name] for name in kept}


async def test_a_repeat_with_another_body_takes_the_claim_from_whoever_is_reading(database: Database) -> None:
    await keep(database, webhook())
    assert await claim(database) == ["evt_1"]
    await keep(database, webhook(body=OTHER))
    async with database.transaction() as connection:
        assert await bookings.enter(connection, "acme", [("example", "evt_1")], LEASE, NOON) == set()
    assert await claim(database, lease=UUID(int=2)) == ["evt_1"]


async def test_a_repeat_with_the_same_body_leaves_the_claim_alone(database: Database) -> None:
    await keep(database, webhook())
    assert await claim(database) == ["evt_1"]
    await keep(database, webhook())
    async with database.transaction() as connection:
        assert await bookings.enter(connection, "acme", [("example", "evt_1")], LEASE, NOON) == {("example", "evt_1")}


async def test_a_claim_is_exclusive_until_its_lease_ends(database: Database) -> None:
    await keep(database, webhook())
    assert await claim(database, at=NOON - MINUTE) == []
    assert await claim(database) == ["evt_1"]
    assert await claim(database, at=NOON + MINUTE - timedelta(seconds=1), lease=UUID(int=2)) == []
    assert await claim(database, at=NOON + MINUTE, lease=UUID(int=2)) == ["evt_1"]
    assert (await row(database))["attempts"] == 2


async def test_two_workers_that_claim_at_once_share_the_rows(database: Database) -> None:
    await keep(database, *(webhook(f"evt_{n}") for n in range(8)))
    async with database.transaction() as one, database.transaction() as two:
        first = await inbox.claim(one, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=5)
        second = await inbox.claim(two, "acme", ["example"], now=NOON, lease=UUID(int=2), lease_for=MINUTE, limit=5)
    assert len(first) == 5
    assert len(second) == 3
    assert len({claimed.event_key for claimed in (*first, *second)}) == 8


async def test_a_claim_takes_the_oldest_and_only_configured_connections_of_the_site(database: Database) -> None:
    await keep(
        database,
        webhook("new", received_at=NOON),
        webhook("old", received_at=NOON - MINUTE),
        webhook("gone", connection="removed"),
        webhook("foreign", site="globex"),
    )
    assert await claim(database, limit=1) == ["old"]
    assert await claim(database) == ["new"]
    assert await claim(database) == []


async def test_an_outcome_ends_the_claim_and_only_received_rows_stay_due(database: Database) -> None:
    await keep(database, webhook("done"), webhook("later"))
    await claim(database)
    await settle(
        database,
        ended("done", "ignored", reason="not_revenue", refs=("payment:a", 'odd,"{}\\')),
        ended("later", "received", reason="provider_unavailable", detail="503", due_at=NOON + 5 * MINUTE),
    )
    done, later = await row(database, "done"), await row(database, "later")
    assert (done["outcome"], done["reason"], done["due_at"], done["lease"]) == ("ignored", "not_revenue", None, None)
    assert done["refs"] == ["payment:a", 'odd,"{}\\']
    assert (later["reason"], later["detail"], later["due_at"]) == ("provider_unavailable", "503", NOON + 5 * MINUTE)


async def test_what_waits_is_woken_by_what_it_waits_for(database: Database) -> None:
    await keep(database, webhook("refund"), webhook("other"), webhook("claimed"))
    await claim(database)
    far = NOON + 60 * MINUTE
    await settle(
        database,
        ended("refund", "received", due_at=far, waits_for="payment:p1"),
        ended("other", "received", due_at=far, waits_for="payment:p2"),
    )
    async with database.transaction() as connection:
        refs = [("example", "payment:p1"), ("other", "payment:p2")]
        await bookings.write(connection, "acme", NOON + MINUTE, "webhook", refs=refs)
    assert (await row(database, "refund"))["due_at"] == NOON + MINUTE
    assert (await row(database, "other"))["due_at"] == far
    assert (await row(database, "claimed"))["due_at"] == NOON + MINUTE, "a claim keeps its lease"


async def keep_for_ever(database: Database, batches: Sequence[Sequence[Webhook]]) -> None:
    for batch in batches:
        await keep(database, *batch)


async def test_writers_with_the_same_webhooks_in_any_order_do_not_deadlock(database: Database) -> None:
    keys = [f"evt_{n}" for n in range(20)]
    forward = [[webhook(key, id=uuid4()) for key in keys] for _ in range(10)]
    backward = [list(reversed(batch)) for batch in forward]
    await asyncio.gather(*(keep_for_ever(database, batches) for batches in (forward, backward, forward, backward)))
    async with database.reading() as connection:
        seen = await connection.fetch("SELECT DISTINCT seen FROM inbox")
    assert [found["seen"] for found in seen] == [40]


async def test_a_deadlock_is_told_from_a_database_that_is_away(database: Database) -> None:
    await keep(database, webhook("a"), webhook("b"))
    touch = "UPDATE inbox SET detail = 'x' WHERE event_key = $1"

    async def backwards() -> None:
        async with database.transaction() as connection:
            await connection.execute(touch, "b")
            await asyncio.sleep(0.1)
            await connection.execute(touch, "a")

    found = await asyncio.gather(backwards(), keep(database, webhook("a"), webhook("b")), return_exceptions=True)
    (conflict,) = [error for error in found if isinstance(error, Exception)]
    assert isinstance(conflict, StoreConflict)
    assert "deadlock" in str(conflict)
