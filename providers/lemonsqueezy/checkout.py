"""Opening a checkout: `POST /v1/checkouts` (https://docs.lemonsqueezy.com/api/checkouts/create-checkout)."""

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
from providers.lemonsqueezy.api import LEMON_SQUEEZY, Account, call

PATH = "/v1/checkouts"

MAX_ID_DIGITS = 18
"""Digits of a variant's number; the API wants it as a JSON number."""

custom_data = metadata_of
"""Custom data is in the guide's spelling."""


async def create_checkout(http: ClientSession, account: Account, request: CheckoutRequest) -> Checkout:
    """Open a checkout; sent once, because Lemon Squeezy has no idempotency keys."""
    body = request_body(request, account)
    return checkout_of(await call(http, account, "POST", PATH, body=orjson.dumps(body)), account)


def request_body(request: CheckoutRequest, account: Account) -> dict[str, Any]:
    """
    Return what is posted.

    Without `enabled_variants` the page would offer all variants of the product. `test_mode` makes sure that a sandbox
    connection opens no live checkout, whatever its key. There is no address to come back to without paying.
    """
    variant, quantity = _item(request)
    data: dict[str, Any] = {"custom": custom_data(request.reference, request.attribution)}
    if request.customer_email:
        data["email"] = request.customer_email
    if quantity != 1:
        data["variant_quantities"] = [{"variant_id": int(variant), "quantity": quantity}]
    product: dict[str, Any] = {"enabled_variants": [int(variant)]}
    if request.success_url:
        product["redirect_url"] = request.success_url
    attributes: dict[str, Any] = {"checkout_data": data, "product_options": product}
    if account.sandbox:
        attributes["test_mode"] = True
    return {
        "data": {
            "type": "checkouts",
            "attributes": attributes,
            "relationships": {
                "store": {"data": {"type": "stores", "id": account.store_id}},
                "variant": {"data": {"type": "variants", "id": variant}},
            },
        }
    }


def checkout_of(answer: Answer, account: Account) -> Checkout:
    """Return the checkout that the answer names; raise `Rejected` or `Unavailable`."""
    data = LEMON_SQUEEZY.content(answer).get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(attributes, dict):
        raise Unavailable(f"Lemon Squeezy answered {answer.status} without a checkout")
    _check_mode(attributes.get("test_mode"), account)
    url, checkout_id = attributes.get("url"), data.get("id")
    if not isinstance(url, str) or not is_web_address(url) or not isinstance(checkout_id, str) or not checkout_id:
        raise Unavailable("Lemon Squeezy answered with a checkout that cannot be used")
    try:
        return Checkout(url=url, checkout_id=checkout_id)
    except Malformed as error:
        raise Unavailable(f"Lemon Squeezy answered with a checkout that cannot be used: {error}") from None


def _check_mode(test_mode: object, account: Account) -> None:
    """Keys do not show their mode; the checkout that one opens does. The other mode's checkout is never handed out."""
    if isinstance(test_mode, bool) and test_mode is not account.sandbox:
        mode, environment = ("test", "live") if test_mode else ("live", "sandbox")
        raise Rejected(f"the checkout is in {mode} mode, but environment is {environment}: use that mode's API key")


def _item(request: CheckoutRequest) -> tuple[str, int]:
    """Return the variant and the quantity; raise `Unsupported`."""
    if not request.items:
        raise Unsupported("Lemon Squeezy sells variants: give the plan an item whose price_id is a variant's number")
    if len(request.items) > 1:
        raise Unsupported("Lemon Squeezy sells one variant in a checkout: give the plan one item")
    variant, quantity = request.items[0]
    if not (variant.isascii() and variant.isdigit() and len(variant) <= MAX_ID_DIGITS):
        raise Unsupported(
            f"price_id {variant[:40]!r} is not the number of a variant: copy the variant ID under Products"
        )
    return variant, quantity
