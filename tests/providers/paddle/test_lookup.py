"""What became of one transaction, under the keys of the webhooks."""

import json
from dataclasses import replace

import pytest

from gateway.sdk import Ignored, Malformed, Rejected, SupportsLookup, Unavailable
from providers.paddle.events import read
from tests.providers.paddle.conftest import OWN_FIXTURES

API = "https://sandbox-api.paddle.com"


def entity(name):
    return json.loads((OWN_FIXTURES / f"{name}.json").read_bytes())["data"]


SALE = entity("transaction.completed__first_purchase")
WEBHOOK = json.loads((OWN_FIXTURES / "transaction.completed__first_purchase.json").read_bytes())
REFUND = {**entity("adjustment.updated__approved_partial"), "transaction_id": SALE["id"]}
PENDING = {**entity("adjustment.created__pending"), "transaction_id": SALE["id"]}


def transaction(paddle, data=SALE, **what):
    paddle.get(f"{API}/transactions/{SALE['id']}", payload={"data": data, "meta": {}}, **what)


def adjustments(paddle, *data, **what):
    address = f"{API}/adjustments?transaction_id={SALE['id']}&per_page=50"
    paddle.get(address, payload={"data": list(data), "meta": {"pagination": {"has_more": False}}}, **what)


async def test_a_paid_transaction_is_the_sale_that_its_webhook_reports(provider, paddle):
    transaction(paddle)
    adjustments(paddle)
    assert isinstance(provider, SupportsLookup)
    (found,) = await provider.find(SALE["id"])
    (reported,) = read(WEBHOOK)
    assert replace(found, occurred_at=reported.occurred_at) == reported
    assert found.occurred_at.isoformat() == SALE["billed_at"].replace("Z", "+00:00")


async def test_approved_refunds_come_along_and_others_do_not(provider, paddle):
    transaction(paddle)
    adjustments(paddle, PENDING, REFUND)
    assert [event.key for event in await provider.find(SALE["id"])] == [
        f"payment:{SALE['id']}",
        f"refund:{REFUND['id']}",
    ]


@pytest.mark.parametrize("status", ["draft", "ready", "billed", "paid", "canceled", "past_due"])
async def test_nothing_is_found_while_a_transaction_is_not_completed(status, provider, paddle):
    transaction(paddle, {**SALE, "status": status})
    assert list(await provider.find(SALE["id"])) == []


async def test_a_transaction_without_the_time_of_its_bill_has_that_of_its_last_change(provider, paddle):
    transaction(paddle, {**SALE, "billed_at": None})
    adjustments(paddle, {**REFUND, "updated_at": None})
    sale, refund = await provider.find(SALE["id"])
    assert sale.occurred_at.isoformat()[:19] == SALE["updated_at"][:19]
    assert refund.occurred_at.isoformat()[:19] == REFUND["created_at"][:19]


async def test_the_official_transaction_is_not_paid(provider, paddle, official):
    body = json.loads((official / "api" / "transaction.get.json").read_bytes())
    paddle.get(f"{API}/transactions/{body['data']['id']}", payload=body)
    assert list(await provider.find(body["data"]["id"])) == []


async def test_the_official_adjustment_is_not_approved(official):
    body = json.loads((official / "api" / "adjustment.get.json").read_bytes())
    found = read({"event_type": "adjustment.updated", "occurred_at": body["data"]["created_at"], "data": body["data"]})
    assert found == Ignored("not_final")


async def test_an_id_cannot_lead_elsewhere(provider, paddle):
    paddle.get(f"{API}/transactions/..%2Fevents%3Fx=1", status=404, payload={"error": {"code": "entity_not_found"}})
    with pytest.raises(Rejected):
        await provider.find("../events?x=1")
    ((_, url),) = paddle.requests
    assert url.raw_path.startswith("/transactions/")


async def test_an_unknown_transaction_is_a_refusal(provider, paddle):
    transaction(paddle, status=404)
    with pytest.raises(Rejected):
        await provider.find(SALE["id"])


@pytest.mark.parametrize("data", [None, [], "x"])
async def test_an_answer_without_a_transaction_is_unavailable(data, provider, paddle):
    transaction(paddle, data)
    with pytest.raises(Unavailable):
        await provider.find(SALE["id"])


@pytest.mark.parametrize("data", [None, {}, ["x"]])
async def test_an_answer_without_a_list_of_adjustments_is_unavailable(data, provider, paddle):
    transaction(paddle)
    paddle.get(f"{API}/adjustments?transaction_id={SALE['id']}&per_page=50", payload={"data": data})
    with pytest.raises(Unavailable):
        await provider.find(SALE["id"])


async def test_an_adjustment_that_cannot_be_read_is_not_passed_over(provider, paddle):
    transaction(paddle)
    adjustments(paddle, {**REFUND, "totals": None})
    with pytest.raises(Malformed):
        await provider.find(SALE["id"])


async def test_a_pause_that_paddle_asks_for_is_passed_on(provider, paddle):
    transaction(paddle)
    paddle.get(f"{API}/adjustments?transaction_id={SALE['id']}&per_page=50", status=429, headers={"Retry-After": "30"})
    with pytest.raises(Unavailable) as caught:
        await provider.find(SALE["id"])
    assert caught.value.retry_after.total_seconds() == 30
