import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from yarl import URL

from gateway.sdk import Answer, Ignored, Malformed, Rejected, Unavailable, headers_of
from providers.paddle.events import read
from providers.paddle.listing import page_of, page_query
from tests.providers.paddle.conftest import OWN_FIXTURES

EVENTS = "https://sandbox-api.paddle.com/events"
TRANSACTIONS = "https://sandbox-api.paddle.com/transactions"
SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = [
    "transaction.completed__first_purchase",
    "transaction.updated__late_completed",
    "transaction.updated__ready",
    "transaction.completed__simulated",
    "adjustment.created__pending",
    "adjustment.updated__approved_partial",
    "adjustment.created__chargeback_reverse",
    "customer.created__not_revenue",
]


def envelopes():
    found = [json.loads((OWN_FIXTURES / f"{name}.json").read_bytes()) for name in NAMES]
    return [{name: value for name, value in one.items() if name != "notification_id"} for one in found]


def listed(data, *, has_more=False, link="https://sandbox-api.paddle.com/events?after=evt_9", **more):
    return {"data": data, "meta": {"pagination": {"per_page": 200, "next": link, "has_more": has_more}}, **more}


def page(body, cursor=None, status=200):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return page_of(Answer(status=status, body=raw, headers=headers_of()), cursor)


def test_the_query_asks_for_money_in_ascending_order():
    query = page_query(SINCE.astimezone(timezone(timedelta(hours=2))), None)
    assert query == {
        "per_page": "200",
        "order_by": "id[ASC]",
        "event_type": "adjustment.created,adjustment.updated,"
        "transaction.completed,transaction.revised,transaction.updated",
        "from": "2026-03-01T12:00:00Z",
    }
    assert page_query(SINCE, "evt_9") == {**query, "after": "evt_9"}


def test_a_listing_has_the_keys_of_the_webhooks():
    found = [read(one) for one in envelopes()]
    expected = [event.key for one in found if not isinstance(one, Ignored) for event in one]
    assert [event.key for event in page(listed(envelopes())).events] == expected
    assert {key.partition(":")[0] for key in expected} == {"payment", "refund", "reversal"}


def test_the_order_of_the_list_does_not_matter():
    forward, backward = page(listed(envelopes())).events, page(listed(envelopes()[::-1])).events
    assert list(forward) == list(backward)[::-1]


async def test_pages_are_followed_by_the_cursor_alone(provider, paddle):
    address = URL(EVENTS).with_query(page_query(SINCE, None))
    paddle.get(
        address, payload=listed(envelopes()[:1], has_more=True, link="http://evil.example/steal?after=evt_7&x=1")
    )
    paddle.get(address.update_query(after="evt_7"), payload=listed(envelopes()[1:2]))
    first = await provider.list_revenue(SINCE, None)
    assert first.next_cursor == "evt_7"
    second = await provider.list_revenue(SINCE, first.next_cursor)
    assert second.next_cursor is None
    assert {url.host for _, url in paddle.requests} == {"sandbox-api.paddle.com"}


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ("https://sandbox-api.paddle.com/events?after=evt_5&per_page=200", "evt_5"),
        ("/events?after=evt_5", "evt_5"),
        (None, "evt_last"),
        (7, "evt_last"),
        ("https://[", "evt_last"),
        ("https://sandbox-api.paddle.com/events", "evt_last"),
    ],
)
def test_the_cursor_is_after_or_the_last_event(link, cursor):
    body = listed([{"event_id": "evt_last", "event_type": "customer.created"}], has_more=True, link=link)
    assert page(body).next_cursor == cursor


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        (b"", None),
        (b"<html>", None),
        (b"[]", None),
        ({"data": None}, None),
        ({"data": []}, None),
        ({"data": [], "meta": {"pagination": None}}, None),
        ({"data": [], "meta": {"pagination": {"has_more": "false"}}}, None),
        (listed([], has_more=True, link=None), None),
        (listed([], has_more=True), "evt_9"),
        (listed([{"event_type": "customer.created"}], has_more=True, link=""), None),
    ],
)
def test_a_list_that_cannot_be_followed_is_unavailable(body, cursor):
    with pytest.raises(Unavailable):
        page(body, cursor)


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"event_id": "evt_bad", "event_type": "transaction.completed", "data": {}}, "evt_bad"),
        ({"event_type": 7}, "None"),
        ("text", "None"),
    ],
)
def test_an_unreadable_event_stops_the_sweep_by_name(bad, name):
    with pytest.raises(Malformed, match=name):
        page(listed([*envelopes(), bad]))


async def test_the_probe_proves_both_rights_and_tells_the_time(provider, paddle):
    paddle.get(f"{TRANSACTIONS}?per_page=1", payload=listed([]))
    paddle.get(f"{EVENTS}?per_page=1", payload=listed([]), headers={"Date": "Mon, 02 Mar 2026 09:30:15 GMT"})
    assert await provider.probe() == datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)


async def test_the_probe_fails_with_the_key(provider, paddle):
    refusal = {"error": {"code": "forbidden"}, "meta": {"request_id": "r"}}
    paddle.get(f"{TRANSACTIONS}?per_page=1", payload=listed([]))
    paddle.get(f"{EVENTS}?per_page=1", status=403, payload=refusal)
    with pytest.raises(Rejected, match="permission"):
        await provider.probe()


async def test_the_probe_says_when_paddle_is_down(provider, paddle):
    paddle.get(f"{TRANSACTIONS}?per_page=1", status=503)
    with pytest.raises(Unavailable):
        await provider.probe()
