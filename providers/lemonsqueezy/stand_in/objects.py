"""
Lemon Squeezy's resources as it writes them, with all attributes (https://docs.lemonsqueezy.com/api/orders/the-order-object
and its neighbours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.sdk import Money

Entity = dict[str, Any]

API = "https://api.lemonsqueezy.com/v1"

BUYER = {"user_name": "Invented Buyer", "user_email": "buyer@example.com"}

FIGURES = ("subtotal", "setup_fee", "discount_total", "tax", "total", "refunded_amount")


def wire(webhook: Mapping[str, Any]) -> bytes:
    """Return the bytes as Laravel writes them: compact, \\uXXXX beyond ASCII and escaped slashes."""
    return json.dumps(webhook, separators=(",", ":"), ensure_ascii=True).replace("/", "\\/").encode()


def timestamp(at: datetime) -> str:
    """Return a time in Lemon Squeezy's form."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def webhook(event_name: str, resource: Entity, custom_data: Mapping[str, str]) -> Entity:
    """Return what is posted; custom data is there only if the checkout had some."""
    meta: Entity = {"test_mode": resource["attributes"]["test_mode"], "event_name": event_name}
    if custom_data:
        meta["custom_data"] = dict(custom_data)
    return {"meta": meta, "data": resource}


def resource(kind: str, name: str, attributes: Entity, related: tuple[str, ...] = ()) -> Entity:
    """Return a JSON:API resource."""
    links = {
        one: {"links": {"related": f"{API}/{kind}/{name}/{one}", "self": f"{API}/{kind}/{name}/relationships/{one}"}}
        for one in related
    }
    own = {"self": f"{API}/{kind}/{name}"}
    return {"type": kind, "id": name, "attributes": attributes, "relationships": links, "links": own}


def order(
    name: str, *, store_id: int, variant_id: int, quantity: int, amount: Money, at: datetime, test_mode: bool
) -> Entity:
    """Return a paid order."""
    now = timestamp(at)
    item = {
        "id": 1,
        "order_id": number(name),
        "product_id": variant_id + 500,
        "variant_id": variant_id,
        "price_id": variant_id + 900,
        "quantity": quantity,
        "product_name": "Pro plan",
        "variant_name": "Default",
        "price": amount.minor // quantity,
        "created_at": now,
        "updated_at": now,
        "test_mode": test_mode,
    }
    attributes = {
        "store_id": store_id,
        "customer_id": 1,
        "identifier": f"00000000-0000-4000-8000-{number(name):012d}",
        "order_number": number(name),
        **BUYER,
        "currency_rate": "1.0000",
        **figures(amount, 0),
        "tax_name": "VAT",
        "tax_rate": "20.00",
        "tax_inclusive": True,
        "status": "paid",
        "status_formatted": "Paid",
        "refunded": False,
        "refunded_at": None,
        "first_order_item": item,
        "urls": {"receipt": f"https://app.lemonsqueezy.com/my-orders/{name}?signature=0"},
        "created_at": now,
        "updated_at": now,
        "test_mode": test_mode,
    }
    related = ("store", "customer", "order-items", "subscriptions", "license-keys", "discount-redemptions")
    return resource("orders", name, attributes, related)


def subscription(name: str, bought: Entity, at: datetime) -> Entity:
    """Return the running subscription that an order began."""
    of, item = bought["attributes"], bought["attributes"]["first_order_item"]
    attributes = {
        "store_id": of["store_id"],
        "customer_id": of["customer_id"],
        "order_id": number(bought["id"]),
        "order_item_id": item["id"],
        "product_id": item["product_id"],
        "variant_id": item["variant_id"],
        "product_name": item["product_name"],
        "variant_name": item["variant_name"],
        **BUYER,
        "status": "active",
        "status_formatted": "Active",
        "card_brand": "visa",
        "card_last_four": "4242",
        "pause": None,
        "cancelled": False,
        "trial_ends_at": None,
        "billing_anchor": at.day,
        "renews_at": timestamp(at + timedelta(days=30)),
        "ends_at": None,
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
        "test_mode": of["test_mode"],
    }
    return resource("subscriptions", name, attributes, ("store", "customer", "order", "subscription-invoices"))


def invoice(
    name: str, *, store_id: int, subscription_id: int, reason: str, amount: Money, at: datetime, test_mode: bool
) -> Entity:
    """Return a paid invoice of a subscription. It names neither the order nor the variant."""
    now = timestamp(at)
    attributes = {
        "store_id": store_id,
        "subscription_id": subscription_id,
        "customer_id": 1,
        **BUYER,
        "billing_reason": reason,
        "card_brand": "visa",
        "card_last_four": "4242",
        "currency_rate": "1.0000",
        "status": "paid",
        "status_formatted": "Paid",
        "refunded": False,
        "refunded_at": None,
        "tax_inclusive": True,
        **figures(amount, 0),
        "urls": {"invoice_url": f"https://app.lemonsqueezy.com/my-orders/0/subscription-invoice/{name}"},
        "created_at": now,
        "updated_at": now,
        "test_mode": test_mode,
    }
    return resource("subscription-invoices", name, attributes, ("store", "subscription", "customer"))


def refund(sale: Entity, back: int, at: datetime) -> None:
    """Let `back` more of a sale go back; only a full refund has a time of its own."""
    of = sale["attributes"]
    paid = Money(of["total"], of["currency"])
    of.update(figures(paid, of["refunded_amount"] + back))
    is_all = of["refunded_amount"] == paid.minor
    of["status"] = "refunded" if is_all else "partial_refund"
    of["status_formatted"] = "Refunded" if is_all else "Partially refunded"
    of["refunded"] = is_all
    of["refunded_at"] = timestamp(at) if is_all else None
    of["updated_at"] = timestamp(at)


def figures(total: Money, refunded: int) -> Entity:
    """Return the amounts of a sale with 20 % tax included, as integers, in US cents and as text."""
    tax = total.minor // 6
    values = dict(zip(FIGURES, (total.minor - tax, 0, 0, tax, total.minor, refunded), strict=True))
    return {
        "currency": total.currency,
        **values,
        **{f"{name}_usd": value for name, value in values.items()},
        **{f"{name}_formatted": str(Money(value, total.currency)) for name, value in values.items()},
    }


def number(name: str) -> int:
    """Return the number in an id; ids of simulated samples begin with a word."""
    return int(name.rpartition("-")[2])
