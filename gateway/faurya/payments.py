"""
`api: payments`, Faurya's public API.

Facts: https://www.faurya.com/docs/api-reference/payments/create. The visitor is required and must exist, amounts are
positive, refunds have no place, `transaction_id` is unique. Metadata stays inside the tighter rule of goals:
https://docs.faurya.com/docs/api-reference/api-create-goal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from gateway.domain.delivery import Answer, AttemptVerdict, Due, Earlier, OutgoingRequest, Reason, Status, Verdict
from gateway.domain.revenue import RevenueKind
from gateway.faurya import judging
from gateway.faurya.payload import json_amount, post

METADATA_CHARS = 255
"""Characters of one metadata value (https://docs.faurya.com/docs/api-reference/api-create-goal)."""

NOT_FOUND_WAITS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""A visitor may appear late; after these waits it is taken for unknown."""

SALES = frozenset({RevenueKind.PURCHASE, RevenueKind.RENEWAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentsTarget:
    """Where a site's revenue goes in this dialect."""

    url: str
    api_key: SecretStr = field(repr=False)


def build(due: Due, target: PaymentsTarget) -> OutgoingRequest:
    """
    Return the call that records one sale.

    Raises `ValueError` for what this dialect cannot carry and booking never queues: anything but a sale of more than
    zero by a known visitor. Sending a refund here would add to the revenue.
    """
    who = due.attribution
    if due.kind not in SALES or due.amount_minor <= 0 or not who.visitor_id:
        raise ValueError("the payments API takes only sales of more than zero with a visitor id; skip this delivery")
    payload: dict[str, Any] = {
        "transaction_id": transaction_id(due),
        "amount": json_amount(due.amount_minor, due.currency, due.amount_unit),
        "currency": due.currency,
        "faurya_visitor_id": who.visitor_id,
    }
    if who.session_id:
        payload["faurya_session_id"] = who.session_id
    payload["metadata"] = metadata(due)
    secret = {"Authorization": f"Bearer {target.api_key.get_secret_value()}"}
    return post(due, f"{target.url.rstrip('/')}/api/v1/payments", payload, shown={}, secret=secret)


def transaction_id(due: Due) -> str:
    """Return what Faurya holds unique: the payment id, told apart by plugin and connection where it must be."""
    return due.payment_id if due.globally_unique else f"{due.plugin}.{due.connection}.{due.payment_id}"


def metadata(due: Due) -> dict[str, str]:
    """Return what has no field of its own in this dialect, as flat strings; nothing personal."""
    values = {
        "order_id": due.order_id,
        "provider": due.plugin,
        "kind": due.kind.value,
        "amount_minor": str(due.amount_minor),
        "currency": due.currency,
        "subscription_id": due.subscription_id,
    }
    return {name: value[:METADATA_CHARS] for name, value in values.items() if value}


def judge(answer: Answer, earlier: Sequence[Earlier]) -> Verdict:
    """
    Return what `answer` means; `earlier` are the attempts before it, without the one that is judged.

    404 is a visitor that is not there yet: it has its own waits and does not spend the schedule.
    """
    if answer.status != 404:
        return judging.judge(answer, earlier)
    waited = sum(attempt.verdict is AttemptVerdict.NOT_FOUND for attempt in earlier)
    if waited < len(NOT_FOUND_WAITS):
        wait = NOT_FOUND_WAITS[waited]
        return Verdict(attempt=AttemptVerdict.NOT_FOUND, status=Status.PENDING, spends=False, again_in=wait)
    return Verdict(attempt=AttemptVerdict.NOT_FOUND, status=Status.REJECTED, reason=Reason.VISITOR_NOT_FOUND)
