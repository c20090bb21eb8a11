"""
Invoices and what paid them, in the shape of two API versions.

Since 2025-03-31 an invoice names its subscription below `parent` and its payments not at all
(https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from providers.stripe.stand_in.objects import Entity, Item, new_id, seconds, tax_of

Shape = Literal["2025-03-31.basil", "2024-06-20"]
"""The API version that events are written in."""

MONTH = timedelta(days=30)


def invoice(
    items: Sequence[Item], sub: Entity, at: datetime, *, reason: str, amount: int, intent: str | None, shape: Shape
) -> Entity:
    """Return a paid invoice of a subscription in the shape of an API version."""
    tax = tax_of(amount)
    base: Entity = {
        "id": new_id("in"),
        "object": "invoice",
        "amount_due": amount,
        "amount_paid": amount,
        "amount_remaining": 0,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": seconds(at),
        "currency": items[0].price.currency,
        "livemode": sub["livemode"],
        "metadata": {},
        "period_end": seconds(at + MONTH),
        "period_start": seconds(at),
        "status": "paid",
        "status_transitions": {"finalized_at": seconds(at), "paid_at": seconds(at)},
        "subtotal": amount - tax,
        "total": amount,
    }
    rows = [_invoice_line(item, sub, amount, shape) for item in items]
    base["lines"] = {"object": "list", "data": rows, "has_more": False, "url": f"/v1/invoices/{base['id']}/lines"}
    if shape == "2024-06-20":
        details = {"metadata": dict(sub["metadata"])}
        base |= {"charge": None, "paid": True, "paid_out_of_band": False, "payment_intent": intent, "tax": tax}
        return base | {"subscription": sub["id"], "subscription_details": details}
    parent: Entity = {"metadata": dict(sub["metadata"]), "subscription": sub["id"]}
    base["parent"] = {"quote_details": None, "subscription_details": parent, "type": "subscription_details"}
    base["total_taxes"] = [{"amount": tax, "tax_behavior": "inclusive", "taxability_reason": "standard_rated"}]
    return base


def _invoice_line(item: Item, sub: Entity, amount: int, shape: Shape) -> Entity:
    line: Entity = {
        "id": new_id("il"),
        "object": "line_item",
        "amount": item.total if amount else 0,
        "currency": item.price.currency,
        "description": f"{item.quantity} of {item.price.name}",
        "metadata": dict(sub["metadata"]),
        "quantity": item.quantity,
    }
    if shape == "2024-06-20":
        return line | {"price": item.price.entity(), "subscription": sub["id"], "type": "subscription"}
    details = {"price": item.price.id, "product": item.price.product_id}
    return line | {"pricing": {"price_details": details, "type": "price_details"}}


def invoice_payment(paid: Entity, intent: Entity, at: datetime) -> Entity:
    """Return the link between an invoice and the PaymentIntent that paid it."""
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": intent["amount"],
        "amount_requested": intent["amount"],
        "created": seconds(at),
        "currency": intent["currency"],
        "invoice": paid["id"],
        "is_default": True,
        "livemode": intent["livemode"],
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": seconds(at)},
    }
