"""
From a Paddle envelope to revenue events. Pure: webhooks and `GET /events` go through the same functions.

An envelope is `{event_id, event_type, occurred_at, data}`; webhooks add a `notification_id`. One sale is reported
completed by up to three events (`transaction.completed`, a late `updated`, `revised`), so the key is the transaction,
never the event. Refunds and chargebacks are adjustments: they have no custom data and point at the transaction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
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
    time_of,
)

TRANSACTION_EVENTS = frozenset(
    f"transaction.{name}"
    for name in (
        "billed", "canceled", "completed", "created", "paid",
        "past_due", "payment_failed", "ready", "revised", "updated",
    )
)  # fmt: skip
"""https://developer.paddle.com/webhooks/overview#transactions; any of them may report the status `completed`."""

ADJUSTMENT_EVENTS = frozenset({"adjustment.created", "adjustment.updated"})
"""https://developer.paddle.com/webhooks/overview#adjustments"""

RENEWAL_ORIGINS = ("subscription_recurring",)
"""
https://developer.paddle.com/api-reference/transactions: `api`, `web`, `subscription_charge`, `subscription_update` and
`subscription_payment_method_change` (always zero) are purchases, and so is an origin that we do not know yet.
"""

ADJUSTMENT_KINDS = {
    "refund": (RevenueKind.REFUND, "refund", frozenset({"approved", "reversed"})),
    "chargeback": (RevenueKind.REFUND, "refund", frozenset({"approved", "reversed"})),
    "chargeback_reverse": (RevenueKind.REFUND_REVERSAL, "reversal", frozenset({"approved"})),
}
"""
Action to kind, first word of the key and the statuses in which the money has moved: what is `reversed` now was approved
once, and its way back is an adjustment of its own. Credits and warnings move no money
(https://developer.paddle.com/webhooks/adjustments/adjustment-updated).
"""

SIMULATED_EVENT = "ntfsimevt_"
SIMULATED_NOTIFICATION = "ntfsimntf_"

AMOUNT = re.compile(r"-?[0-9]{1,16}", re.ASCII)


def read(envelope: Any) -> Sequence[RevenueEvent] | Ignored:
    """Return the movement of money that an envelope reports, or why there is none; raise `Malformed`."""
    if not isinstance(envelope, dict):
        raise Malformed(f"the envelope is not an object but {type(envelope).__name__}")
    event_type = checked(envelope.get("event_type"), "event_type")
    if _is_simulated(envelope):
        return Ignored("simulated")
    if event_type in TRANSACTION_EVENTS:
        return _sale(_object(envelope, "data"), envelope.get("occurred_at"))
    if event_type in ADJUSTMENT_EVENTS:
        return _adjustment(_object(envelope, "data"), envelope.get("occurred_at"))
    return Ignored("not_revenue")


def instant(value: object) -> datetime:
    """Return the aware UTC time of an envelope's `occurred_at`."""
    return time_of(value, "occurred_at")


def money(figures: Mapping[str, Any], name: str, currency: str) -> Money:
    """
    Return one figure of `totals`.

    Paddle sends whole numbers of the minor unit as strings. A JSON integer would mean the same and is taken; fractions,
    floats, booleans and the empty string are not read as anything.
    """
    value = figures.get(name)
    if isinstance(value, str) and AMOUNT.fullmatch(value):
        return Money(int(value), currency)
    if type(value) is int:
        return Money(value, currency)
    raise Malformed(f"totals.{name} is not a whole number of minor units")


def _sale(data: Mapping[str, Any], occurred_at: object) -> Sequence[RevenueEvent] | Ignored:
    if checked(data.get("status"), "data.status") != "completed":
        return Ignored("not_final")
    transaction_id = checked(data.get("id"), "data.id")
    totals = _object(_object(data, "details"), "totals")
    currency = _currency(data, totals)
    custom_data = data.get("custom_data")
    sale = RevenueEvent(
        kind=RevenueKind.RENEWAL if data.get("origin") in RENEWAL_ORIGINS else RevenueKind.PURCHASE,
        key=f"payment:{transaction_id}",
        payment_id=transaction_id,
        amount=money(totals, "grand_total", currency),
        occurred_at=instant(occurred_at),
        tax=_money_or_none(totals, "tax", currency),
        net=_money_or_none(totals, "earnings", currency),
        reference=reference_from(custom_data),
        checkout_id=transaction_id,
        subscription_id=checked_or_none(data.get("subscription_id"), "data.subscription_id"),
        items=_items(data.get("items")),
        attribution=attribution_from(custom_data),
    )
    return [sale]


def _adjustment(data: Mapping[str, Any], occurred_at: object) -> Sequence[RevenueEvent] | Ignored:
    action = checked(data.get("action"), "data.action")
    if action not in ADJUSTMENT_KINDS:
        return Ignored("not_revenue")
    kind, word, final = ADJUSTMENT_KINDS[action]
    if checked(data.get("status"), "data.status") not in final:
        return Ignored("not_final")
    totals = _object(data, "totals")
    currency = _currency(data, totals)
    movement = RevenueEvent(
        kind=kind,
        key=f"{word}:{checked(data.get('id'), 'data.id')}",
        payment_id=checked(data.get("transaction_id"), "data.transaction_id"),
        amount=money(totals, "total", currency),
        occurred_at=instant(occurred_at),
        tax=_money_or_none(totals, "tax", currency),
        net=_money_or_none(totals, "earnings", currency),
        subscription_id=checked_or_none(data.get("subscription_id"), "data.subscription_id"),
        cause=action,
    )
    return [movement]


def _is_simulated(envelope: Mapping[str, Any]) -> bool:
    """Simulations carry the destination's real signature; only their ids tell."""
    marks = ((envelope.get("event_id"), SIMULATED_EVENT), (envelope.get("notification_id"), SIMULATED_NOTIFICATION))
    return any(isinstance(value, str) and value.startswith(mark) for value, mark in marks)


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object but {type(value).__name__}")
    return value


def _currency(data: Mapping[str, Any], totals: Mapping[str, Any]) -> str:
    currency = checked(data.get("currency_code"), "data.currency_code")
    if totals.get("currency_code") not in (None, currency):
        raise Malformed(f"the totals are not in {currency}, the currency of the entity")
    return currency


def _money_or_none(figures: Mapping[str, Any], name: str, currency: str) -> Money | None:
    return None if figures.get(name) is None else money(figures, name, currency)


def _items(items: object) -> Sequence[str]:
    """Return the price and product ids, each once: claims and reports name sales by them."""
    found: dict[str, None] = {}
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            price = item.get("price")
            inner = price if isinstance(price, dict) else {}
            for value in (item.get("price_id"), inner.get("id"), inner.get("product_id")):
                if name := name_or_none(value):
                    found[name] = None
    return tuple(found)
