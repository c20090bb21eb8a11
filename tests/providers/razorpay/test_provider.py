import json

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
    RefusalReason,
    Refused,
    RevenueKind,
    SupportsProbe,
    SupportsStandIn,
    Unavailable,
)
from providers.razorpay import plugin
from providers.razorpay.config import RazorpayConfig
from providers.razorpay.provider import RazorpayProvider
from tests.providers.razorpay.conftest import API as ADDRESS
from tests.providers.razorpay.conftest import (
    FOLDER,
    KEY_SECRET,
    NOW,
    OLD_SECRET,
    SECRET,
    entity,
    fixture,
    read_fixture,
    webhook,
)

HEADER = "X-Razorpay-Signature"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
MONEY = [kind for kind in RevenueKind if kind is not RevenueKind.REFUND_REVERSAL]


async def read(provider, body):
    request = webhook(body, provider.sign(body, NOW))
    accepted = provider.verify(request)
    assert isinstance(accepted, Accepted)
    return accepted, await provider.extract(Delivery(request=request, proof=accepted.proof))


def opened(provider, *secrets):
    config = RazorpayConfig(environment="sandbox", key_id="rzp_test_1", key_secret="s", webhook_secrets=list(secrets))
    return RazorpayProvider(config, provider.runtime)


def test_the_plugin_says_what_it_is():
    assert (plugin.api, plugin.name, plugin.global_payment_ids) == (API, "razorpay", True)
    assert plugin.metadata_limits.keys == 15
    assert plugin.checkout_options(**plugin.demo_plan["options"]).description
    assert "items" not in plugin.demo_plan


def test_the_provider_offers_probe_and_stand_in(provider):
    assert isinstance(provider, SupportsProbe)
    assert isinstance(provider, SupportsStandIn)


def test_no_secret_shows(provider):
    for shown in (repr(provider), repr(provider._account)):
        assert KEY_SECRET not in shown
        assert SECRET not in shown


@pytest.mark.parametrize("path", sorted((FOLDER / "vectors").glob("*.json")), ids=lambda path: path.stem)
def test_a_signature_that_openssl_made_is_judged_right(provider, path):
    vector = json.loads(path.read_bytes())
    headers = {} if vector["header"] is None else {HEADER: vector["header"]}
    verdict = opened(provider, *vector["config"]["secrets"]).verify(webhook(vector["body"].encode(), headers))
    if vector["expected"] == "accepted":
        assert isinstance(verdict, Accepted)
        assert verdict.secret_index == (1 if path.stem == "old_secret_after_rotation" else 0)
    else:
        assert isinstance(verdict, Refused)
        assert verdict.reason == RefusalReason(vector["expected"])


async def test_a_signature_of_razorpays_own_tests_is_accepted(provider, official):
    [vector] = json.loads((official / "vectors.json").read_bytes())["vectors"]
    other = opened(provider, *vector["config"]["secrets"])
    request = webhook((official / vector["body_file"]).read_bytes(), vector["headers"])
    accepted = other.verify(request)
    assert (accepted.proof, accepted.event_type) == ("signature", "payment.authorized")
    assert await other.extract(Delivery(request=request, proof="signature")) == Ignored("not_final")


def test_the_unsigned_event_id_is_not_taken(provider):
    body = b'{"id": "evt_1", "event": "order.paid"}'
    accepted = provider.verify(webhook(body, {**provider.sign(body, NOW), "x-razorpay-event-id": "evt_1"}))
    assert (accepted.event_id, accepted.event_type) == (None, "order.paid")


def test_a_retry_under_the_old_secret_is_accepted_while_it_is_listed(provider):
    body = b"{}"
    retry = webhook(body, opened(provider, OLD_SECRET).sign(body, NOW))
    assert provider.verify(retry).secret_index == 1
    assert opened(provider, SECRET).verify(retry).reason == RefusalReason.SIGNATURE_MISMATCH


@given(body=st.binary(max_size=60), header=st.text(max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_verify_raise(provider, body, header):
    assert isinstance(provider.verify(webhook(body, {HEADER: header})), Refused)
    assert isinstance(provider.verify(webhook(body, provider.sign(body, NOW))), Accepted)


@pytest.mark.parametrize("proof", ["none", "secret"])
async def test_without_a_signature_nothing_is_believed(provider, proof):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    with pytest.raises(Malformed):
        await provider.extract(Delivery(request=webhook(body, {}), proof=proof))


async def test_what_a_webhook_lacks_is_asked_for(provider, razorpay):
    body = json.dumps(fixture("payment.captured__link_notes_not_copied")).encode()
    order = f"{ADDRESS}/v1/orders/order_RzpInventedB01"
    razorpay.add(order, "GET", payload=entity("order.paid__link", "order"))
    _, found = await read(provider, body)
    assert found == read_fixture("payment_link.paid__link")[0]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 302])
async def test_a_question_that_fails_is_asked_again_later(provider, razorpay, status):
    body = json.dumps(fixture("payment.captured__subscription_later")).encode()
    invoice = f"{ADDRESS}/v1/invoices/inv_RzpInventedD01"
    razorpay.add(invoice, "GET", status=status, payload={"error": {"description": "The id provided does not exist"}})
    with pytest.raises(Unavailable):
        await read(provider, body)


@pytest.mark.parametrize("kind", RevenueKind)
async def test_a_sample_is_simulated_unless_told_otherwise(provider, kind):
    _, found = await read(provider, provider.sample(kind))
    assert found == Ignored("simulated")


@pytest.mark.parametrize("kind", MONEY)
async def test_a_sample_needs_nothing_to_be_asked(provider, kind):
    _, [event] = await read(provider, provider.sample(kind, simulated=False))
    assert (event.kind, event.amount) == (kind, Money(49900, "INR"))


async def test_razorpay_has_no_reversals(provider):
    _, found = await read(provider, provider.sample(RevenueKind.REFUND_REVERSAL, simulated=False))
    assert found == Ignored("not_revenue")


async def test_a_sample_says_what_it_is_asked_to_say(provider):
    what = {
        "reference": "order_1",
        "amount": Money(4900, "JPY"),
        "attribution": WHO,
        "payment_id": "pay_1",
        "occurred_at": NOW,
        "simulated": False,
        "something_of_another_provider": "x",
    }
    _, [sale] = await read(provider, provider.sample(RevenueKind.PURCHASE, checkout_id="plink_12345678901234", **what))
    assert (sale.key, sale.checkout_id, sale.reference) == ("payment:pay_1", "plink_12345678901234", "order_1")
    assert (sale.amount, sale.occurred_at, sale.attribution) == (Money(4900, "JPY"), NOW, WHO)
    assert sale.subscription_id is None
    renewal = provider.sample(RevenueKind.RENEWAL, subscription_id="sub_1", price_id="plan_1", **what)
    _, [later] = await read(provider, renewal)
    assert (later.subscription_id, later.items, later.attribution) == ("sub_1", ("plan_1",), WHO)
    _, [back] = await read(provider, provider.sample(RevenueKind.REFUND, refund_id="rfnd_1", **what))
    assert (back.key, back.payment_id) == ("refund:rfnd_1", "pay_1")


async def test_the_same_body_twice_gives_equal_events(provider):
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    assert (await read(provider, body))[1] == (await read(provider, body))[1]
