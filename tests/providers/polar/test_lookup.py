"""What became of one checkout, under the keys of the webhooks."""

import json

import pytest
from yarl import URL

from gateway.sdk import Malformed, Rejected, SupportsLookup, Unavailable
from providers.polar.events import read
from tests.providers.polar.conftest import OWN_FIXTURES

ORDERS = "https://sandbox-api.polar.sh/v1/orders/"
REFUNDS = "https://sandbox-api.polar.sh/v1/refunds/"
WEBHOOK = json.loads((OWN_FIXTURES / "order.paid__first_purchase.json").read_bytes())
ORDER = WEBHOOK["data"]
CHECKOUT = ORDER["checkout_id"]
REFUND = {**json.loads((OWN_FIXTURES / "refund.created__at_once.json").read_bytes())["data"], "order_id": ORDER["id"]}


def orders(polar, *items, **what):
    address = URL(ORDERS).with_query(checkout_id=CHECKOUT, limit="100")
    polar.get(address, **{"payload": {"items": list(items), "pagination": {}}, **what})


def refunds(polar, *items, **what):
    address = URL(REFUNDS).with_query(order_id=ORDER["id"], limit="100")
    polar.get(address, **{"payload": {"items": list(items), "pagination": {}}, **what})


async def test_a_paid_checkout_is_the_sale_that_its_webhook_reports(provider, polar):
    orders(polar, ORDER)
    refunds(polar)
    assert isinstance(provider, SupportsLookup)
    assert list(await provider.find(CHECKOUT)) == list(read(WEBHOOK))


async def test_its_refunds_come_along_and_those_of_other_orders_do_not(provider, polar):
    orders(polar, ORDER)
    refunds(polar, REFUND, {**REFUND, "id": "another", "order_id": "another"}, {**REFUND, "status": "pending"})
    assert [event.key for event in await provider.find(CHECKOUT)] == [
        f"payment:{ORDER['id']}",
        f"refund:{REFUND['id']}",
    ]


@pytest.mark.parametrize(
    "found",
    [[], [{**ORDER, "status": "pending"}], [{**ORDER, "checkout_id": None}], [{**ORDER, "checkout_id": "other"}]],
)
async def test_nothing_is_found_while_nobody_paid_this_checkout(found, provider, polar):
    orders(polar, *found)
    assert list(await provider.find(CHECKOUT)) == []


@pytest.mark.parametrize("body", [{"items": None}, {}, {"items": "x"}])
async def test_an_answer_without_a_list_is_unavailable(body, provider, polar):
    orders(polar, payload=body)
    with pytest.raises(Unavailable):
        await provider.find(CHECKOUT)


async def test_an_order_that_cannot_be_read_is_not_passed_over(provider, polar):
    orders(polar, {**ORDER, "currency": None})
    with pytest.raises(Malformed):
        await provider.find(CHECKOUT)


async def test_a_refused_token_is_a_refusal(provider, polar):
    orders(polar, status=401, payload={"error": "invalid_token"})
    with pytest.raises(Rejected):
        await provider.find(CHECKOUT)
