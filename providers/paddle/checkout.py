"""Opening a checkout: `POST /transactions` (https://developer.paddle.com/api-reference/transactions/create-transaction)."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import ClientSession

from gateway.sdk import (
    Answer,
    Checkout,
    CheckoutRequest,
    Malformed,
    Rejected,
    Unavailable,
    Unsupported,
    is_web_address,
    metadata_of,
)
from providers.paddle.api import ADVICE, PADDLE, Account, call, request_id

PATH = "/transactions"

MAX_ITEMS = 100
"""Items of one transaction, by Paddle's reference."""

custom_data = metadata_of
"""Custom data is in the guide's spelling."""


async def create_checkout(
    http: ClientSession, account: Account, request: CheckoutRequest, payment_page: str | None
) -> Checkout:
    """Open a transaction and return its checkout; sent once, because Paddle has no idempotency keys."""
    body = request_body(request, payment_page)
    return checkout_of(await call(http, account, "POST", PATH, body=orjson.dumps(body)))


def request_body(request: CheckoutRequest, payment_page: str | None) -> dict[str, Any]:
    """
    Return what is posted.

    No customer e-mail: Paddle would want a customer object made first, and the checkout asks the buyer anyway.
    """
    if not request.items:
        raise Unsupported(
            "Paddle sells the prices of its catalogue: give the plan items with a price_id, not an amount"
        )
    if len(request.items) > MAX_ITEMS:
        raise Unsupported(f"Paddle takes at most {MAX_ITEMS} items in one checkout, not {len(request.items)}")
    body: dict[str, Any] = {
        "items": [{"price_id": price_id, "quantity": quantity} for price_id, quantity in request.items],
        "custom_data": custom_data(request.reference, request.attribution),
        "collection_mode": "automatic",
    }
    if payment_page:
        body["checkout"] = {"url": payment_page}
    return body


def checkout_of(answer: Answer) -> Checkout:
    """Return the checkout that Paddle's answer names; raise `Rejected` or `Unavailable`."""
    data = PADDLE.content(answer).get("data")
    if not isinstance(data, dict):
        raise Unavailable(f"Paddle answered {answer.status} without a transaction")
    checkout = data.get("checkout")
    url = checkout.get("url") if isinstance(checkout, dict) else None
    if url is None:
        advice = ADVICE["transaction_default_checkout_url_not_set"]
        raise Rejected(f"Paddle made the transaction without a checkout URL: {advice}", request_id=request_id(answer))
    transaction_id = data.get("id")
    if not is_web_address(url) or not isinstance(transaction_id, str) or not transaction_id:
        raise Unavailable("Paddle answered with a checkout that cannot be used")
    try:
        return Checkout(url=url, checkout_id=transaction_id)
    except Malformed as error:
        raise Unavailable(f"Paddle answered with a checkout that cannot be used: {error}") from None
