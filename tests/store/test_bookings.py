"""What one booking transaction writes: all at once, exactly, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import pytest_asyncio
from lines import LEASE, MINUTE, OTHER_LEASE, claim, dispatch, ended, entry, rows, settle, sold
from rows import NOON, webhook

from gateway.domain.delivery import Reason, Status
from gateway.sdk import Attribution, Money, RevenueKind
from gateway.store import bookings, inbox, ledger
from gateway.store.errors import StoreData
from gateway.store.inbox import Outcome
from gateway.store.pool import Database, open_database

ODD = "\"\\,{}[]'$1 \x01\x7f\t\n\u2028\ufffe\U0001f600 é"


@pytest_asyncio.fixture(name="database", params=[False, True], ids=["direct", "pgbouncer"])
async def _database(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4, pgbouncer=request.param)
    yield database
    await database.close()


async def write(database: Database, site: str = "acme", **what: Any) -> bool:
    async with database.transaction() as connection:
        return await bookings.write(connection, site, NOON, "webhook", **what)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(12, 11, 10, 9, 8, 7, 6, tzinfo=UTC),
        datetime(2026, 2, 3, 4, 5, 6, 999_999, tzinfo=timezone(-timedelta(hours=11, minutes=30))),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
async def test_times_amounts_and_any_text_arrive_exactly(database: Database, moment: datetime) -> None:
    line = entry(
        f"payment:{ODD}", order_id=ODD, account=ODD, items=(ODD, "NULL", "null", "{}"), cause=ODD, event_key=ODD,
        amount=Money(10**15, "JPY"), tax=Money(-(10**15), "JPY"), net=Money(0, "JPY"), occurred_at=moment,
        attribution=Attribution(visitor_id=ODD, session_id="null"), booked_at=moment.astimezone(UTC),
    )  # fmt: skip
    await write(database, lines=[line], deliveries=[dispatch(line.event.key, payment_id=ODD, order_id_sent=ODD)])
    async with database.transaction() as connection:
        books = await ledger.read_books(connection, "acme", [("example", line.event)])
    assert books.entries == {("example", line.event.key): line}
    assert await rows(database, "SELECT payment_id, order_id_sent, amount_minor, reason FROM outbox") == [
        (ODD, ODD, 6500, None)
    ]


async def test_what_an_attempt_came_to_arrives_exactly(database: Database) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    at = NOON + timedelta(microseconds=1)
    assert await settle(database, ended(Status.PENDING, answer=ODD, status_code=503, due_at=at, spent=3)) == [True]
    assert await rows(database, "SELECT due_at, spent FROM outbox") == [(at, 3)]
    assert await rows(database, "SELECT answer, status_code FROM attempts") == [(ODD, 503)]


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_text_that_postgres_cannot_store_is_the_values_fault_and_leaves_nothing(
    database: Database, text: str
) -> None:
    refused = Outcome(connection="example", event_key="evt_1", outcome="unreadable", detail=text)
    with pytest.raises(StoreData, match="refused a value"):
        await write(database, lines=[entry()], deliveries=[dispatch()], outcomes=[refused])
    with pytest.raises(StoreData, match="refused a value"):
        await settle(database, ended(answer=text))
    assert await rows(database, "SELECT 1 FROM ledger UNION ALL SELECT 1 FROM outbox") == []


@pytest.mark.parametrize("number", [2**63, 2**70])
async def test_a_number_beyond_its_column_is_the_values_fault(database: Database, number: int) -> None:
    with pytest.raises(StoreData, match="refused a value"):
        await write(database, deliveries=[dispatch(amount_minor=number)])


async def test_nothing_but_an_outcome_can_be_written(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook()])
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=1)
    assert not await write(database, outcomes=[Outcome(connection="example", event_key="evt_1", outcome="ignored")])
    assert await rows(database, "SELECT outcome, due_at, lease FROM inbox") == [("ignored", None, None)]


async def test_what_waits_is_woken_only_at_the_connection_that_booked(database: Database) -> None:
    far = NOON + 60 * MINUTE
    async with database.transaction() as connection:
        for name in ("example", "other"):
            await inbox.keep(connection, [webhook(connection=name), webhook("evt_2", connection=name)])
    for name, ref in (("example", "payment:p1"), ("other", "payment:p2")):
        waits = {"connection": name, "outcome": "received", "due_at": far, "waits_for": ref}
        await write(database, outcomes=[Outcome(event_key="evt_1", **waits)])
    await write(database, refs=[("example", "payment:p2"), ("other", "payment:p1")])
    assert await rows(database, "SELECT due_at FROM inbox WHERE event_key = 'evt_1'") == [(far,), (far,)]
    await write(database, refs=[("example", "payment:p1"), ("other", "payment:p3")])
    assert await rows(database, "SELECT connection FROM inbox WHERE due_at = '" + NOON.isoformat() + "' AND "
                      "event_key = 'evt_1'") == [("example",)]  # fmt: skip


async def enter(database: Database, *, lease: Any = LEASE) -> set[tuple[str, str]]:
    async with database.transaction() as connection:
        return await bookings.enter(connection, "acme", [("example", "evt_1"), ("example", "evt_2")], lease, NOON)


async def claimed(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook(), webhook("evt_2")])
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=2)


async def test_who_enters_holds_the_sites_lock_from_its_first_booking_on(database: Database) -> None:
    await claimed(database)
    both = {("example", "evt_1"), ("example", "evt_2")}
    async with database.transaction() as connection:
        assert await bookings.enter(connection, "acme", sorted(both), LEASE, NOON) == both
        second = asyncio.create_task(enter(database))
        await asyncio.sleep(0.1)
        assert not second.done()
    assert await second == both
    assert await enter(database, lease=OTHER_LEASE) == set()
    async with database.transaction() as connection:
        await bookings.enter(connection, "acme", sorted(both), LEASE, NOON)
        second = asyncio.create_task(enter(database))
        await asyncio.sleep(0.1)
        assert not second.done(), "also where the site is known"
    assert await second == both


async def test_a_webhook_that_is_lost_while_the_site_is_waited_for_is_not_ours(database: Database) -> None:
    await claimed(database)
    async with database.transaction() as connection:
        await ledger.lock_site(connection, "acme", NOON)
        waiting = asyncio.create_task(enter(database))
        await asyncio.sleep(0.1)
        async with database.transaction() as other:
            await inbox.keep(other, [webhook(body=b"another")])
        assert not waiting.done()
    assert await waiting == {("example", "evt_2")}


async def test_no_webhook_is_locked_before_the_site_is(database: Database) -> None:
    """Else two bookings that meet would each hold what the other one wants."""
    await claimed(database)
    await enter(database)
    async with database.transaction() as connection:
        await ledger.lock_site(connection, "acme", NOON)
        waiting = asyncio.create_task(enter(database))
        await asyncio.sleep(0.1)
        assert len(await connection.fetch("SELECT 1 FROM inbox FOR UPDATE NOWAIT")) == 2
    assert len(await waiting) == 2


UNATTRIBUTED: dict[str, Any] = {"status": Status.UNATTRIBUTED, "reason": Reason.NO_VISITOR_ID}


@pytest.mark.parametrize(
    ("known", "delivery", "may_be"),
    [
        ({}, {}, False),
        ({"status": Status.REJECTED}, {}, False),
        ({}, UNATTRIBUTED, True),
        (UNATTRIBUTED, {}, True),
    ],
)
async def test_unattributed_sales_are_known_of_before_and_from_the_same_batch(
    database: Database, known: dict[str, Any], delivery: dict[str, Any], may_be: bool
) -> None:
    await write(database, lines=[entry("payment:p1")], deliveries=[dispatch("payment:p1", **known)])
    await write(database, "globex", lines=[entry()], deliveries=[dispatch(**UNATTRIBUTED)])
    assert await write(database, lines=[entry("payment:p2")], deliveries=[dispatch("payment:p2", **delivery)]) is may_be


async def test_where_much_ended_badly_unattributed_sales_are_not_ruled_out(database: Database) -> None:
    await write(database, deliveries=[dispatch(f"payment:p{number}", status=Status.DEAD) for number in range(99)])
    assert not await write(database)
    await write(database, deliveries=[dispatch("payment:last", status=Status.REJECTED)])
    assert await write(database)


async def test_refunds_of_a_sale_that_is_never_sent_are_not_sent_either(database: Database) -> None:
    refund = dispatch("refund:r1", payment_id="p1", reason=Reason.WAITING_FOR_SALE)
    line = entry("refund:r1", kind=RevenueKind.REFUND, payment_id="p1")
    await write(database, lines=[entry(), line], deliveries=[dispatch(), refund])
    await write(database, deliveries=[dispatch(status=Status.SKIPPED, reason=Reason.ZERO_AMOUNT)])
    assert await rows(database, "SELECT status, reason FROM outbox ORDER BY revenue_key") == [
        ("skipped", "zero_amount"), ("skipped", "sale_not_recorded"),
    ]  # fmt: skip
