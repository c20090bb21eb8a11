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
from providers.paddle import plugin
from tests.providers.paddle.conftest import KEY, NOW, SECRET, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")


async def read(provider, body, at=NOW):
    request = webhook(body, provider.sign(body, at), at)
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    return accepted, await provider.extract(Delivery(request=request, proof=accepted.proof))


def test_the_plugin_says_what_it_is():
    assert (plugin.api, plugin.name, plugin.global_payment_ids) == (API, "paddle", True)
    assert plugin.metadata_limits.value_chars >= 256


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


async def test_secret_headers_are_not_needed_to_extract(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert await provider.extract(Delivery(request=webhook(body, {}), proof="signature"))


@pytest.mark.parametrize("kind", RevenueKind)
async def test_a_sample_is_simulated_unless_told_otherwise(provider, kind):
    accepted, found = await read(provider, provider.sample(kind))
    assert accepted.event_id.startswith("ntfsimevt_")
    assert found == Ignored("simulated")
    accepted, [event] = await read(provider, provider.sample(kind, simulated=False))
    assert accepted.event_id.startswith("evt_")
    assert (event.kind, event.amount) == (kind, Money(6500, "USD"))


async def test_a_sample_says_what_it_is_asked_to_say(provider):
    at = datetime(2026, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)
    body = provider.sample(
        RevenueKind.RENEWAL,
        reference="order_1",
        amount=Money(4900, "JPY"),
        attribution=WHO,
        payment_id="txn_1",
        subscription_id="sub_1",
        price_id="pri_1",
        occurred_at=at,
        event_id="evt_1",
        simulated=False,
        something_of_another_provider="x",
    )
    accepted, [event] = await read(provider, body)
    assert (accepted.event_id, accepted.event_type) == ("evt_1", "transaction.completed")
    assert (event.key, event.checkout_id, event.reference) == ("payment:txn_1", "txn_1", "order_1")
    assert (event.amount, event.subscription_id, event.occurred_at) == (Money(4900, "JPY"), "sub_1", at)
    assert event.items[0] == "pri_1"
    assert event.attribution == WHO
    assert event.amount.minor == event.tax.minor + event.net.minor + int(
        json.loads(body)["data"]["details"]["totals"]["fee"]
    )


async def test_a_sampled_refund_points_at_its_sale(provider):
    what = {"payment_id": "txn_1", "adjustment_id": "adj_1", "amount": Money(100, "EUR"), "reference": None}
    _, [refund] = await read(provider, provider.sample(RevenueKind.REFUND, simulated=False, **what))
    assert (refund.key, refund.payment_id, refund.amount) == ("refund:adj_1", "txn_1", Money(100, "EUR"))
    _, [back] = await read(provider, provider.sample(RevenueKind.REFUND_REVERSAL, simulated=False, **what))
    assert (back.key, back.payment_id) == ("reversal:adj_1", "txn_1")


async def test_a_sampled_purchase_is_its_checkout(provider):
    _, [sale] = await read(provider, provider.sample(RevenueKind.PURCHASE, checkout_id="txn_7", simulated=False))
    assert (sale.payment_id, sale.checkout_id, sale.subscription_id) == ("txn_7", "txn_7", None)


async def test_the_same_body_twice_gives_equal_events(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert (await read(provider, body))[1] == (await read(provider, body))[1]


@given(minor=st.integers(min_value=-(10**12), max_value=10**12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tax_fee_and_earnings_of_a_sample_add_up(provider, minor):
    totals = json.loads(provider.sample(RevenueKind.PURCHASE, amount=Money(minor, "USD")))["data"]["details"]["totals"]
    assert int(totals["tax"]) + int(totals["fee"]) + int(totals["earnings"]) == minor == int(totals["grand_total"])
