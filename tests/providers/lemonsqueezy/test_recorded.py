"""Payloads of others' repositories; the files stay where they are."""

import json

import pytest

from gateway.sdk import Accepted, Delivery, Ignored, Money, Runtime
from providers.lemonsqueezy import plugin
from tests.providers.lemonsqueezy.conftest import API, NOW, webhook


@pytest.fixture
def vectors(recorded):
    found = json.loads((recorded / "vectors.json").read_bytes())["vectors"]
    return {one["name"]: one | {"body": (recorded / one["body_file"]).read_bytes()} for one in found}


def opened(vector, config, http):
    other = config.model_copy(update={"webhook_secrets": [type(config.api_key)(one) for one in secrets_of(vector)]})
    return plugin.open(other, Runtime(http=http, now=lambda: NOW))


def secrets_of(vector):
    return vector["config"]["secrets"]


async def extracted(vector, config, http):
    provider = opened(vector, config, http)
    request = webhook(vector["body"], vector["headers"])
    verdict = provider.verify(request)
    assert isinstance(verdict, Accepted), verdict
    assert (verdict.event_id, verdict.event_type) == (None, vector["name"])
    return await provider.extract(Delivery(request=request, proof=verdict.proof))


async def test_an_order(vectors, config, http):
    [sale] = await extracted(vectors["order_created"], config, http)
    assert (sale.key, sale.amount, sale.tax) == ("payment:order-1", Money(5899, "USD"), Money(0, "USD"))
    assert (sale.items, sale.account, sale.test) == (("1", "product-1"), "1", False)
    assert not sale.attribution


async def test_a_first_subscription_payment_is_no_second_sale(vectors, config, http):
    assert await extracted(vectors["subscription_payment_success"], config, http) == Ignored("not_revenue")


async def test_a_refund_of_a_first_subscription_payment(vectors, config, http, lemonsqueezy):
    subscription = {"data": {"type": "subscriptions", "id": "1", "attributes": {"order_id": 1}}}
    lemonsqueezy.get(f"{API}/v1/subscriptions/1", payload=subscription)
    [refund] = await extracted(vectors["subscription_payment_refunded"], config, http)
    assert (refund.key, refund.amount, refund.cumulative) == ("refunds:order-1:999", Money(999, "USD"), True)


async def test_every_recorded_webhook_is_read_here(vectors):
    assert set(vectors) == {"order_created", "subscription_payment_success", "subscription_payment_refunded"}
