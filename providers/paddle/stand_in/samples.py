"""Webhook bodies made to order: what `simulate` sends and what tests of the core feed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.sdk import Attribution, Money, RevenueKind
from providers.paddle.checkout import custom_data
from providers.paddle.stand_in import people
from providers.paddle.stand_in.objects import Entity, Item, Price, new_id, payment, timestamp, totals, transaction

DEFAULT_AMOUNT = Money(6500, "USD")


def wire(envelope: Mapping[str, Any]) -> bytes:
    """Return the bytes as Paddle writes them: compact, everything beyond ASCII as \\uXXXX."""
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=True).encode()


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
    adjustment_id: str | None = None,
    price_id: str | None = None,
    occurred_at: datetime | None = None,
    event_id: str | None = None,
    simulated: bool = True,
    **_other: Any,
) -> bytes:
    """
    Return the body of a webhook that reports one movement.

    What is not given is invented. A checkout is its transaction at Paddle, so `checkout_id` stands in for a missing
    `payment_id`. Refunds ignore `reference` and `attribution`: adjustments have no custom data. With `simulated` the
    ids are those of Paddle's simulator, which `extract` ignores. What other providers want to know is passed over.
    """
    at = occurred_at or now
    sale = _sale(
        at,
        transaction_id=payment_id or checkout_id or new_id("txn", at),
        amount=amount or DEFAULT_AMOUNT,
        custom=custom_data(reference or "", attribution or Attribution()),
        price_id=price_id or new_id("pri", at),
        renewal=kind is RevenueKind.RENEWAL,
        subscription_id=subscription_id,
    )
    event_type, data = "transaction.completed", sale
    if kind in (RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL):
        action = "refund" if kind is RevenueKind.REFUND else "chargeback_reverse"
        data = people.adjustment(sale, action=action, amount=(amount or DEFAULT_AMOUNT).minor, status="approved", at=at)
        data["id"] = adjustment_id or data["id"]
        event_type = "adjustment.updated" if kind is RevenueKind.REFUND else "adjustment.created"
    event, notification = ("ntfsimevt", "ntfsimntf") if simulated else ("evt", "ntf")
    return wire(
        {
            "event_id": event_id or new_id(event, at),
            "event_type": event_type,
            "occurred_at": timestamp(at),
            "notification_id": new_id(notification, at),
            "data": data,
        }
    )


def _sale(
    at: datetime,
    *,
    transaction_id: str,
    amount: Money,
    custom: Mapping[str, str],
    price_id: str,
    renewal: bool,
    subscription_id: str | None,
) -> Entity:
    recurring = renewal or subscription_id is not None
    price = Price(id=price_id, amount=amount.minor, currency=amount.currency, recurring=recurring)
    origin = "subscription_recurring" if renewal else "api"
    sale = transaction(
        transaction_id=transaction_id, items=[Item(price=price)], custom_data=custom, at=at, origin=origin
    )
    sale["status"] = "completed"
    sale["customer_id"], sale["address_id"] = new_id("ctm", at), new_id("add", at)
    sale["invoice_id"], sale["invoice_number"] = new_id("inv", at), "325-10001"
    sale["subscription_id"] = subscription_id or (new_id("sub", at) if renewal else None)
    sale["billing_period"] = people.billing_period(at) if recurring else None
    sale["billed_at"] = timestamp(at)
    sale["details"]["totals"] = totals(amount.minor, amount.currency, settled=True)
    sale["payments"] = [payment(str(amount.minor), at)]
    return sale
