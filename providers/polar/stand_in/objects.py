"""
Polar's objects as Polar writes them, with invented content. Pure but for what is random.

Shapes: `v2026_10/outputs.py` of polar-sdk 1.0.2. Prices include tax here: a sixth of every amount.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from providers.polar.stand_in.wire import Entity, new_id, timestamp

FEE_PERCENT = 4
FEE_FIXED = 40
"""Polar's list price: 4 % and 40 cents; taken in the smallest unit of whatever currency."""

CHECKOUT_LIFE = timedelta(hours=1)
MONTH = timedelta(days=30)
ORGANIZATION = "5aa4d1ce-0000-4000-8000-00000000a001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of the imitated catalogue. `amount` is in Polar's unit, tax included."""

    id: str
    amount: int = 6500
    currency: str = "USD"
    name: str = "Pro plan"
    recurring: bool = True


def tax_in(total: int) -> int:
    """Return the tax in an amount."""
    return (1 if total >= 0 else -1) * (abs(total) // 6)


def customer(email: str | None, at: datetime) -> Entity:
    """Return the buyer."""
    return {
        "id": new_id(),
        "created_at": timestamp(at),
        "modified_at": None,
        "metadata": {},
        "external_id": None,
        "email": email or "buyer@example.com",
        "email_verified": False,
        "type": "individual",
        "name": "Invented Buyer",
        "billing_name": None,
        "billing_address": {"country": "US"},
        "tax_id": None,
        "locale": "en",
        "organization_id": ORGANIZATION,
        "default_payment_method_id": None,
        "deleted_at": None,
        "first_user_event_at": None,
        "avatar_url": None,
    }


def product_entity(product: Product, at: str) -> Entity:
    """Return a product as it stands inside an order."""
    return {
        "metadata": {},
        "id": product.id,
        "created_at": at,
        "modified_at": None,
        "trial_interval": None,
        "trial_interval_count": None,
        "name": product.name,
        "description": None,
        "visibility": "public",
        "recurring_interval": "month" if product.recurring else None,
        "recurring_interval_count": 1 if product.recurring else None,
        "is_recurring": product.recurring,
        "is_archived": False,
        "organization_id": ORGANIZATION,
    }


def checkout(asked: Mapping[str, Any], product: Product, quantity: int, address: str, at: datetime) -> Entity:
    """Return an open checkout with its page at `address`."""
    name, secret, total = new_id(), f"polar_c_{secrets.token_urlsafe(24)}", product.amount * quantity
    return {
        "id": name,
        "created_at": timestamp(at),
        "modified_at": None,
        "payment_processor": "stripe",
        "status": "open",
        "client_secret": secret,
        "url": f"{address}/checkout/{secret}",
        "expires_at": timestamp(at + CHECKOUT_LIFE),
        "success_url": (asked.get("success_url") or f"{address}/checkout/{secret}/confirmation").replace(
            "{CHECKOUT_ID}", name
        ),
        "return_url": asked.get("return_url"),
        "amount": total,
        "seats": asked.get("seats"),
        "units": asked.get("units"),
        "discount_amount": 0,
        "net_amount": total - tax_in(total),
        "tax_amount": tax_in(total),
        "tax_behavior": "inclusive",
        "total_amount": total,
        "currency": product.currency.lower(),
        "organization_id": ORGANIZATION,
        "product_id": product.id,
        "discount_id": asked.get("discount_id"),
        "allow_discount_codes": asked.get("allow_discount_codes", True),
        "customer_id": None,
        "customer_email": asked.get("customer_email"),
        "customer_ip_address": asked.get("customer_ip_address"),
        "metadata": asked.get("metadata") or {},
        "products": [product_entity(product, timestamp(at))],
    }


def subscription(first: Mapping[str, Any], buyer: Mapping[str, Any], at: datetime) -> Entity:
    """Return the subscription that a checkout begins; its metadata goes to every renewal."""
    return {
        "metadata": first["metadata"],
        "created_at": timestamp(at),
        "modified_at": None,
        "id": new_id(),
        "amount": first["total_amount"],
        "currency": first["currency"],
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "status": "active",
        "current_period_start": timestamp(at),
        "current_period_end": timestamp(at + MONTH),
        "cancel_at_period_end": False,
        "started_at": timestamp(at),
        "customer_id": buyer["id"],
        "product_id": first["product_id"],
        "checkout_id": first["id"],
    }


def order(
    *,
    product: Product,
    total: int,
    status: str,
    reason: str,
    metadata: Mapping[str, Any],
    at: datetime,
    buyer: Mapping[str, Any],
    subscription: Mapping[str, Any] | None = None,
    checkout_id: str | None = None,
    order_id: str | None = None,
) -> Entity:
    """Return an order; `total` is in Polar's unit, tax included."""
    tax, now = tax_in(total), timestamp(at)
    return {
        "id": order_id or new_id(),
        "created_at": now,
        "modified_at": None,
        "status": status,
        "paid": status == "paid",
        "subtotal_amount": total,
        "discount_amount": 0,
        "net_amount": total - tax,
        "tax_amount": tax,
        "total_amount": total,
        "applied_balance_amount": 0,
        "due_amount": max(0, total),
        "refunded_amount": 0,
        "refunded_tax_amount": 0,
        "currency": product.currency.lower(),
        "billing_reason": reason,
        "billing_name": None,
        "billing_address": buyer["billing_address"],
        "invoice_number": f"STANDIN-{secrets.token_hex(3).upper()}-0001",
        "is_invoice_generated": False,
        "receipt_number": None,
        "seats": None,
        "units": None,
        "customer_id": buyer["id"],
        "product_id": product.id,
        "discount_id": None,
        "subscription_id": subscription["id"] if subscription else None,
        "checkout_id": checkout_id,
        "next_payment_attempt_at": None,
        "metadata": dict(metadata),
        "custom_field_data": {},
        "platform_fee_amount": 0,
        "platform_fee_currency": None,
        "customer": buyer,
        "product": product_entity(product, now),
        "discount": None,
        "subscription": subscription,
        "items": [_line(product, total, tax, now)],
        "description": product.name,
        "refundable_amount": total - tax,
        "refundable_tax_amount": tax,
    }


def refund(sale: Mapping[str, Any], *, amount: int, tax: int, status: str, at: datetime) -> Entity:
    """Return money going back on `sale`; `amount` is without `tax`."""
    return {
        "created_at": timestamp(at),
        "modified_at": None,
        "id": new_id(),
        "metadata": {},
        "status": status,
        "reason": "customer_request",
        "amount": amount,
        "tax_amount": tax,
        "currency": sale["currency"],
        "organization_id": ORGANIZATION,
        "order_id": sale["id"],
        "subscription_id": sale["subscription_id"],
        "customer_id": sale["customer_id"],
        "revoke_benefits": False,
        "dispute": None,
    }


def _line(product: Product, total: int, tax: int, now: str) -> Entity:
    return {
        "created_at": now,
        "modified_at": None,
        "id": new_id(),
        "label": product.name,
        "amount": total,
        "tax_amount": tax,
        "proration": False,
        "product_price_id": f"{product.id}-price",
        "start_timestamp": None,
        "end_timestamp": None,
    }
