import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from yarl import URL

from gateway.sdk import Answer, Ignored, Malformed, Rejected, Unavailable
from providers.polar.events import read
from providers.polar.listing import LATE, page_of, page_query, place
from tests.providers.polar.conftest import OWN_FIXTURES

ORDERS = "https://sandbox-api.polar.sh/v1/orders/"
REFUNDS = "https://sandbox-api.polar.sh/v1/refunds/"
SINCE = datetime(2026, 3, 24, 12, 0, tzinfo=UTC)
ORDER_NAMES = [
    "order.paid__first_purchase",
    "order.paid__renewal",
    "order.updated__refunded",
    "order.created__renewal_pending",
    "order.paid__simulated",
]
REFUND_NAMES = ["refund.created__at_once", "refund.created__partial", "refund.created__pending"]


def webhooks(names):
    return [json.loads((OWN_FIXTURES / f"{name}.json").read_bytes()) for name in names]


def entries(names):
    return [one["data"] for one in webhooks(names)]


def listed(items, last=1):
    return {"items": items, "pagination": {"total_count": len(items), "max_page": last}}


def page(body, kind="orders", number=1, since=SINCE, status=200):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return page_of(Answer(status=status, body=raw), kind, number, since)


def test_orders_are_asked_for_oldest_first_from_long_before():
    query = page_query("orders", 3, SINCE.astimezone(timezone(timedelta(hours=2))))
    assert query == {"page": "3", "limit": "100", "sorting": "created_at", "created_after": "2026-03-02T12:00:00Z"}


def test_refunds_have_no_date_filter_and_come_newest_first():
    assert page_query("refunds", 1, SINCE) == {"page": "1", "limit": "100", "sorting": "-created_at"}


def test_polars_attempts_to_charge_a_renewal_fit_into_what_is_read_again():
    assert timedelta(days=2 + 5 + 7 + 7) < LATE


@pytest.mark.parametrize(("kind", "names"), [("orders", ORDER_NAMES), ("refunds", REFUND_NAMES)])
def test_a_listing_has_the_events_of_the_webhooks(kind, names):
    found = [read(one) for one in webhooks(names)]
    expected = [event for one in found if not isinstance(one, Ignored) for event in one]
    assert list(page(listed(entries(names)), kind).events) == expected
    assert expected


async def test_orders_come_first_and_then_refunds_over_all_pages(provider, polar):
    def address(kind, number):
        return URL({"orders": ORDERS, "refunds": REFUNDS}[kind]).with_query(page_query(kind, number, SINCE))

    polar.get(address("orders", 1), payload=listed(entries(ORDER_NAMES[:1]), 2))
    polar.get(address("orders", 2), payload=listed(entries(ORDER_NAMES[1:]), 2))
    polar.get(address("refunds", 1), payload=listed(entries(REFUND_NAMES[:2]), 2))
    polar.get(address("refunds", 2), payload=listed(entries(REFUND_NAMES[2:]), 2))
    cursors, keys, cursor = [], [], None
    while cursor is not None or not cursors:
        found = await provider.list_revenue(SINCE, cursor)
        cursor, keys = found.next_cursor, [*keys, *(event.key for event in found.events)]
        cursors.append(cursor)
    assert cursors == ["orders:2", "refunds:1", "refunds:2", None]
    assert {key.partition(":")[0] for key in keys} == {"payment", "refund"}


@pytest.mark.parametrize(
    ("kind", "created", "last", "cursor"),
    [
        ("orders", "2026-03-02T12:00:00Z", 1, "refunds:1"),
        ("orders", "2026-03-02T12:00:00Z", 2, "orders:2"),
        ("orders", "2020-01-01T00:00:00Z", 2, "orders:2"),
        ("refunds", "2026-03-02T12:00:00Z", 1, None),
        ("refunds", "2026-03-02T12:00:00Z", 2, "refunds:2"),
        ("refunds", "2026-03-02T11:59:59Z", 2, None),
        ("orders", None, 9, "refunds:1"),
        ("refunds", None, 9, None),
    ],
)
def test_the_next_page_follows_from_the_number_of_pages_and_for_refunds_from_their_age(kind, created, last, cursor):
    [entry] = entries([ORDER_NAMES[0] if kind == "orders" else REFUND_NAMES[0]])
    items = [{**entry, "created_at": created}] if created else []
    assert page(listed(items, last), kind).next_cursor == cursor


@pytest.mark.parametrize(
    "cursor", ["", "orders", "orders:0", "orders:-1", "payments:1", "orders:1x", "orders:" + "9" * 99]
)
def test_a_cursor_that_is_not_ours_is_malformed(cursor):
    with pytest.raises(Malformed):
        place(cursor)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", {}, {"items": []}, {"items": None, "pagination": {"max_page": 1}},
     {"items": [], "pagination": {"max_page": "1"}}, {"items": [], "pagination": []}],
)  # fmt: skip
def test_a_list_that_cannot_be_followed_is_unavailable(body):
    for kind in ("orders", "refunds"):
        with pytest.raises(Unavailable):
            page(body, kind)


@pytest.mark.parametrize("kind", ["orders", "refunds"])
@pytest.mark.parametrize(
    ("bad", "name"),
    [({"id": "entry_bad", "status": "paid"}, "entry_bad"), ({"status": 7}, "None"), ("text", "None")],
)
def test_an_unreadable_entry_stops_the_sweep_by_name(kind, bad, name):
    bad = {**bad, "status": "succeeded"} if kind == "refunds" and isinstance(bad, dict) else bad
    with pytest.raises(Malformed, match=f"{name}.*{kind}"):
        page(listed([bad]), kind)


async def test_the_probe_proves_both_rights_and_tells_the_time(provider, polar):
    polar.get(f"{ORDERS}?limit=1", payload=listed([]))
    polar.get(f"{REFUNDS}?limit=1", payload=listed([]), headers={"Date": "Mon, 02 Mar 2026 09:30:15 GMT"})
    assert await provider.probe() == datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)


async def test_the_probe_fails_with_the_token(provider, polar):
    polar.get(f"{ORDERS}?limit=1", payload=listed([]))
    polar.get(f"{REFUNDS}?limit=1", status=403, payload={"error": "insufficient_scope"})
    with pytest.raises(Rejected, match="refunds:read"):
        await provider.probe()


async def test_the_probe_says_when_polar_is_down(provider, polar):
    polar.get(f"{ORDERS}?limit=1", status=503)
    with pytest.raises(Unavailable):
        await provider.probe()
