"""What became of one Checkout session, under the keys of the webhooks."""

from dataclasses import replace

import pytest

from gateway.sdk import Malformed, SupportsLookup, Unavailable
from tests.providers.stripe.conftest import answers, case, fixture

API = "https://api.stripe.com"
ONE_OFF = "checkout.session.completed__one_off"
CREATED = "invoice.paid__subscription_create"
SESSION = fixture(ONE_OFF)["data"]["object"]
INVOICE = fixture(CREATED)["data"]["object"]
SUBSCRIBED = {**SESSION, "mode": "subscription", "status": "complete", "invoice": INVOICE["id"]}


def session(stripe, data):
    stripe.get(f"{API}/v1/checkout/sessions/{SESSION['id']}", payload=data)


async def test_a_paid_session_is_the_sale_that_its_webhook_reports(provider, stripe):
    session(stripe, SESSION)
    lines = answers(ONE_OFF)[f"GET /v1/checkout/sessions/{SESSION['id']}/line_items"]["body"]
    stripe.get(f"{API}/v1/checkout/sessions/{SESSION['id']}/line_items?limit=100", payload=lines)
    assert isinstance(provider, SupportsLookup)
    (found,) = await provider.find(SESSION["id"])
    (reported,) = case(ONE_OFF)
    assert replace(found, occurred_at=reported.occurred_at) == reported
    assert found.occurred_at.timestamp() == SESSION["created"]


async def test_a_subscription_is_its_first_invoice(provider, stripe):
    session(stripe, SUBSCRIBED)
    stripe.get(f"{API}/v1/invoices/{INVOICE['id']}", payload=INVOICE)
    payments = answers(CREATED)["GET /v1/invoice_payments"]["body"]
    stripe.get(f"{API}/v1/invoice_payments?invoice={INVOICE['id']}&limit=100", payload=payments)
    sessions = answers(CREATED)["GET /v1/checkout/sessions"]["body"]
    subscription = sessions["data"][0]["subscription"]
    stripe.get(f"{API}/v1/checkout/sessions?subscription={subscription}&limit=1", payload=sessions)
    (found,) = await provider.find(SESSION["id"])
    (reported,) = case(CREATED)
    assert replace(found, occurred_at=reported.occurred_at) == reported


@pytest.mark.parametrize(
    "data",
    [
        {**SESSION, "payment_status": "unpaid"},
        {**SESSION, "mode": "setup"},
        {**SUBSCRIBED, "status": "open", "invoice": None},
        {**SUBSCRIBED, "status": "expired"},
        {**SUBSCRIBED, "invoice": None},
    ],
)
async def test_nothing_is_found_while_nobody_paid(data, provider, stripe):
    session(stripe, data)
    assert list(await provider.find(SESSION["id"])) == []


async def test_an_invoice_that_is_not_paid_is_no_sale(provider, stripe):
    session(stripe, SUBSCRIBED)
    unpaid = {**INVOICE, "status": "open", "status_transitions": {}}
    stripe.get(f"{API}/v1/invoices/{INVOICE['id']}", payload=unpaid)
    assert list(await provider.find(SESSION["id"])) == []


@pytest.mark.parametrize("created", [None, "1772443815", 1.5, True, -1, 10**12])
async def test_a_session_without_its_time_is_malformed(created, provider, stripe):
    session(stripe, {**SESSION, "created": created})
    with pytest.raises(Malformed):
        await provider.find(SESSION["id"])


@pytest.mark.parametrize("name", ["", "../events", "cs_test?x=1"])
async def test_an_id_cannot_lead_elsewhere(name, provider, stripe):
    with pytest.raises(Malformed):
        await provider.find(name)
    assert stripe.requests == {}


async def test_a_session_that_stripe_does_not_show_is_unavailable(provider, stripe):
    stripe.get(f"{API}/v1/checkout/sessions/{SESSION['id']}", status=404, payload={"error": {}})
    with pytest.raises(Unavailable):
        await provider.find(SESSION["id"])
