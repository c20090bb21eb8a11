"""Webhook bodies made to order: what `simulate` sends and what tests of the core feed in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.sdk import Attribution, Money, RevenueKind
from providers.stripe.checkout import metadata
from providers.stripe.money import in_stripes_units
from providers.stripe.stand_in.deliveries import wire
from providers.stripe.stand_in.invoices import Shape, invoice
from providers.stripe.stand_in.objects import (
    Entity,
    Item,
    Price,
    dispute,
    line_item,
    new_id,
    payment_intent,
    refund,
    seconds,
    session,
    subscription,
)
from providers.stripe.stand_in.objects import charge as charge_of

DEFAULT_AMOUNT = Money(6500, "USD")
VERSION: Shape = "2024-06-20"
"""The last shape in which an invoice names its payment: a sample has to speak for itself."""


def sample(
    kind: RevenueKind,
    *,
    now: datetime,
    live: bool = False,
    amount: Money | None = None,
    reference: str | None = None,
    attribution: Attribution | None = None,
    checkout_id: str | None = None,
    payment_id: str | None = None,
    subscription_id: str | None = None,
    refund_id: str | None = None,
    price_id: str | None = None,
    occurred_at: datetime | None = None,
    event_id: str | None = None,
    simulated: bool = True,
    **_other: Any,
) -> bytes:
    """
    Return the body of a webhook that reports one movement, so complete that nothing needs to be asked.

    A purchase is a one-off sale with its line items, a renewal a subscription's invoice, a reversal a dispute that was
    won (which names the refund that it takes back, too). What is not given is invented. Refunds ignore `reference` and
    `attribution`. With `simulated` the event id is one that `extract` ignores; what other providers want to know is
    passed over.
    """
    at, worth = occurred_at or now, amount or DEFAULT_AMOUNT
    price = Price(
        id=price_id or new_id("price"),
        amount=in_stripes_units(worth),
        currency=worth.currency.lower(),
        recurring=kind is RevenueKind.RENEWAL,
    )
    known = metadata(reference or "", attribution or Attribution())
    paid = payment_intent(price.amount, price.currency, known, at, live=live)
    paid["id"] = payment_id or paid["id"]
    if kind is RevenueKind.PURCHASE:
        event_type, entity = "checkout.session.completed", _session(price, paid, checkout_id, at)
    elif kind is RevenueKind.RENEWAL:
        event_type, entity = "invoice.paid", _invoice(price, paid, subscription_id, at)
    elif kind is RevenueKind.REFUND:
        event_type, entity = "refund.created", refund(charge_of(paid, at), price.amount, "succeeded", at)
    else:
        event_type, entity = "charge.dispute.funds_reinstated", dispute(charge_of(paid, at), at) | {"status": "won"}
    if kind in (RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL):
        entity["id"] = refund_id or entity["id"]
    return wire(
        {
            "id": event_id or new_id("evt_simulated" if simulated else "evt"),
            "object": "event",
            "api_version": VERSION,
            "created": seconds(at),
            "data": {"object": entity},
            "livemode": live,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event_type,
        }
    )


def _session(price: Price, paid: Entity, checkout_id: str | None, at: datetime) -> Entity:
    item = Item(price=price)
    form = {"metadata": paid["metadata"], "client_reference_id": paid["metadata"].get("orderId")}
    name = checkout_id or new_id("cs_test")
    sold = session(session_id=name, url="", mode="payment", items=[item], form=form, at=at, live=paid["livemode"])
    done = {"payment_intent": paid["id"], "payment_status": "paid", "status": "complete", "url": None}
    return sold | done | {"line_items": {"object": "list", "data": [line_item(item)], "has_more": False}}


def _invoice(price: Price, paid: Entity, subscription_id: str | None, at: datetime) -> Entity:
    items = [Item(price=price)]
    sub = subscription(items, paid["metadata"], at, live=paid["livemode"])
    sub["id"] = subscription_id or sub["id"]
    return invoice(items, sub, at, reason="subscription_cycle", amount=price.amount, intent=paid["id"], shape=VERSION)
