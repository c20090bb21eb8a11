"""
Paddle's entities as Paddle writes them, with invented content. Pure but for the random part of an id.

Shapes: https://developer.paddle.com/api-reference, entity pages. Prices include tax here: a sixth of every amount.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Entity = dict[str, Any]

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Paddle's ids are a prefix and a ULID in lower case: 10 characters of time, 16 of chance."""

FEE_PERCENT = 5
FEE_FIXED = 50
"""Paddle's list price: 5 % and 50 cents; taken in the minor unit of whatever currency."""

MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price of the imitated catalogue. `amount` is in minor units, tax included."""

    id: str
    amount: int
    currency: str
    name: str = "Pro plan"
    product_id: str = "pro_01standin0000000000000000a"
    recurring: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """So many of a price."""

    price: Price
    quantity: int = 1

    @property
    def total(self) -> int:
        """Minor units, tax included."""
        return self.price.amount * self.quantity


def new_id(prefix: str, at: datetime) -> str:
    """Return an id in Paddle's form whose order follows `at` to the millisecond."""
    left = int(at.timestamp() * 1000)
    time = ""
    for _ in range(10):
        left, digit = divmod(left, 32)
        time = ID_ALPHABET[digit] + time
    return f"{prefix}_{time}{''.join(secrets.choice(ID_ALPHABET) for _ in range(16))}"


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def figures(total: int) -> dict[str, int]:
    """Return tax, fee and earnings of an amount in minor units; the three and nothing else make up `total`."""
    sign = 1 if total >= 0 else -1
    tax = sign * (abs(total) // 6)
    fee = sign * min(abs(total) - abs(tax), abs(total) * FEE_PERCENT // 100 + FEE_FIXED) if total else 0
    return {"subtotal": total - tax, "tax": tax, "fee": fee, "earnings": total - tax - fee}


def totals(total: int, currency: str, *, settled: bool) -> Entity:
    """Return `details.totals` of a transaction. Fee and earnings are null until it is completed."""
    parts = figures(total)
    return {
        "subtotal": str(parts["subtotal"]),
        "tax": str(parts["tax"]),
        "discount": "0",
        "total": str(total),
        "grand_total": str(total),
        "fee": str(parts["fee"]) if settled else None,
        "credit": "0",
        "credit_to_balance": "0",
        "balance": "0" if settled else str(total),
        "earnings": str(parts["earnings"]) if settled else None,
        "currency_code": currency,
        "grand_total_tax": str(parts["tax"]),
    }


def simple_totals(total: int) -> Entity:
    """Return the four figures of a line."""
    parts = figures(total)
    return {"subtotal": str(parts["subtotal"]), "discount": "0", "tax": str(parts["tax"]), "total": str(total)}


def price_entity(price: Price, at: str) -> Entity:
    """Return a price as it stands inside a transaction."""
    return {
        "id": price.id,
        "description": price.name,
        "type": "standard",
        "name": price.name,
        "product_id": price.product_id,
        "billing_cycle": {"interval": "month", "frequency": 1} if price.recurring else None,
        "trial_period": None,
        "tax_mode": "internal",
        "unit_price": {"amount": str(price.amount), "currency_code": price.currency},
        "unit_price_overrides": [],
        "custom_data": None,
        "quantity": {"minimum": 1, "maximum": 100},
        "status": "active",
        "import_meta": None,
        "created_at": at,
        "updated_at": at,
    }


def line_item(item: Item, at: datetime) -> Entity:
    """Return one entry of `details.line_items`."""
    return {
        "id": new_id("txnitm", at),
        "price_id": item.price.id,
        "quantity": item.quantity,
        "proration": None,
        "totals": simple_totals(item.total),
        "unit_totals": simple_totals(item.price.amount),
        "tax_rate": "0.2",
        "product": {
            "id": item.price.product_id,
            "name": item.price.name,
            "type": "standard",
            "tax_category": "standard",
            "description": item.price.name,
            "image_url": None,
            "custom_data": None,
            "status": "active",
            "import_meta": None,
            "created_at": timestamp(at),
            "updated_at": timestamp(at),
        },
    }


def transaction(
    *,
    transaction_id: str,
    items: Sequence[Item],
    custom_data: Mapping[str, Any] | None,
    at: datetime,
    origin: str = "api",
    checkout_url: str | None = None,
) -> Entity:
    """Return a draft. Nobody is known yet and nothing is final."""
    total = sum(item.total for item in items)
    currency = items[0].price.currency
    now = timestamp(at)
    return {
        "id": transaction_id,
        "status": "draft",
        "customer_id": None,
        "address_id": None,
        "business_id": None,
        "custom_data": dict(custom_data) if custom_data else None,
        "origin": origin,
        "collection_mode": "automatic",
        "subscription_id": None,
        "invoice_id": None,
        "invoice_number": None,
        "billing_details": None,
        "billing_period": None,
        "currency_code": currency,
        "discount_id": None,
        "created_at": now,
        "updated_at": now,
        "billed_at": None,
        "revised_at": None,
        "items": [
            {"price": price_entity(item.price, now), "quantity": item.quantity, "proration": None} for item in items
        ],
        "details": {
            "tax_rates_used": [{"tax_rate": "0.2", "totals": simple_totals(total)}],
            "totals": totals(total, currency, settled=False),
            "adjusted_totals": adjusted_totals(total, 0, currency),
            "payout_totals": None,
            "adjusted_payout_totals": None,
            "line_items": [line_item(item, at) for item in items],
        },
        "payments": [],
        "checkout": {"url": checkout_url},
    }


def adjusted_totals(total: int, back: int, currency: str) -> Entity:
    """Return what is left of a sale of `total` after `back` went back to the buyer."""
    parts = {name: str(value) for name, value in figures(total - back).items()}
    left = str(total - back)
    tax = parts["tax"]
    return {**parts, "total": left, "grand_total": left, "currency_code": currency, "grand_total_tax": tax}


def payment(amount: str, at: datetime, *, declined: bool = False) -> Entity:
    """Return one attempt to pay; the newest stands first in `payments`."""
    return {
        "amount": amount,
        "status": "error" if declined else "captured",
        "created_at": timestamp(at),
        "error_code": "declined" if declined else None,
        "captured_at": None if declined else timestamp(at),
        "method_details": {
            "card": {
                "type": "visa",
                "last4": "0002" if declined else "4242",
                "expiry_year": at.year + 2,
                "expiry_month": 1,
                "cardholder_name": "Invented Buyer",
            },
            "type": "card",
        },
        "payment_method_id": new_id("paymtd", at),
        "payment_attempt_id": secrets.token_hex(16),
        "stored_payment_method_id": secrets.token_hex(16),
    }
