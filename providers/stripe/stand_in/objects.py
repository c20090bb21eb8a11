"""
Stripe's objects as Stripe writes them, with invented content. Pure but for the random part of an id.

Shapes: https://docs.stripe.com/api, the object pages. Amounts are in Stripe's units; a sixth of every amount is tax.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Entity = dict[str, Any]
EXPIRES_AFTER = timedelta(hours=24)
TAX_PART = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price of the imitated catalogue. `amount` is in Stripe's units, tax included; `currency` in lower case."""

    id: str
    amount: int
    currency: str
    name: str = "Pro plan"
    product_id: str = "prod_standin00000001"
    recurring: bool = True

    def entity(self) -> Entity:
        """Return the price as the API shows it."""
        return {
            "id": self.id,
            "object": "price",
            "active": True,
            "currency": self.currency,
            "product": self.product_id,
            "recurring": {"interval": "month", "interval_count": 1} if self.recurring else None,
            "type": "recurring" if self.recurring else "one_time",
            "unit_amount": self.amount,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """So many of a price."""

    price: Price
    quantity: int = 1

    @property
    def total(self) -> int:
        """Stripe's units, tax included."""
        return self.price.amount * self.quantity


def new_id(prefix: str) -> str:
    """Return an id in Stripe's form."""
    return f"{prefix}_3{secrets.token_hex(11)}"


def seconds(at: datetime) -> int:
    """Return a time as Stripe writes it."""
    return int(at.timestamp())


def tax_of(amount: int) -> int:
    """Return the tax inside an amount."""
    return amount // TAX_PART


def line_item(item: Item, metadata: Mapping[str, str] | None = None) -> Entity:
    """Return a session's line item."""
    return {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": item.total,
        "amount_tax": tax_of(item.total),
        "amount_total": item.total,
        "currency": item.price.currency,
        "description": item.price.name,
        "metadata": dict(metadata or {}),
        "price": item.price.entity(),
        "quantity": item.quantity,
    }


def session(
    *, session_id: str, url: str, mode: str, items: Sequence[Item], form: Mapping[str, Any], at: datetime, live: bool
) -> Entity:
    """Return an open Checkout session. `form` is what the request said."""
    total = sum(item.total for item in items)
    return {
        "id": session_id,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": form.get("cancel_url"),
        "client_reference_id": form.get("client_reference_id"),
        "created": seconds(at),
        "currency": items[0].price.currency,
        "customer": None,
        "customer_details": None,
        "customer_email": form.get("customer_email"),
        "expires_at": seconds(at + EXPIRES_AFTER),
        "invoice": None,
        "livemode": live,
        "metadata": dict(form.get("metadata") or {}),
        "mode": mode,
        "payment_intent": None,
        "payment_method_types": ["card", "sepa_debit"],
        "payment_status": "unpaid",
        "status": "open",
        "subscription": None,
        "success_url": form.get("success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": tax_of(total)},
        "ui_mode": "hosted",
        "url": url,
    }


def payment_intent(amount: int, currency: str, metadata: Mapping[str, str], at: datetime, *, live: bool) -> Entity:
    """Return a PaymentIntent that still waits for its payment method."""
    return {
        "id": new_id("pi"),
        "object": "payment_intent",
        "amount": amount,
        "amount_received": 0,
        "created": seconds(at),
        "currency": currency,
        "customer": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": live,
        "metadata": dict(metadata),
        "status": "requires_payment_method",
    }


def charge(intent: Entity, at: datetime, *, declined: bool = False) -> Entity:
    """Return a charge of a PaymentIntent; it copies the metadata."""
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if declined else intent["amount"],
        "amount_refunded": 0,
        "captured": not declined,
        "created": seconds(at),
        "currency": intent["currency"],
        "disputed": False,
        "failure_code": "card_declined" if declined else None,
        "livemode": intent["livemode"],
        "metadata": dict(intent["metadata"]),
        "paid": not declined,
        "payment_intent": intent["id"],
        "refunded": False,
        "status": "failed" if declined else "succeeded",
    }


def subscription(items: Sequence[Item], metadata: Mapping[str, str], at: datetime, *, live: bool) -> Entity:
    """Return an active monthly subscription."""
    rows = [
        {"id": new_id("si"), "object": "subscription_item", "price": item.price.entity(), "quantity": item.quantity}
        for item in items
    ]
    return {
        "id": new_id("sub"),
        "object": "subscription",
        "created": seconds(at),
        "currency": items[0].price.currency,
        "items": {"object": "list", "data": rows, "has_more": False},
        "livemode": live,
        "metadata": dict(metadata),
        "status": "active",
    }


def refund(charged: Entity, amount: int, status: str, at: datetime) -> Entity:
    """Return a refund; it has metadata of its own, not the sale's."""
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "charge": charged["id"],
        "created": seconds(at),
        "currency": charged["currency"],
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "reason": "requested_by_customer",
        "status": status,
    }


def dispute(charged: Entity, at: datetime) -> Entity:
    """Return a dispute of a whole charge."""
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charged["amount"],
        "charge": charged["id"],
        "created": seconds(at),
        "currency": charged["currency"],
        "livemode": charged["livemode"],
        "metadata": {},
        "payment_intent": charged["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    }
