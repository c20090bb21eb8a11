"""
What became of one transaction: `GET /transactions/{id}`, and `GET /adjustments` once it is completed.

Both hold the entities that webhooks hold, so they go through the same function and give the same keys
(https://developer.paddle.com/api-reference/transactions/get-transaction,
https://developer.paddle.com/api-reference/adjustments/list-adjustments).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from gateway.sdk import Answer, Ignored, RevenueEvent, Unavailable
from providers.paddle.api import PADDLE, Account, call
from providers.paddle.events import read

TRANSACTIONS = "/transactions"
ADJUSTMENTS = "/adjustments"

MOST_ADJUSTMENTS = "50"
"""The largest page of this list. Nobody adjusts one sale more often; the list of events has whatever follows."""


async def find(http: ClientSession, account: Account, transaction_id: str) -> Sequence[RevenueEvent]:
    """Return the sale that a transaction is and its adjustments; nothing while it is not completed."""
    path = f"{TRANSACTIONS}/{quote(transaction_id, safe='')}"
    sales = sale_of(await call(http, account, "GET", path))
    if not sales:
        return ()
    query = {"transaction_id": sales[0].payment_id, "per_page": MOST_ADJUSTMENTS}
    return [*sales, *adjustments_of(await call(http, account, "GET", ADJUSTMENTS, query=query))]


def sale_of(answer: Answer) -> Sequence[RevenueEvent]:
    """Return the sale in the answer, as of the moment it was billed: when it was completed is not told."""
    data = PADDLE.content(answer).get("data")
    if not isinstance(data, dict):
        raise Unavailable("Paddle answered without a transaction")
    return _read("transaction.completed", data, data.get("billed_at") or data.get("updated_at"))


def adjustments_of(answer: Answer) -> Sequence[RevenueEvent]:
    """Return the refunds, chargebacks and reversals in the answer."""
    found = PADDLE.content(answer).get("data")
    if not isinstance(found, list) or not all(isinstance(entity, dict) for entity in found):
        raise Unavailable("Paddle answered without a list of adjustments")
    return [
        event
        for entity in found
        for event in _read("adjustment.updated", entity, entity.get("updated_at") or entity.get("created_at"))
    ]


def _read(event_type: str, data: Any, occurred_at: Any) -> Sequence[RevenueEvent]:
    found = read({"event_type": event_type, "occurred_at": occurred_at, "data": data})
    return () if isinstance(found, Ignored) else found
