import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from yarl import URL

from gateway.sdk import Ignored, Malformed, Rejected, Unavailable
from providers.stripe.events import READERS
from providers.stripe.listing import page_query
from tests.providers.stripe.conftest import answers, case, fixture

API = "https://api.stripe.com"
EVENTS = re.compile(re.escape(f"{API}/v1/events?") + ".*")
SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = [
    "refund.updated__succeeded",
    "charge.dispute.funds_reinstated__won",
    "invoice.paid__renewal_2024",
    "checkout.session.completed__subscription",
    "refund.created__pending",
    "checkout.session.completed__simulated",
]
ONE_OFF = "checkout.session.completed__one_off"
LINES = f"{API}/v1/checkout/sessions/cs_test_a1Invented0000000001/line_items?limit=100"


def listed(*events, has_more=False):
    return {"object": "list", "data": list(events), "has_more": has_more, "url": "/v1/events"}


def test_the_query_asks_for_money_only():
    query = page_query(SINCE.astimezone(timezone(timedelta(hours=2))), None)
    assert dict(query)["created[gte]"] == str(int(SINCE.timestamp()))
    assert [value for name, value in query if name == "types[]"] == sorted(READERS)
    assert page_query(SINCE, "evt_9") == [*query, ("starting_after", "evt_9")]


async def test_a_listing_has_the_keys_of_the_webhooks(provider, stripe):
    stripe.get(EVENTS, payload=listed(*map(fixture, NAMES)))
    page = await provider.list_revenue(SINCE, None)
    found = [case(name) for name in NAMES]
    assert [event.key for event in page.events] == [
        event.key for one in found if not isinstance(one, Ignored) for event in one
    ]
    assert {event.key.partition(":")[0] for event in page.events} == {"payment", "refund", "reversal"}
    assert page.next_cursor is None


async def test_a_listed_event_is_asked_about_like_a_webhook(provider, stripe):
    stripe.get(EVENTS, payload=listed(fixture(ONE_OFF)))
    [body] = [answer["body"] for answer in answers(ONE_OFF).values()]
    stripe.get(LINES, payload=body)
    [sale] = (await provider.list_revenue(SINCE, None)).events
    assert sale == case(ONE_OFF)[0]


async def test_pages_are_followed_by_the_last_event(provider, stripe):
    first, second = fixture("refund.created__card"), fixture("refund.created__second_partial")
    stripe.get(EVENTS, payload=listed(first, has_more=True))
    stripe.get(EVENTS, payload=listed(second))
    page = await provider.list_revenue(SINCE, None)
    assert page.next_cursor == first["id"]
    page = await provider.list_revenue(SINCE, page.next_cursor)
    assert page.next_cursor is None
    asked = [url.query.get("starting_after") for _, url in stripe.requests]
    assert asked == [None, first["id"]]


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        ([], None),
        ({"data": None, "has_more": False}, None),
        ({"data": [], "has_more": None}, None),
        ({"data": [], "has_more": True}, None),
        (listed({"id": "evt_9", "type": "x"}, has_more=True), "evt_9"),
        (listed({"id": "evt_9", "type": "x"}, {"id": "", "type": "x"}, has_more=True), "evt_1"),
    ],
)
async def test_a_list_that_cannot_be_followed_is_an_error(provider, stripe, body, cursor):
    stripe.get(EVENTS, payload=body)
    with pytest.raises((Unavailable, Malformed)):
        await provider.list_revenue(SINCE, cursor)


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"id": "evt_bad", "type": "invoice.paid", "data": {}}, "evt_bad"),
        ({"type": 7}, "None"),
        ("text", "None"),
    ],
)
async def test_an_unreadable_event_stops_the_sweep_by_name(provider, stripe, bad, name):
    stripe.get(EVENTS, payload=listed(fixture("refund.created__card"), bad))
    with pytest.raises(Malformed, match=name):
        await provider.list_revenue(SINCE, None)


async def test_a_sweep_does_not_pass_over_what_could_not_be_asked(provider, stripe):
    stripe.get(EVENTS, payload=listed(fixture(ONE_OFF)))
    stripe.get(LINES, status=500)
    with pytest.raises(Unavailable):
        await provider.list_revenue(SINCE, None)


async def test_a_key_that_may_not_list_is_rejected(provider, stripe):
    stripe.get(EVENTS, status=403, payload={"error": {"type": "invalid_request_error"}})
    with pytest.raises(Rejected, match="permission"):
        await provider.list_revenue(SINCE, None)


async def test_the_probe_proves_the_rights_and_tells_the_time(provider, stripe):
    for path in ("checkout/sessions", "invoice_payments", "events"):
        stripe.get(f"{API}/v1/{path}?limit=1", payload=listed(), headers={"Date": "Mon, 02 Mar 2026 09:30:15 GMT"})
    assert await provider.probe() == datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
    assert {url.host for _, url in stripe.requests} == {URL(API).host}


async def test_the_probe_fails_with_the_key(provider, stripe):
    stripe.get(f"{API}/v1/checkout/sessions?limit=1", payload=listed())
    stripe.get(f"{API}/v1/invoice_payments?limit=1", status=403, payload={"error": {}})
    stripe.get(f"{API}/v1/events?limit=1", payload=listed())
    with pytest.raises(Rejected, match="permission"):
        await provider.probe()
