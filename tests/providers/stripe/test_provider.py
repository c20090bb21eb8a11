import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

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
from providers.stripe import plugin
from tests.providers.stripe.conftest import FOLDER, KEY, NOW, SECRET, answers, case, webhook

ONE_OFF = "checkout.session.completed__one_off"
LINES = "https://api.stripe.com/v1/checkout/sessions/cs_test_a1Invented0000000001/line_items?limit=100"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")


async def read(provider, body):
    request = webhook(body, provider.sign(body, NOW))
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    return accepted, await provider.extract(Delivery(request=request, proof=accepted.proof))


def recorded(name):
    return (FOLDER / "fixtures" / f"{name}.json").read_bytes()


def test_the_plugin_says_what_it_is():
    assert (plugin.api, plugin.name, plugin.title, plugin.global_payment_ids) == (API, "stripe", "Stripe", True)
    limits = plugin.metadata_limits
    assert (limits.keys, limits.key_chars, limits.value_chars) == (50, 40, 500)
    assert plugin.checkout_options.model_fields.keys() >= {"mode"}


def test_the_provider_offers_probe_and_stand_in(provider):
    assert isinstance(provider, SupportsProbe)
    assert isinstance(provider, SupportsStandIn)


def test_no_secret_shows(provider):
    for shown in (repr(provider), repr(provider._account)):
        assert KEY not in shown
        assert SECRET not in shown


@pytest.mark.parametrize("proof", ["none", "secret"])
async def test_without_a_signature_nothing_is_believed(provider, proof):
    with pytest.raises(Malformed):
        await provider.extract(Delivery(request=webhook(recorded("refund.created__card"), {}), proof=proof))


async def test_what_a_webhook_lacks_is_fetched(provider, stripe):
    [answer] = answers(ONE_OFF).values()
    stripe.get(LINES, payload=answer["body"])
    _, found = await read(provider, recorded(ONE_OFF))
    assert found == case(ONE_OFF)
    [call] = stripe.requests[("GET", URL(LINES))]
    assert call.kwargs["headers"]["Authorization"] == f"Bearer {KEY}"
    assert "Stripe-Account" not in call.kwargs["headers"]


async def test_a_connected_account_is_named_where_its_objects_are_fetched(provider, stripe):
    name = "checkout.session.completed__connected_account"
    [answer] = answers(name).values()
    stripe.get(LINES, payload=answer["body"])
    await read(provider, recorded(name))
    [call] = stripe.requests[("GET", URL(LINES))]
    assert call.kwargs["headers"]["Stripe-Account"] == "acct_1Invented"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_a_fetch_that_fails_is_worth_another_try(provider, stripe, status):
    stripe.get(LINES, status=status, payload={"error": {"message": "no"}})
    with pytest.raises(Unavailable) as caught:
        await read(provider, recorded(ONE_OFF))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("kind", RevenueKind)
async def test_a_sample_is_simulated_unless_told_otherwise(provider, kind):
    accepted, found = await read(provider, provider.sample(kind))
    assert accepted.event_id.startswith("evt_simulated_")
    assert found == Ignored("simulated")
    _, found = await read(provider, provider.sample(kind, simulated=False))
    assert (found[-1].kind, found[-1].amount, found[-1].test) == (kind, Money(6500, "USD"), True)


async def test_a_sample_says_what_it_is_asked_to_say(provider):
    body = provider.sample(
        RevenueKind.PURCHASE,
        reference="order_1",
        amount=Money(4900, "KWD"),
        attribution=WHO,
        payment_id="pi_1",
        checkout_id="cs_test_1",
        price_id="price_1",
        event_id="evt_1",
        something_of_another_provider="x",
    )
    accepted, [event] = await read(provider, body)
    assert (accepted.event_id, accepted.event_type) == ("evt_1", "checkout.session.completed")
    assert (event.key, event.checkout_id, event.reference) == ("payment:pi_1", "cs_test_1", "order_1")
    assert (event.amount, event.attribution, event.occurred_at) == (Money(4900, "KWD"), WHO, NOW)
    assert event.items[0] == "price_1"


async def test_a_sampled_renewal_carries_its_subscriptions_metadata(provider):
    what = {"subscription_id": "sub_1", "payment_id": "pi_2", "attribution": WHO, "reference": "order_1"}
    _, [event] = await read(provider, provider.sample(RevenueKind.RENEWAL, simulated=False, **what))
    assert (event.key, event.subscription_id, event.attribution) == ("payment:pi_2", "sub_1", WHO)


async def test_a_sampled_refund_points_at_its_sale(provider):
    what = {"payment_id": "pi_1", "refund_id": "re_1", "amount": Money(100, "EUR")}
    _, [refund] = await read(provider, provider.sample(RevenueKind.REFUND, simulated=False, **what))
    assert (refund.key, refund.payment_id, refund.amount) == ("refund:re_1", "pi_1", Money(100, "EUR"))
    _, [taken, back] = await read(provider, provider.sample(RevenueKind.REFUND_REVERSAL, simulated=False, **what))
    assert (taken.key, back.key, back.payment_id) == ("refund:re_1", "reversal:re_1", "pi_1")


async def test_the_same_body_twice_gives_equal_events(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert (await read(provider, body))[1] == (await read(provider, body))[1]


@given(minor=st.integers(min_value=0, max_value=10**12), code=st.sampled_from(["USD", "JPY", "ISK", "KWD"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
async def test_amounts_of_samples_come_out_to_the_last_unit(provider, minor, code):
    body = provider.sample(RevenueKind.PURCHASE, amount=Money(minor, code), simulated=False)
    assert (await read(provider, body))[1][0].amount == Money(minor, code)
