"""
What became of one checkout: `GET /v1/orders/?checkout_id=`, and of its orders `GET /v1/refunds/?order_id=`.

They are the objects that webhooks and the lists hold, read by the same functions
(https://polar.sh/docs/api-reference/orders/list, https://polar.sh/docs/api-reference/refunds/list).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Answer, Ignored, RevenueEvent, Unavailable
from providers.polar.api import POLAR, Account, call
from providers.polar.events import Found, read_order, read_refund
from providers.polar.listing import PATHS, PER_PAGE


async def find(http: ClientSession, account: Account, checkout_id: str) -> Sequence[RevenueEvent]:
    """Return the sale that a checkout became and its refunds; nothing while it is not paid."""
    query = {"checkout_id": checkout_id, "limit": str(PER_PAGE)}
    sales = _events(await _asked(http, account, "orders", query), read_order)
    sales = [sale for sale in sales if sale.checkout_id == checkout_id]  # a filter that is not known is passed over
    refunds: list[RevenueEvent] = []
    for sale in sales:
        query = {"order_id": sale.payment_id, "limit": str(PER_PAGE)}
        found = _events(await _asked(http, account, "refunds", query), read_refund)
        refunds += [refund for refund in found if refund.payment_id == sale.payment_id]
    return [*sales, *refunds]


async def _asked(http: ClientSession, account: Account, kind: str, query: Mapping[str, str]) -> Answer:
    return await call(http, account, "GET", PATHS[kind], query=query)


def _events(answer: Answer, read: Callable[[Any], Found]) -> list[RevenueEvent]:
    entries = POLAR.content(answer).get("items")
    if not isinstance(entries, list):
        raise Unavailable("Polar answered without a list")
    found = [read(entry) for entry in entries]
    return [event for one in found if not isinstance(one, Ignored) for event in one]
