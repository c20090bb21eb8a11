"""The one thing that webhooks and lists lack: the order that a subscription began with."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Malformed, Rejected, Unavailable
from providers.lemonsqueezy.api import LEMON_SQUEEZY, Account, call
from providers.lemonsqueezy.values import identifier


async def order_of(http: ClientSession, account: Account, subscription_id: str) -> str:
    """
    Return the id of the order (https://docs.lemonsqueezy.com/api/subscriptions/retrieve-subscription).

    A refused key is `Unavailable` too: it is mended, and the refund is worth waiting for it.
    """
    path = f"/v1/subscriptions/{subscription_id}"
    try:
        found = LEMON_SQUEEZY.content(await call(http, account, "GET", path))
    except Rejected as refusal:
        if refusal.code == "404":
            raise Malformed(f"Lemon Squeezy knows no subscription {subscription_id} in the mode of api_key") from None
        raise Unavailable(f"a refund waits for GET {path}: {refusal}") from None
    return _order_in(found, subscription_id)


def _order_in(found: dict[str, Any], subscription_id: str) -> str:
    data = found.get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        raise Unavailable(f"Lemon Squeezy answered without the subscription {subscription_id}")
    return identifier(attributes.get("order_id"), "order_id of the subscription")
