from datetime import UTC, datetime, timedelta

import pytest
from yarl import URL

from gateway.sdk import Malformed, Rejected, Unavailable
from providers.razorpay.listing import LISTS, Place, next_place, page_query, place_of
from tests.providers.razorpay.conftest import API, NOW, entity, read_fixture

SINCE = datetime(2026, 8, 31, 12, 0, tzinfo=UTC)
UNTIL = int(NOW.timestamp())
ALL = list(LISTS)
ORDERS, INVOICE = f"{API}/v1/orders/order_RzpInventedB01", f"{API}/v1/invoices/inv_RzpInventedD01"
PLAN, PAYMENT = f"{API}/v1/subscriptions/sub_RzpInventedE01", f"{API}/v1/payments/pay_RzpInventedA01"


def address(name, skip=0, until=UNTIL):
    query = page_query(LISTS[name], SINCE, Place(listed=name, until=until, skip=skip))
    return str(URL(f"{API}/v1/{name}").with_query(query))


def listed(items):
    return {"entity": "collection", "count": len(items), "items": items}


def payments(*names):
    return [entity(name, "payment") for name in names]


async def swept(provider):
    """Return the keys of all pages and the cursors between them."""
    keys, cursors, cursor = [], [], None
    while True:
        page = await provider.list_revenue(SINCE, cursor)
        keys += [event.key for event in page.events]
        cursor = page.next_cursor
        if cursor is None:
            return keys, cursors
        cursors.append(cursor)


async def test_payments_refunds_and_disputes_come_behind_one_cursor(provider, razorpay):
    rows = payments("payment.captured__link", "payment.authorized__link", "payment.failed__link")
    refunds = [entity(f"refund.processed__{name}", "refund") for name in ("partial", "second_partial", "not_processed")]
    disputes = [entity(f"payment.dispute.{name}__chargeback", "dispute") for name in ("lost", "won", "created")]
    razorpay.add(address("payments"), "GET", payload=listed(rows))
    razorpay.add(address("refunds"), "GET", payload=listed(refunds))
    razorpay.add(address("disputes"), "GET", payload=listed(disputes))
    for _ in range(2):
        razorpay.add(PAYMENT, "GET", payload=entity("refund.processed__partial", "payment"))
    keys, cursors = await swept(provider)
    assert keys == [
        "payment:pay_RzpInventedA01",
        "refund:rfnd_RzpInventedH1",
        "refund:rfnd_RzpInventedH2",
        "refund:disp_RzpInventedI1",
    ]
    assert cursors == [f"refunds.{UNTIL}.0.", f"disputes.{UNTIL}.0."]


@pytest.mark.parametrize("name", ["first", "later"])
async def test_a_listed_charge_of_a_subscription_is_the_webhooks(provider, razorpay, name):
    [charged], _ = read_fixture(f"subscription.charged__{name}")
    billed = {"first": "subscription.charged__first", "later": "invoice.paid__subscription_later"}[name]
    invoice = (
        entity(billed, "invoice")
        if name == "later"
        else {"id": "inv_RzpInventedD01", "subscription_id": "sub_RzpInventedE01", "billing_start": 1788250000}
    )
    razorpay.add(address("payments"), "GET", payload=listed(payments(f"payment.captured__subscription_{name}")))
    razorpay.add(INVOICE, "GET", payload=invoice)
    razorpay.add(PLAN, "GET", payload=entity(f"subscription.charged__{name}", "subscription"))
    [event] = (await provider.list_revenue(SINCE, None)).events
    assert (event.key, event.kind, event.amount, event.attribution, event.reference) == (
        charged.key,
        charged.kind,
        charged.amount,
        charged.attribution,
        charged.reference,
    )


async def test_a_listed_payment_without_notes_has_those_of_its_order(provider, razorpay):
    [sold], _ = read_fixture("payment.captured__link")
    razorpay.add(address("payments"), "GET", payload=listed(payments("payment.captured__link_notes_not_copied")))
    razorpay.add(ORDERS, "GET", payload=entity("order.paid__link", "order"))
    [event] = (await provider.list_revenue(SINCE, None)).events
    assert (event.reference, event.attribution) == (sold.reference, sold.attribution)


async def test_a_refund_of_a_payment_that_never_was_captured_is_left_out(provider, razorpay):
    razorpay.add(address("refunds"), "GET", payload=listed([entity("refund.processed__never_captured", "refund")]))
    razorpay.add(PAYMENT, "GET", payload=entity("refund.processed__never_captured", "payment"))
    assert (await provider.list_revenue(SINCE, f"refunds.{UNTIL}.0.")).events == []


async def test_a_sweep_without_disputes_ends_after_the_refunds(provider, razorpay, config):
    razorpay.add(address("refunds"), "GET", payload=listed([]))
    quiet = type(provider)(config.model_copy(update={"list_disputes": False}), provider.runtime)
    assert (await quiet.list_revenue(SINCE, f"refunds.{UNTIL}.0.")).next_cursor is None
    assert (await quiet_disputes(quiet, razorpay)).next_cursor is None


async def quiet_disputes(provider, razorpay):
    """A cursor of a sweep that began before the setting was changed."""
    razorpay.add(address("disputes"), "GET", payload=listed([]))
    return await provider.list_revenue(SINCE, f"disputes.{UNTIL}.0.")


def test_the_lists_are_asked_from_a_few_days_before():
    query = page_query(LISTS["payments"], SINCE, Place(until=UNTIL, skip=25))
    assert query == {
        "from": str(int((SINCE - timedelta(days=5)).timestamp())),
        "to": str(UNTIL),
        "count": "25",
        "skip": "25",
    }
    assert "from" not in page_query(LISTS["disputes"], SINCE, Place(until=UNTIL))
    long_ago = page_query(LISTS["refunds"], datetime(1999, 1, 1, tzinfo=UTC), Place(until=1))
    assert (long_ago["from"], long_ago["to"]) == ("946684800", "946684800")


def rows(count):
    return [{"id": f"pay_{number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("place", "count", "expected"),
    [
        (Place(until=UNTIL), 25, Place(until=UNTIL, skip=25, last="pay_24")),
        (Place(until=UNTIL, skip=25, last="pay_9"), 25, Place(until=UNTIL, skip=50, last="pay_24")),
        (Place(until=UNTIL), 24, Place(listed="refunds", until=UNTIL)),
        (Place(until=UNTIL), 0, Place(listed="refunds", until=UNTIL)),
        (Place(listed="refunds", until=UNTIL, skip=75, last="x"), 3, Place(listed="disputes", until=UNTIL)),
        (Place(listed="disputes", until=UNTIL), 99, None),
        (Place(listed="disputes", until=UNTIL), 100, Place(listed="disputes", until=UNTIL, skip=100, last="pay_99")),
    ],
)
def test_a_sweep_goes_on_behind_a_full_page_and_then_in_the_next_list(place, count, expected):
    found = next_place(LISTS[place.listed], rows(count), place, ALL)
    assert found == expected
    if found:
        assert place_of(found.cursor(), NOW) == found


@pytest.mark.parametrize("last", [{"id": "pay_24"}, {}, {"id": 7}, {"id": "pay 1"}, "pay_24"])
def test_a_list_that_does_not_move_on_is_not_read_for_ever(last):
    with pytest.raises(Unavailable, match="does not go on"):
        next_place(LISTS["payments"], [*rows(24), last], Place(until=UNTIL, skip=25, last="pay_24"), ALL)


@pytest.mark.parametrize("cursor", ["", "payments", "orders.1788250000.0.", "payments.x.0.", "payments.1.0.a/b"])
def test_a_cursor_of_somebody_else_is_malformed(cursor):
    with pytest.raises(Malformed, match="cursor"):
        place_of(cursor, NOW)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({**entity("payment.captured__link", "payment"), "amount": "1"}, "pay_RzpInventedA01"),
        ({"status": "captured"}, "''"),
        ("pay_1", "''"),
    ],
)
async def test_an_unreadable_row_stops_the_sweep_with_its_id(provider, razorpay, row, name):
    razorpay.add(address("payments"), "GET", payload=listed([row]))
    with pytest.raises(Malformed, match=name):
        await provider.list_revenue(SINCE, None)


@pytest.mark.parametrize(
    ("status", "payload", "error"),
    [
        (200, {}, Unavailable),
        (200, {"items": {}}, Unavailable),
        (401, {"error": {"description": "Authentication failed"}}, Rejected),
        (503, {}, Unavailable),
    ],
)
async def test_a_list_that_does_not_come_is_an_error(provider, razorpay, status, payload, error):
    razorpay.add(address("payments"), "GET", status=status, payload=payload)
    with pytest.raises(error):
        await provider.list_revenue(SINCE, None)


async def test_a_question_that_is_not_answered_stops_the_sweep(provider, razorpay):
    razorpay.add(address("payments"), "GET", payload=listed(payments("payment.captured__link_notes_not_copied")))
    razorpay.add(ORDERS, "GET", status=500)
    with pytest.raises(Unavailable):
        await provider.list_revenue(SINCE, None)
