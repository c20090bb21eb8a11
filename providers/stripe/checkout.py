"""Opening a checkout: `POST /v1/checkout/sessions` (https://docs.stripe.com/api/checkout/sessions/create)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import ClientSession

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
from providers.stripe.api import STRIPE, Account, Pairs, get, post
from providers.stripe.config import StripeOptions
from providers.stripe.fields import ID
from providers.stripe.money import in_stripes_units

PATH = "/v1/checkout/sessions"

MAX_ITEMS = 100
"""Line items of one session, by Stripe's reference; a subscription takes 20 recurring prices, which Stripe checks."""

Mode = Literal["payment", "subscription"]

metadata = metadata_of
"""The metadata is in the guide's spelling."""


async def create_checkout(http: ClientSession, account: Account, request: CheckoutRequest) -> Checkout:
    """Open a session, asking first whether a price recurs where the plan does not say its mode."""
    options = request.options if isinstance(request.options, StripeOptions) else StripeOptions()
    _check(request)
    mode = options.mode or await _mode_of(http, account, request)
    pairs = form(request, options, mode)
    return checkout_of(await post(http, account, PATH, pairs, request.idempotency_key))


def form(request: CheckoutRequest, options: StripeOptions, mode: Mode) -> Pairs:
    """
    Return what is posted, as the form's names and values.

    The metadata stands twice: on the session, and where Stripe copies it on to what comes later: the payment's charge,
    or the subscription and with it the invoice of every renewal (https://docs.stripe.com/metadata).
    """
    inside = "subscription_data" if mode == "subscription" else "payment_intent_data"
    known = metadata(request.reference, request.attribution)
    content: dict[str, Any] = {
        "mode": mode,
        "line_items": _line_items(request, options, mode),
        "client_reference_id": request.reference,
        "metadata": known,
        inside: {"metadata": known},
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
        "customer_email": request.customer_email,
    }
    if options.allow_promotion_codes:
        content["allow_promotion_codes"] = "true"
    if options.automatic_tax:
        content["automatic_tax"] = {"enabled": "true"}
    if options.trial_days:
        if mode != "subscription":
            raise Unsupported("trial_days needs prices that recur: take it out of the plan's options")
        content[inside]["trial_period_days"] = str(options.trial_days)
    return list(_pairs("", content))


def checkout_of(answer: Answer) -> Checkout:
    """Return the checkout that Stripe's answer names; raise `Rejected` or `Unavailable`."""
    session = STRIPE.content(answer)
    url, session_id, expires_at = session.get("url"), session.get("id"), session.get("expires_at")
    if not is_web_address(url) or not isinstance(session_id, str) or not session_id:
        raise Unavailable("Stripe answered with a session that cannot be used")
    try:
        expires = datetime.fromtimestamp(expires_at, UTC) if type(expires_at) is int else None
        return Checkout(url=str(url), checkout_id=session_id, expires_at=expires)
    except (Malformed, ValueError, OverflowError, OSError) as error:
        raise Unavailable(f"Stripe answered with a session that cannot be used: {error}") from None


def _check(request: CheckoutRequest) -> None:
    if not request.success_url:
        raise Unsupported("Stripe needs an address to come back to: set success_url of the site")
    if not request.items and request.amount is None:
        raise Unsupported("a checkout needs items with a price_id or an amount")
    if len(request.items) > MAX_ITEMS:
        raise Unsupported(f"Stripe takes at most {MAX_ITEMS} items in one checkout, not {len(request.items)}")
    if not all(ID.fullmatch(price_id) for price_id, _ in request.items):
        raise Unsupported("a price_id of the plan is not an id such as price_...")


async def _mode_of(http: ClientSession, account: Account, request: CheckoutRequest) -> Mode:
    """Return `subscription` if a price recurs: Stripe refuses a session whose mode does not fit its prices."""
    for price_id, _ in request.items:
        price = STRIPE.content(await get(http, account, f"/v1/prices/{price_id}"))
        if price.get("type") == "recurring":
            return "subscription"
    return "payment"


def _line_items(request: CheckoutRequest, options: StripeOptions, mode: Mode) -> Sequence[dict[str, Any]]:
    if request.items:
        return [{"price": price_id, "quantity": str(quantity)} for price_id, quantity in request.items]
    if mode == "subscription" or request.amount is None:
        raise Unsupported("a subscription needs items with a price_id: an amount does not say how often it recurs")
    price = {
        "currency": request.amount.currency.lower(),
        "unit_amount": str(in_stripes_units(request.amount)),
        "product_data": {"name": options.product_name},
    }
    return [{"price_data": price, "quantity": "1"}]


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a nested value as Stripe writes it: `line_items[0][price]=...`; what is None is left out."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _pairs(f"{name}[{key}]" if name else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _pairs(f"{name}[{number}]", inner)
