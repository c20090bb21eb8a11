import json
from datetime import UTC, datetime

import pytest

from gateway.sdk import (
    API,
    Accepted,
    Attribution,
    Delivery,
    Ignored,
    Malformed,
    Money,
    RevenueKind,
    SupportsProbe,
    SupportsStandIn,
    Unavailable,
)
from providers.lemonsqueezy import plugin
from tests.providers.lemonsqueezy.conftest import API as ADDRESS
from tests.providers.lemonsqueezy.conftest import FOLDER, KEY, NOW, SECRET, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")


async def read(provider, body):
    request = webhook(body, provider.sign(body, NOW))
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    return await provider.extract(Delivery(request=request, proof=accepted.proof))


def test_the_plugin_says_what_it_is():
    assert (plugin.api, plugin.name, plugin.title) == (API, "lemonsqueezy", "Lemon Squeezy")
    assert plugin.metadata_limits.value_chars >= 256
    assert not hasattr(plugin, "global_payment_ids")


def test_the_demo_gets_other_secrets_at_every_address():
    one, other = (plugin.demo_settings(f"http://127.0.0.1:{port}") for port in (9000, 9001))
    assert one["webhook_secrets"] != other["webhook_secrets"]
    assert one["api_key"] != other["api_key"]
    config = plugin.config_model.model_validate({"environment": "sandbox", **one})
    assert config.api_address == "http://127.0.0.1:9000"
    assert plugin.demo_plan["items"][0]["price_id"].isdigit()


def test_the_provider_offers_probe_and_stand_in(provider):
    assert isinstance(provider, SupportsProbe)
    assert isinstance(provider, SupportsStandIn)


def test_no_secret_shows(provider):
    assert KEY not in repr(provider)
    assert SECRET not in repr(provider)
    assert KEY not in repr(provider._account)


@pytest.mark.parametrize("proof", ["none", "secret"])
async def test_without_a_signature_nothing_is_believed(provider, proof):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    with pytest.raises(Malformed):
        await provider.extract(Delivery(request=webhook(body, {}), proof=proof))


async def test_a_refund_of_a_first_invoice_asks_for_its_order(provider, lemonsqueezy):
    body = (FOLDER / "fixtures" / "subscription_payment_refunded__initial.json").read_bytes()
    lemonsqueezy.get(f"{ADDRESS}/v1/subscriptions/800101", status=503)
    with pytest.raises(Unavailable):
        await read(provider, body)
    lemonsqueezy.get(f"{ADDRESS}/v1/subscriptions/800101", payload={"data": {"attributes": {"order_id": 700102}}})
    [refund] = await read(provider, body)
    assert refund.key == "refunds:order-700102:6500"


@pytest.mark.parametrize("kind", RevenueKind)
async def test_a_sample_is_simulated_unless_told_otherwise(provider, kind):
    found = await read(provider, provider.sample(kind))
    found_real = await read(provider, provider.sample(kind, simulated=False))
    if kind is RevenueKind.REFUND_REVERSAL:  # Lemon Squeezy tells of none
        assert found == found_real == Ignored("not_revenue")
        return
    assert found == Ignored("simulated")
    [event] = found_real
    assert (event.kind, event.amount, event.test) == (kind, Money(6500, "USD"), True)


async def test_a_sample_says_what_it_is_asked_to_say(provider):
    at = datetime(2026, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)
    body = provider.sample(
        RevenueKind.PURCHASE,
        reference="order_1",
        amount=Money(4900, "JPY"),
        attribution=WHO,
        payment_id="order-77",
        price_id="1002",
        occurred_at=at,
        simulated=False,
        something_of_another_provider="x",
    )
    [event] = await read(provider, body)
    assert (event.key, event.reference, event.occurred_at) == ("payment:order-77", "order_1", at)
    assert (event.amount, event.items[0], event.attribution) == (Money(4900, "JPY"), "1002", WHO)


async def test_a_sampled_renewal_and_its_refund_are_of_one_invoice(provider):
    what = {"payment_id": "invoice-8", "subscription_id": "55", "simulated": False}
    [renewal] = await read(provider, provider.sample(RevenueKind.RENEWAL, **what))
    [refund] = await read(provider, provider.sample(RevenueKind.REFUND, amount=Money(100, "EUR"), **what))
    assert (renewal.payment_id, renewal.subscription_id) == ("invoice-8", "55")
    assert (refund.key, refund.payment_id, refund.subscription_id) == ("refunds:invoice-8:100", "invoice-8", "55")


async def test_ids_of_other_providers_do_not_break_a_sample(provider):
    what = {"price_id": "pri_1", "subscription_id": "sub_1", "simulated": False}
    [sale] = await read(provider, provider.sample(RevenueKind.PURCHASE, **what))
    [renewal] = await read(provider, provider.sample(RevenueKind.RENEWAL, **what))
    assert sale.items[0] == "1001"
    assert renewal.subscription_id.isdigit()


async def test_a_live_connection_samples_live_money(config, provider):
    live = plugin.open(config.model_copy(update={"environment": "live"}), provider.runtime)
    [event] = await read(live, live.sample(RevenueKind.PURCHASE, simulated=False))
    assert event.test is False


async def test_a_sample_is_written_as_lemon_squeezy_writes(provider):
    body = provider.sample(RevenueKind.PURCHASE, attribution=Attribution(visitor_id="é/"))
    assert b"\\u00e9\\/" in body
    assert json.loads(body)["meta"]["custom_data"] == {"faVisitorId": "é/"}
    assert "custom_data" not in json.loads(provider.sample(RevenueKind.PURCHASE))["meta"]


async def test_the_same_body_twice_gives_equal_events(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert await read(provider, body) == await read(provider, body)
