"""Webhook bodies made to order: what `simulate` sends and what tests of the core feed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.sdk import Attribution, Money, RevenueKind
from providers.razorpay.checkout import notes
from providers.razorpay.events import SIMULATED
from providers.razorpay.stand_in.objects import (
    MONTH,
    Entity,
    dispute,
    invoice,
    new_id,
    order,
    payment,
    refund,
    seconds,
    subscription,
    webhook,
)

DEFAULT_AMOUNT = Money(49900, "INR")


def wire(body: Mapping[str, Any]) -> bytes:
    """Return the bytes as Razorpay writes them: compact, everything beyond ASCII as \\uXXXX, slashes escaped."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).replace("/", "\\/").encode()


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
    Return the body of a webhook that reports one movement, so complete that nothing needs to be asked.

    For that a purchase and a renewal hold the order and the invoice, which Razorpay leaves out of these events. What is
    not given is invented; `price_id` is the id of a renewal's plan. Razorpay gives no money back to a seller, so a
    reversal is a dispute that was won, which is no revenue. With `simulated` the account is one that `extract` ignores.
    What other providers want to know is passed over.
    """
    at, worth = occurred_at or now, amount or DEFAULT_AMOUNT
    known = notes(reference or "", attribution or Attribution())
    paid = payment(worth, known, at, id=payment_id or new_id("pay"))
    if kind is RevenueKind.PURCHASE:
        name, entities = "payment.captured", _purchase(paid, worth, known, checkout_id, at)
    elif kind is RevenueKind.RENEWAL:
        name, entities = "subscription.charged", _renewal(paid, known, subscription_id, price_id, at)
    elif kind is RevenueKind.REFUND:
        name = "refund.processed"
        entities = {"refund": refund(paid, worth.minor, at, id=refund_id or new_id("rfnd")), "payment": paid}
    else:
        name = "payment.dispute.won"
        entities = {"payment": paid, "dispute": dispute(paid, worth.minor, at, status="won")}
    account = SIMULATED + "00000000" if simulated else "acc_StandIn0000000"
    return wire(webhook(name, account, entities, at))


def _purchase(
    paid: Entity, worth: Money, known: Mapping[str, str], checkout_id: str | None, at: datetime
) -> dict[str, Entity]:
    ordered = order(worth, known, known.get("orderId"), at)
    paid["order_id"] = ordered["id"]
    link_id = checkout_id or new_id("plink")
    paid["description"] = "#" + link_id.removeprefix("plink_")
    return {"payment": paid, "order": ordered}


def _renewal(
    paid: Entity, known: Mapping[str, str], subscription_id: str | None, plan_id: str | None, at: datetime
) -> dict[str, Entity]:
    plan = subscription(known, at, id=subscription_id or new_id("sub"), start_at=seconds(at - MONTH), paid_count=2)
    plan["plan_id"] = plan_id or plan["plan_id"]
    billed = invoice(plan, paid, at)
    paid |= {"invoice_id": billed["id"], "order_id": new_id("order"), "captured": "1", "notes": []}
    paid["description"] = "Recurring Payment via Subscription"
    return {"subscription": plan, "payment": paid, "invoice": billed}
