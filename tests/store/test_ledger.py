"""Lines of the ledger: written once, read back with what is around them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from lines import LEASE, MINUTE, book, claim, dispatch, ended, entry, event, rows, settle, sold
from rows import NOON, webhook

from gateway.domain.attribution import AttributionSource
from gateway.domain.booking import Books
from gateway.domain.delivery import Reason, Status
from gateway.sdk import Attribution, Money, RevenueEvent, RevenueKind
from gateway.store import bookings, inbox, ledger, outbox
from gateway.store.errors import StoreData
from gateway.store.inbox import Outcome
from gateway.store.pool import Database, open_database

ANNA = Attribution(visitor_id="anna", session_id="s1", token="t1")
BERT = Attribution(visitor_id="bert")
RENEWAL, REFUND = RevenueKind.RENEWAL, RevenueKind.REFUND


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


async def around(database: Database, *events: RevenueEvent, name: str = "example", site: str = "acme") -> Books:
    async with database.transaction() as connection:
        return await ledger.read_books(connection, site, [(name, one) for one in events])


def keys(books: Books) -> list[str]:
    return sorted(key for _, key in books.entries)


@pytest.mark.parametrize(
    "line",
    [
        entry(),
        entry("refund:r1", kind=REFUND, payment_id="p1", attribution=ANNA,
              attribution_source=AttributionSource.PAYMENT),
        entry("refunds:p1:500", kind=REFUND, payment_id="p1", cumulative=True, amount=Money(500, "JPY"),
              tax=Money(5, "JPY"), net=Money(-7, "JPY")),
        entry("payment:p2", kind=RENEWAL, test=True, order_id="order-1", carries_order=True, checkout_id="chk_1",
              subscription_id="sub_1", account="acct_1", items=("price_1", "pro_1"), attribution=BERT, cause="renewed",
              attribution_source=AttributionSource.SUBSCRIPTION, event_key=None,
              occurred_at=NOON - timedelta(days=9, microseconds=1)),
    ],
)  # fmt: skip
async def test_a_line_comes_back_as_it_was_written(database: Database, line: Any) -> None:
    await book(database, (line, dispatch(line.event.key)))
    books = await around(database, line.event)
    assert books.entries == {("example", line.event.key): line}
    assert books.statuses == {("example", line.event.key): Status.PENDING}
    assert books.attempted == set()


async def test_nothing_is_known_at_first(database: Database) -> None:
    assert await around(database, event()) == Books()
    assert await around(database) == Books()


async def test_the_movement_and_everything_of_its_payment_are_near(database: Database) -> None:
    await sold(database, "payment:p1", "payment:p2")
    refund = (entry("refund:r1", kind=REFUND, payment_id="p1"), dispatch("refund:r1", payment_id="p1"))
    await book(database, refund)
    assert keys(await around(database, event("refund:r2", kind=REFUND, payment_id="p1"))) == ["payment:p1", "refund:r1"]
    assert keys(await around(database, event("refund:r1", kind=REFUND, payment_id="else"))) == ["refund:r1"]


async def test_other_sites_and_connections_are_not_near(database: Database) -> None:
    await sold(database, "payment:p1", site="globex")
    await book(database, (entry(connection="sandbox"), dispatch(connection="sandbox")))
    assert keys(await around(database, event())) == []
    assert keys(await around(database, event(), name="sandbox")) == ["payment:p1"]


async def test_of_a_subscription_only_the_first_booking_is_near(database: Database) -> None:
    same: dict[str, Any] = {"subscription_id": "sub_1"}
    await sold(database, "payment:late", **same, booked_at=NOON, occurred_at=NOON)
    await sold(database, "payment:first", **same, booked_at=NOON, occurred_at=NOON - MINUTE)
    for number in range(20):
        await sold(database, f"payment:r{number}", **same, kind=RENEWAL, booked_at=NOON + MINUTE)
    refund = entry("refund:r1", kind=REFUND, payment_id="other", **same, booked_at=NOON - MINUTE)
    await book(database, (refund, dispatch("refund:r1")))
    books = await around(database, event("payment:new", kind=RENEWAL, **same))
    assert keys(books) == ["payment:first"]
    assert books.firsts["example", "sub_1"].event.key == "payment:first"


async def test_an_attempted_delivery_is_known_as_such(database: Database) -> None:
    await sold(database, "payment:p1", "payment:p2")
    await claim(database, limit=1)
    books = await around(database, event("payment:p1"), event("payment:p2"))
    assert len(books.attempted) == 1


async def remember(database: Database, site: str, order: str, connection: str, checkout: str | None) -> None:
    async with database.transaction() as open_connection:
        await open_connection.execute(
            "INSERT INTO checkouts (site, order_id, connection, plan, checkout_id, visitor_id, request_hash, state, "
            "created_at) VALUES ($1, $2, $3, 'pro', $4, 'anna', '', 'created', $5)",
            site, order, connection, checkout, NOON,
        )  # fmt: skip


async def test_checkouts_are_found_by_their_own_id_or_ours(database: Database) -> None:
    await remember(database, "acme", "order-1", "example", "chk_1")
    await remember(database, "acme", "order-2", "example", None)
    await remember(database, "acme", "order-3", "sandbox", "chk_3")
    await remember(database, "globex", "order-4", "example", "chk_4")
    events = [event(checkout_id=f"chk_{number}", reference=f"order-{number}") for number in (2, 3, 4)]
    books = await around(database, event(checkout_id="chk_1"), *events)
    assert set(books.checkouts) == {("example", "chk_1"), ("sandbox", "chk_3")}
    assert set(books.orders) == {"order-1", "order-2", "order-3"}
    assert books.checkouts["example", "chk_1"].attribution == Attribution(visitor_id="anna")


async def test_the_checkout_of_a_subscriptions_first_sale_is_found_for_its_renewal(database: Database) -> None:
    await remember(database, "acme", "order-1", "example", "chk_1")
    await sold(database, "payment:p1", checkout_id="chk_1", subscription_id="sub_1")
    books = await around(database, event("payment:p2", kind=RENEWAL, subscription_id="sub_1"))
    assert set(books.checkouts) == {("example", "chk_1")}


async def test_order_ids_that_were_sent_are_known_over_all_connections(database: Database) -> None:
    carried: dict[str, Any] = {"order_id": "order-1", "carries_order": True}
    await book(database, (entry(connection="sandbox", **carried), dispatch(connection="sandbox")))
    await sold(database, "payment:p2", order_id="order-2")
    books = await around(database, event("payment:p3", reference="order-1"), event("payment:p4", reference="order-2"))
    assert books.carried == {"order-1"}


async def test_money_of_other_sites_is_known_by_what_refers_to_it(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook()])
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=1)
        other = Outcome(
            connection="example", event_key="evt_1", outcome="ignored", refs=("payment:x1", "subscription:s")
        )
        await bookings.write(connection, "acme", NOON, "webhook", outcomes=[other])
    refund = event("refund:r1", kind=REFUND, payment_id="x1")
    assert ("example", "payment:x1") in (await around(database, refund)).foreign
    renewal = event("payment:p2", kind=RENEWAL, subscription_id="s")
    assert ("example", "subscription:s") in (await around(database, renewal)).foreign
    assert (await around(database, event("payment:p3"))).foreign == set()


@pytest.mark.parametrize("again", [entry(), entry("payment:p2", order_id="order-1", carries_order=True)])
async def test_a_movement_or_an_order_id_cannot_be_booked_twice(database: Database, again: Any) -> None:
    await book(database, (entry(order_id="order-1", carries_order=True), dispatch()))
    with pytest.raises(StoreData):
        await book(database, (again, dispatch(again.event.key)))


async def test_filling_changes_figures_and_ids_and_nothing_else(database: Database) -> None:
    await sold(database, "payment:p1", "payment:p2")
    before = await rows(database, "SELECT amount_minor, kind, booked_at, order_id, event_key FROM ledger ORDER BY 1")
    filled = entry(tax=Money(500, "USD"), net=Money(5700, "USD"), attribution=ANNA, amount=Money(1, "USD"),
                   attribution_source=AttributionSource.WEBHOOK)  # fmt: skip
    async with database.transaction() as connection:
        await ledger.fill(connection, "acme", [filled])
        await ledger.fill(connection, "globex", [entry("payment:p2", attribution=BERT)])
    after = await rows(database, "SELECT amount_minor, kind, booked_at, order_id, event_key FROM ledger ORDER BY 1")
    assert after == before
    columns = "revenue_key, tax_minor, net_minor, visitor_id, session_id, token, attribution_source"
    assert await rows(database, f"SELECT {columns} FROM ledger ORDER BY 1") == [
        ("payment:p1", 500, 5700, "anna", "s1", "t1", "webhook"),
        ("payment:p2", None, None, None, None, None, "none"),
    ]


UNATTRIBUTED: dict[str, Any] = {"status": Status.UNATTRIBUTED, "reason": Reason.NO_VISITOR_ID, "api": "payments"}


async def attribute(database: Database, *entries: Any, site: str = "acme") -> None:
    async with database.transaction() as connection:
        await ledger.attribute_siblings(connection, site, entries, NOON)


async def test_an_unattributed_sale_gets_the_ids_of_its_payment_before_those_of_its_subscription(
    database: Database,
) -> None:
    await book(database, (entry(subscription_id="sub"), dispatch(**UNATTRIBUTED)))
    by_subscription = entry("payment:p2", kind=RENEWAL, subscription_id="sub", attribution=ANNA)
    by_payment = entry("refund:r1", kind=REFUND, payment_id="p1", attribution=BERT)
    await attribute(database, by_subscription, by_payment)
    columns = "visitor_id, session_id, attribution_source, status, reason, due_at"
    assert await rows(database, f"SELECT {columns} FROM ledger JOIN outbox USING (site, connection, revenue_key)") == [
        ("bert", None, "payment", "pending", None, NOON)
    ]


@pytest.mark.parametrize(
    ("delivery", "sibling", "site"),
    [
        ({}, entry("refund:r1", kind=REFUND, payment_id="p1", attribution=ANNA), "acme"),
        (UNATTRIBUTED, entry("refund:r1", kind=REFUND, payment_id="p1", attribution=Attribution(token="t")), "acme"),
        (UNATTRIBUTED, entry("refund:r1", kind=REFUND, payment_id="p2", attribution=ANNA), "acme"),
        (UNATTRIBUTED, entry("payment:p2", subscription_id="else", attribution=ANNA), "acme"),
        (UNATTRIBUTED, entry("refund:r1", kind=REFUND, payment_id="p1", attribution=ANNA, connection="other"), "acme"),
        (UNATTRIBUTED, entry("refund:r1", kind=REFUND, payment_id="p1", attribution=ANNA), "globex"),
    ],
)
async def test_nothing_else_is_attributed(
    database: Database, delivery: dict[str, Any], sibling: Any, site: str
) -> None:
    await book(database, (entry(), dispatch(**delivery)))
    before = await rows(database, "SELECT status, reason, due_at FROM outbox")
    await attribute(database, sibling, site=site)
    assert await rows(database, "SELECT status, reason, due_at FROM outbox") == before
    assert await rows(database, "SELECT visitor_id FROM ledger") == [(None,)]


async def test_an_attributed_sale_without_its_figure_goes_on_waiting_for_it(database: Database) -> None:
    await book(database, (entry(), dispatch(**UNATTRIBUTED, amount_minor=None)))
    await attribute(database, entry("refund:r1", kind=REFUND, payment_id="p1", attribution=ANNA))
    assert await rows(database, "SELECT status, reason, due_at FROM outbox") == [
        ("pending", "waiting_for_amount", None)
    ]


async def test_one_transaction_at_a_time_books_for_a_site(database: Database) -> None:
    order: list[str] = []

    async def booking(site: str, name: str, seconds: float) -> None:
        async with database.transaction() as connection:
            await ledger.lock_site(connection, site, NOON)
            order.append(f"{name} begins")
            await asyncio.sleep(seconds)
            order.append(f"{name} ends")

    first = asyncio.create_task(booking("acme", "first", 0.2))
    await asyncio.sleep(0.05)
    await asyncio.gather(first, booking("acme", "second", 0), booking("globex", "other", 0))
    assert order.index("second begins") > order.index("first ends")
    assert order.index("other ends") < order.index("first ends")


REFUNDED = event("refund:r1", kind=REFUND, payment_id="p1")
WAITS = dispatch("refund:r1", payment_id="p1", reason=Reason.WAITING_FOR_SALE)


async def test_a_refund_that_is_booked_while_its_sale_settles_sees_the_result(database: Database) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    async with database.transaction() as connection:
        await outbox.settle(connection, [ended()], NOON)
        booking = asyncio.create_task(around(database, REFUNDED))
        await asyncio.sleep(0.1)
        assert not booking.done()
    assert (await booking).statuses == {("example", "payment:p1"): Status.RECORDED}


async def test_a_sale_that_settles_while_its_refund_is_booked_releases_it(database: Database) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    async with database.transaction() as connection:
        await ledger.read_books(connection, "acme", [("example", REFUNDED)])
        settling = asyncio.create_task(settle(database, ended()))
        await asyncio.sleep(0.1)
        assert not settling.done()
        refund = entry("refund:r1", kind=REFUND, payment_id="p1")
        await bookings.write(connection, "acme", NOON, "webhook", lines=[refund], deliveries=[WAITS])
    assert await settling == [True]
    delivery = await rows(database, "SELECT status, reason, due_at FROM outbox WHERE revenue_key = 'refund:r1'")
    assert delivery == [("pending", None, NOON)]
