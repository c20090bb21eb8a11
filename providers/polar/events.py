"""
From Polar's orders and refunds to revenue events. Pure: webhooks and listings go through the same functions.

A webhook is `{type, timestamp, api_version, data}`. One sale is reported by several events (`order.created` where it is
paid at once, `order.updated`, `order.paid`), and again by every later `order.updated`, so the key is the order, never
the event. An order that was refunded since is still a sale. Refunds have their own ids, and `order.refunded`, which
shows totals, is not read: the refund events say the same once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from gateway.sdk import (
    Ignored,
    Malformed,
    Money,
    RevenueEvent,
    RevenueKind,
    attribution_from,
    checked,
    checked_or_none,
    name_or_none,
    reference_from,
    text_from,
    time_of,
)
from providers.polar.money import currency_of, figure, money, nearest

ORDER_EVENTS = frozenset({"order.created", "order.updated", "order.paid"})
REFUND_EVENTS = frozenset({"refund.created", "refund.updated"})
"""https://polar.sh/docs/integrate/webhooks/events; `order.refunded` is left out on purpose."""

PAID = frozenset({"paid", "partially_refunded", "refunded"})
"""Statuses of an order that was paid (`paid` in server/polar/models/order.py); not `draft`, `pending` and `void`."""

RENEWAL_REASONS = frozenset({"subscription_cycle", "subscription_update", "subscription_meter_cycle"})
"""
Billing reasons of a subscription that already runs (https://polar.sh/docs/api-reference/orders/get). `purchase`,
`subscription_create` and a reason that we do not know yet are purchases.
"""

SIMULATED = "00000000-0000-4000-8000-"
"""How the ids of our own samples begin. Polar has no simulator, and chance makes such a UUID once in 2^74."""

Found = Sequence[RevenueEvent] | Ignored


def read(envelope: Any) -> Found:
    """Return the movement of money that a webhook reports, or why there is none; raise `Malformed`."""
    if not isinstance(envelope, dict):
        raise Malformed(f"the webhook is not an object but {type(envelope).__name__}")
    event_type = checked(envelope.get("type"), "type")
    if event_type in ORDER_EVENTS:
        return read_order(envelope.get("data"))
    if event_type in REFUND_EVENTS:
        return read_refund(envelope.get("data"))
    return Ignored("not_revenue")


def read_order(data: Any) -> Found:
    """Return the sale that an order is, once it is paid."""
    order_id, status = _identified(data)
    if order_id.startswith(SIMULATED):
        return Ignored("simulated")
    if status not in PAID:
        return Ignored("not_final")
    currency, paid = currency_of(data), _paid(data)
    tax = _tax(data, paid)
    metadata, reason = data.get("metadata"), text_from(data, ("billing_reason",))
    sale = RevenueEvent(
        kind=RevenueKind.RENEWAL if reason in RENEWAL_REASONS else RevenueKind.PURCHASE,
        key=f"payment:{order_id}",
        payment_id=order_id,
        amount=money(paid, currency),
        occurred_at=instant(data.get("created_at")),
        tax=nearest(tax, currency),
        net=_net(data, paid - tax, currency),
        reference=reference_from(metadata),
        checkout_id=checked_or_none(data.get("checkout_id"), "data.checkout_id"),
        subscription_id=checked_or_none(data.get("subscription_id"), "data.subscription_id"),
        account=next(_ids(_organizations(data)), None),
        items=tuple(dict.fromkeys(_ids(_sold(data)))),
        attribution=attribution_from(metadata),
        cause=reason,
    )
    return [sale]


def read_refund(data: Any) -> Found:
    """
    Return the refund, once it has succeeded.

    Its `amount` is without tax: the buyer gets `amount` and `tax_amount` back (`RefundService.create` in
    server/polar/refund/service.py of polarsource/polar asks the card's bank for the sum of both).
    """
    refund_id, status = _identified(data)
    if refund_id.startswith(SIMULATED):
        return Ignored("simulated")
    if status != "succeeded":
        return Ignored("not_final")
    currency, tax = currency_of(data), figure(data, "tax_amount")
    refund = RevenueEvent(
        kind=RevenueKind.REFUND,
        key=f"refund:{refund_id}",
        payment_id=checked(data.get("order_id"), "data.order_id"),
        amount=money(figure(data, "amount") + tax, currency),
        occurred_at=instant(data.get("created_at")),
        tax=nearest(tax, currency),
        subscription_id=checked_or_none(data.get("subscription_id"), "data.subscription_id"),
        account=next(_ids(iter([data.get("organization_id")])), None),
        cause=text_from(data, ("reason",)),
    )
    return [refund]


def instant(value: object) -> datetime:
    """Return the aware UTC time of one of Polar's timestamps."""
    return time_of(value, "created_at")


def _identified(data: Any) -> tuple[str, str]:
    """Return the id and the status of an order or a refund."""
    if not isinstance(data, dict):
        raise Malformed(f"data is not an object but {type(data).__name__}")
    return checked(data.get("id"), "data.id"), checked(data.get("status"), "data.status")


def _paid(data: Mapping[str, Any]) -> int:
    """
    Return what the buyer paid for the order, tax included.

    That is the total less what the customer's balance at Polar paid, or plus what the customer still owed: the amount
    that Polar calls due, and refunds at most. A negative total goes to the balance, and nobody pays anything.
    """
    from_balance = figure(data, "applied_balance_amount") if data.get("applied_balance_amount") is not None else 0
    return max(0, figure(data, "total_amount") + from_balance)


def _tax(data: Mapping[str, Any], paid: int) -> int:
    """Return the tax in what was paid: all of it, or its share where the balance paid a part."""
    total, tax = figure(data, "total_amount"), figure(data, "tax_amount")
    if paid == total:
        return tax
    return round(Fraction(tax * paid, total)) if total > 0 else 0


def _net(data: Mapping[str, Any], before_fee: int, currency: str) -> Money | None:
    """
    Return what is left after tax and Polar's fee; None while the fee is not known or is in another currency.

    Polar writes 0 until it has booked the fee, some moments after `order.paid`, and takes one on every payment.
    """
    fee, fee_currency = data.get("platform_fee_amount"), data.get("platform_fee_currency")
    if type(fee) is not int or fee <= 0 or not isinstance(fee_currency, str) or fee_currency.upper() != currency:
        return None
    return nearest(before_fee - fee, currency)


def _ids(values: Iterator[object]) -> Iterator[str]:
    return (name for value in values if (name := name_or_none(value)))


def _sold(data: Mapping[str, Any]) -> Iterator[object]:
    """Yield the ids of the product and of its prices: claims and reports name sales by them."""
    yield data.get("product_id")
    yield data.get("product_price_id")
    items = data.get("items")
    for item in items if isinstance(items, list) else ():
        yield item.get("product_price_id") if isinstance(item, dict) else None


def _organizations(data: Mapping[str, Any]) -> Iterator[object]:
    """Yield where an order names the organization that sold it."""
    for owner in (data, data.get("customer"), data.get("product")):
        yield owner.get("organization_id") if isinstance(owner, dict) else None
