"""Webhook bodies made to order: what `simulate` sends and what tests of the core feed in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.sdk import Attribution, Money, RevenueKind
from providers.polar.checkout import metadata
from providers.polar.money import units
from providers.polar.stand_in.objects import Product, customer, order, refund, tax_in
from providers.polar.stand_in.wire import envelope, new_id, wire

DEFAULT_AMOUNT = Money(6500, "USD")

REFUNDS = {
    RevenueKind.REFUND: ("refund.created", "succeeded"),
    RevenueKind.REFUND_REVERSAL: ("refund.updated", "failed"),
}
"""Polar takes no refund back; the nearest thing is one that failed, and that moves no money."""


def sample(
    kind: RevenueKind,
    *,
    now: datetime,
    amount: Money | None = None,
    reference: str | None = None,
    attribution: Attribution | None = None,
    checkout_id: str | None = None,
    payment_id: str | None = None,
    subscription_id: str | None = None,
    refund_id: str | None = None,
    price_id: str | None = None,
    occurred_at: datetime | None = None,
    simulated: bool = True,
    **_other: Any,
) -> bytes:
    """
    Return the body of a webhook that reports one movement.

    What is not given is invented. Refunds ignore `reference` and `attribution`: Polar's refunds do not carry the
    order's metadata. With `simulated` the order's or refund's own id begins with `events.SIMULATED`, which `extract`
    ignores, whatever id was given. What other providers want to know is passed over: Polar's event id is a header.
    """
    at, worth = occurred_at or now, amount or DEFAULT_AMOUNT
    renewal = kind is RevenueKind.RENEWAL
    recurring = renewal or subscription_id is not None
    total = units(worth)
    sale = order(
        product=Product(id=price_id or new_id(), currency=worth.currency, recurring=recurring),
        total=total,
        status="paid",
        reason="subscription_cycle" if renewal else "subscription_create" if recurring else "purchase",
        metadata=metadata(reference or "", attribution or Attribution()),
        at=at,
        buyer=customer(None, at),
        checkout_id=checkout_id,
        order_id=payment_id,
    )
    sale["subscription_id"] = subscription_id or (new_id() if renewal else None)
    event_type, data, name = "order.paid", sale, payment_id
    if kind in REFUNDS:
        event_type, status = REFUNDS[kind]
        tax = tax_in(total)
        data, name = refund(sale, amount=total - tax, tax=tax, status=status, at=at), refund_id
    data["id"] = new_id(simulated=True) if simulated else name or data["id"]
    return wire(envelope(event_type, data, at))
