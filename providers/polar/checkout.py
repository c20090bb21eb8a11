"""Opening a checkout: `POST /v1/checkouts/` (https://polar.sh/docs/api-reference/checkouts/create-session)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import orjson
from aiohttp import ClientSession
from pydantic import BaseModel, ConfigDict

from gateway.sdk import (
    Answer,
    Checkout,
    CheckoutRequest,
    Malformed,
    Unavailable,
    Unsupported,
    is_web_address,
    metadata_of,
)
from providers.polar.api import POLAR, Account, call
from providers.polar.events import instant

PATH = "/v1/checkouts/"
"""With the slash at the end: without it Polar answers with a redirect."""

metadata = metadata_of
"""The metadata is in the guide's spelling."""


class PolarOptions(BaseModel):
    """
    A plan's options.

    `quantity_is` says what the plan's quantity counts at Polar: the seats of a seat-based price or the units of a
    unit-based one; without it only a quantity of 1 can be sold. `discount_id` is applied from the start, and
    `allow_discount_codes: false` takes the field for codes off the page.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantity_is: Literal["seats", "units"] | None = None
    discount_id: str | None = None
    allow_discount_codes: bool | None = None


async def create_checkout(http: ClientSession, account: Account, request: CheckoutRequest) -> Checkout:
    """Open a checkout; sent once, because Polar has no idempotency keys."""
    return checkout_of(await call(http, account, "POST", PATH, body=orjson.dumps(request_body(request))))


def request_body(request: CheckoutRequest) -> dict[str, Any]:
    """
    Return what is posted; what is not known is left out.

    The buyer's address and IP travel because the caller gave them for that: Polar fills in the one and takes the
    country, and so the currency, from the other.
    """
    options = request.options if isinstance(request.options, PolarOptions) else PolarOptions()
    product, quantity = _item(request)
    if options.quantity_is is None and quantity != 1:
        raise Unsupported(
            f"Polar sells a product once, not {quantity} times: set the plan's options.quantity_is to seats or units "
            "if the product is priced so"
        )
    body: dict[str, Any] = {
        "products": [product],
        "metadata": metadata(request.reference, request.attribution),
        "success_url": request.success_url,
        "return_url": request.cancel_url,
        "customer_email": request.customer_email,
        "customer_ip_address": request.customer_ip,
        "discount_id": options.discount_id,
        "allow_discount_codes": options.allow_discount_codes,
    }
    if options.quantity_is is not None:
        body[options.quantity_is] = quantity
    return {name: value for name, value in body.items() if value is not None}


def checkout_of(answer: Answer) -> Checkout:
    """Return the checkout that Polar's answer names; raise `Rejected` or `Unavailable`."""
    data = POLAR.content(answer)
    url, checkout_id = data.get("url"), data.get("id")
    if not isinstance(url, str) or not is_web_address(url) or not isinstance(checkout_id, str) or not checkout_id:
        raise Unavailable("Polar answered with a checkout that cannot be used")
    try:
        return Checkout(url=url, checkout_id=checkout_id, expires_at=_expiry(data.get("expires_at")))
    except Malformed as error:
        raise Unavailable(f"Polar answered with a checkout that cannot be used: {error}") from None


def _item(request: CheckoutRequest) -> tuple[str, int]:
    if not request.items:
        raise Unsupported(
            "Polar sells the products of its catalogue: give the plan an item whose price_id is a product's id"
        )
    if len(request.items) > 1:
        raise Unsupported(
            "Polar sells one product in a checkout (several would be a choice for the buyer): give the plan one item"
        )
    return request.items[0]


def _expiry(value: object) -> datetime | None:
    return None if value is None else instant(value)
