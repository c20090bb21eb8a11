"""Webhook bodies made to order: what `simulate` sends and what tests of the core feed in."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from gateway.sdk import Attribution, Money, RevenueKind
from providers.lemonsqueezy.checkout import custom_data
from providers.lemonsqueezy.events import SIMULATED
from providers.lemonsqueezy.stand_in import objects
from providers.lemonsqueezy.stand_in.objects import Entity

DEFAULT_AMOUNT = Money(6500, "USD")
DEFAULT_VARIANT = "1001"


def sample(
    kind: RevenueKind,
    *,
    now: datetime,
    store_id: int,
    test_mode: bool,
    amount: Money | None = None,
    reference: str | None = None,
    attribution: Attribution | None = None,
    payment_id: str | None = None,
    subscription_id: str | None = None,
    price_id: str | None = None,
    occurred_at: datetime | None = None,
    simulated: bool = True,
    **_other: Any,
) -> bytes:
    """
    Return the body of a webhook that reports one movement.

    What is not given is invented. `payment_id` is `order-1` or `invoice-1`; a refund of an order is the default. A
    refund's `amount` is the total refunded so far, of a sale of twice as much. Lemon Squeezy tells of no reversals:
    asked for one, it is a failed payment, which moves no money. With `simulated` the id begins with a word that no id
    of Lemon Squeezy has, and `extract` ignores it. What other providers want to know is passed over.
    """
    at = occurred_at or now
    worth = amount or DEFAULT_AMOUNT
    invoice = kind in (RevenueKind.RENEWAL, RevenueKind.REFUND_REVERSAL) or (payment_id or "").startswith("invoice-")
    name = (payment_id or "").rpartition("-")[2] or str(_number())
    sale = _sale(
        invoice=invoice,
        name=(SIMULATED if simulated else "") + name,
        subscription_id=subscription_id,
        variant=price_id or DEFAULT_VARIANT,
        common={
            "store_id": store_id,
            "amount": Money(worth.minor * 2, worth.currency) if kind is RevenueKind.REFUND else worth,
            "at": at,
            "test_mode": test_mode,
        },
    )
    if kind is RevenueKind.REFUND:
        objects.refund(sale, worth.minor, at)
    custom = custom_data(reference or "", attribution or Attribution())
    return objects.wire(objects.webhook(_event_name(kind, invoice=invoice), sale, custom))


def _sale(*, invoice: bool, name: str, subscription_id: str | None, variant: str, common: Entity) -> Entity:
    if invoice:
        subscription = int(subscription_id) if subscription_id and subscription_id.isdigit() else _number()
        return objects.invoice(name, subscription_id=subscription, reason="renewal", **common)
    return objects.order(
        name, variant_id=int(variant) if variant.isdigit() else int(DEFAULT_VARIANT), quantity=1, **common
    )


def _event_name(kind: RevenueKind, *, invoice: bool) -> str:
    match kind:
        case RevenueKind.REFUND:
            return "subscription_payment_refunded" if invoice else "order_refunded"
        case RevenueKind.REFUND_REVERSAL:
            return "subscription_payment_failed"
    return "subscription_payment_success" if invoice else "order_created"


def _number() -> int:
    """Return a number that no other sample has."""
    return secrets.randbelow(10**12) + 10**6
