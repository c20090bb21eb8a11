import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
)
from providers.polar import plugin
from providers.polar.events import SIMULATED
from tests.providers.polar.conftest import NOW, SECRET, TOKEN, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
MOVING = [RevenueKind.PURCHASE, RevenueKind.RENEWAL, RevenueKind.REFUND]


async def read(provider, body, at=NOW):
    request = webhook(body, provider.sign(body, at), at)
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    return await provider.extract(Delivery(request=request, proof=accepted.proof))


def test_the_plugin_says_what_it_is():
    assert (plugin.api, plugin.name, plugin.title, plugin.global_payment_ids) == (API, "polar", "Polar", True)
    limits = plugin.metadata_limits
    assert (limits.keys, limits.key_chars, limits.value_chars) == (50, 40, 500)


def test_the_provider_offers_probe_and_stand_in(provider):
    assert isinstance(provider, SupportsProbe)
    assert isinstance(provider, SupportsStandIn)


def test_no_secret_shows(provider):
    shown = repr(provider) + repr(provider._account)
    assert TOKEN not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("proof", ["none", "secret"])
async def test_without_a_signature_nothing_is_believed(provider, proof):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    with pytest.raises(Malformed):
        await provider.extract(Delivery(request=webhook(body, {}), proof=proof))


@pytest.mark.parametrize("kind", RevenueKind)
async def test_a_sample_is_simulated_unless_told_otherwise(provider, kind):
    body = provider.sample(kind, payment_id="order_1", refund_id="refund_1")
    assert json.loads(body)["data"]["id"].startswith(SIMULATED)
    assert await read(provider, body) == Ignored("simulated")


@pytest.mark.parametrize("kind", MOVING)
async def test_a_sample_of_each_kind_is_read_as_that_kind(provider, kind):
    [event] = await read(provider, provider.sample(kind, simulated=False))
    assert (event.kind, event.amount) == (kind, Money(6500, "USD"))


async def test_a_sampled_reversal_is_a_refund_that_failed_for_polar_has_no_other(provider):
    body = provider.sample(RevenueKind.REFUND_REVERSAL, simulated=False)
    assert json.loads(body)["type"] == "refund.updated"
    assert await read(provider, body) == Ignored("not_final")


async def test_a_sample_says_what_it_is_asked_to_say(provider):
    at = datetime(2026, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)
    [event] = await read(
        provider,
        provider.sample(
            RevenueKind.RENEWAL,
            reference="order_1",
            amount=Money(4900, "JPY"),
            attribution=WHO,
            checkout_id="chk_1",
            payment_id="pay_1",
            subscription_id="sub_1",
            price_id="prod_1",
            occurred_at=at,
            simulated=False,
            something_of_another_provider="x",
        ),
    )
    assert (event.key, event.payment_id, event.checkout_id) == ("payment:pay_1", "pay_1", "chk_1")
    assert (event.amount, event.subscription_id, event.occurred_at) == (Money(4900, "JPY"), "sub_1", at)
    assert (event.reference, event.attribution, event.items[0]) == ("order_1", WHO, "prod_1")


async def test_a_sampled_refund_points_at_its_sale(provider):
    what = {"payment_id": "pay_1", "refund_id": "ref_1", "amount": Money(100, "EUR"), "subscription_id": "sub_1"}
    [refund] = await read(provider, provider.sample(RevenueKind.REFUND, simulated=False, **what))
    assert (refund.key, refund.payment_id, refund.amount) == ("refund:ref_1", "pay_1", Money(100, "EUR"))
    assert refund.subscription_id == "sub_1"


async def test_the_same_body_twice_gives_equal_events(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert await read(provider, body) == await read(provider, body)


@given(minor=st.integers(min_value=0, max_value=10**12), currency=st.sampled_from(["USD", "JPY", "ISK", "MGA"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_figures_of_a_sample_add_up_and_come_back(provider, minor, currency):
    amount = Money(minor * 100 if currency == "MGA" else minor, currency)
    body = provider.sample(RevenueKind.PURCHASE, amount=amount, simulated=False)
    order = json.loads(body)["data"]
    assert order["net_amount"] + order["tax_amount"] == order["total_amount"] == order["due_amount"]
    coroutine = provider.extract(Delivery(request=webhook(body, {}), proof="signature"))
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value[0].amount == amount
