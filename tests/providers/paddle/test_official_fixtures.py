"""What Paddle's own SDKs test with; the files stay where they are."""

import json
from datetime import timedelta

import pytest

from gateway.sdk import Accepted, Answer, Delivery, Ignored, Money, RevenueKind
from providers.paddle.api import PADDLE
from providers.paddle.checkout import checkout_of
from providers.paddle.events import read
from providers.paddle.listing import page_of
from providers.paddle.signature import sign
from tests.providers.paddle.conftest import NOW, SECRET, webhook

DATA = {
    "adjustment.created": "not_final",
    "customer.created": "not_revenue",
    "payout.paid": "not_revenue",
    "subscription.activated": "not_revenue",
    "subscription.canceled": "not_revenue",
    "subscription.created": "not_revenue",
    "subscription.past_due": "not_revenue",
    "subscription.updated": "not_revenue",
    "transaction.billed": "not_final",
    "transaction.completed": ("payment:txn_01hv8wptq8987qeep44cyrewp9", 65215, 5315, 56589),
    "transaction.created": "not_final",
    "transaction.paid": "not_final",
    "transaction.past_due": "not_final",
    "transaction.payment_failed": "not_final",
    "transaction.updated": "not_final",
}


def wrapped(event_type, data):
    return {
        "event_id": "evt_01kjinvented000000000000aa",
        "event_type": event_type,
        "occurred_at": "2026-03-02T09:30:15.123456Z",
        "notification_id": "ntf_01kjinvented000000000000aa",
        "data": data,
    }


@pytest.mark.parametrize("event_type", DATA)
async def test_webhooks_of_the_python_sdk(official, provider, event_type):
    data = json.loads((official / "webhook-data" / f"{event_type}.json").read_bytes())
    body = json.dumps(wrapped(event_type, data)).encode()
    request = webhook(body, sign(SECRET.encode(), body, NOW))
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    found = await provider.extract(Delivery(request=request, proof=accepted.proof))
    if isinstance(DATA[event_type], str):
        assert found == Ignored(DATA[event_type])
    else:
        key, gross, tax, net = DATA[event_type]
        [sale] = found
        assert (sale.key, sale.amount.minor, sale.tax.minor, sale.net.minor) == (key, gross, tax, net)
        assert len(sale.items) == 6


def test_every_webhook_of_the_sdks_is_expected(official):
    assert {path.stem for path in (official / "webhook-data").glob("*.json")} == set(DATA)


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("webhook-envelope/business.updated.json", "not_revenue"),
        ("webhook-envelope/price.created.json", "not_revenue"),
        ("webhook-envelope/customer.created.signed.json", "not_revenue"),
        ("converted/subscription.updated.node.json", "not_revenue"),
        ("converted/transaction.payment_failed.node.json", "not_final"),
        ("converted/transaction.paid.node.json", "not_final"),
        ("converted/adjustment.updated.node.json", ("refund:adj_01h8c6tbrkpdd7vx61w7b1r0ap", 100)),
    ],
)
def test_whole_envelopes_of_the_sdks(official, path, result):
    found = read(json.loads((official / path).read_bytes()))
    if isinstance(result, str):
        assert found == Ignored(result)
    else:
        [refund] = found
        assert (refund.key, refund.amount.minor) == result
        assert refund.payment_id == "txn_01h8bxpvx398a7zbawb77y0kp5"


def test_the_same_sale_in_yen_stays_whole(official):
    text = (official / "webhook-data" / "transaction.completed.json").read_text().replace('"USD"', '"JPY"')
    [sale] = read(wrapped("transaction.completed", json.loads(text)))
    assert sale.amount == Money(65215, "JPY")


def test_the_sdks_list_of_events_holds_one_sale_reported_twice(official):
    page = page_of(Answer(status=200, body=(official / "api" / "events.list.json").read_bytes()), None)
    assert {event.key for event in page.events} == {"payment:txn_01hfyd09vas8qwq6jw7k6yd9rg"}
    assert len(page.events) == 2
    assert {event.kind for event in page.events} == {RevenueKind.RENEWAL}
    assert {event.amount for event in page.events} == {Money(66000, "GBP")}
    assert page.next_cursor == "evt_01hfyd0v4xppkwmjaca5xyzh5d"


def test_a_last_page_has_a_next_address_that_leads_nowhere(official):
    body = json.loads((official / "api" / "transactions.list.page2.json").read_bytes())
    assert body["meta"]["pagination"]["next"]
    page = page_of(Answer(status=200, body=json.dumps({**body, "data": []}).encode()), None)
    assert page.next_cursor is None


def test_the_answer_to_a_new_transaction_becomes_a_checkout(official):
    made = checkout_of(Answer(status=201, body=(official / "api" / "transaction.create.response.json").read_bytes()))
    assert made.checkout_id == "txn_01hempgzm2hjaxbxhbyya4c8m5"
    assert made.url.endswith("?_ptxn=txn_01hempgzm2hjaxbxhbyya4c8m5")


def test_too_many_requests(official):
    body = (official / "api" / "error.429_too_many_requests.json").read_bytes()
    from gateway.sdk import headers_of

    error = PADDLE.failure(Answer(status=429, headers=headers_of([("Retry-After", "42")]), body=body))
    assert error.retry_after == timedelta(seconds=42)


def test_a_transaction_with_a_total_that_is_an_empty_string_does_not_crash(official):
    answer = PADDLE.content(
        Answer(status=200, body=(official / "converted" / "transaction.with_custom_data.node.json").read_bytes())
    )
    entity = answer.get("data", answer)
    assert read(wrapped("transaction.updated", entity)) == Ignored("not_final")


def test_a_simulation_of_the_sdk_is_ignored(official):
    run = json.loads((official / "api" / "simulation_run_event.json").read_bytes())["data"]
    assert read(json.loads(run["request"]["body"])) == Ignored("simulated")
