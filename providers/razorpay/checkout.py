"""
Opening a checkout: a payment link, `POST /v1/payment_links`
(https://razorpay.com/docs/api/payments/payment-links/create-standard).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import (
    Answer,
    Checkout,
    CheckoutRequest,
    Malformed,
    Money,
    Rejected,
    Unavailable,
    Unsupported,
    is_web_address,
    metadata_of,
)
from providers.razorpay.api import RAZORPAY, Account, error_of, get, post
from providers.razorpay.config import RazorpayOptions
from providers.razorpay.fields import LATEST

PATH = "/v1/payment_links"

TAKEN = "reference id already attempted"
"""Of Razorpay's refusal of a second link with one reference, on the page above."""

notes = metadata_of
"""Notes are in the guide's spelling."""


async def create_checkout(http: ClientSession, account: Account, request: CheckoutRequest) -> Checkout:
    """
    Open a payment link and return its checkout.

    Sent once. Razorpay takes each reference once, so after a timeout the second try is refused: then the link of the
    first one is looked up and returned, if it still is what was ordered.
    """
    body = request_body(request)
    answer = await post(http, account, PATH, body)
    if not is_taken(answer):
        return checkout_of(RAZORPAY.content(answer))
    found = RAZORPAY.content(await get(http, account, PATH, {"reference_id": request.reference}))
    links = found.get("payment_links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and _is_open(link, body):
            return checkout_of(link)
    raise Rejected("Razorpay has another payment link with this order id, or one that is paid: order again")


def request_body(request: CheckoutRequest) -> dict[str, Any]:
    """Return what is posted. Razorpay sends the buyer neither mail nor reminders: they are in the shop right now."""
    if request.amount is None:
        raise Unsupported("Razorpay's payment links know no catalogue: give the plan an amount instead of items")
    options = request.options if isinstance(request.options, RazorpayOptions) else RazorpayOptions()
    body: dict[str, Any] = {
        **_amount(request.amount),
        "accept_partial": False,
        "reference_id": request.reference,
        "notify": {"sms": False, "email": False},
        "reminder_enable": False,
        "notes": notes(request.reference, request.attribution),
    }
    if options.description:
        body["description"] = options.description
    if request.customer_email:
        body["customer"] = {"email": request.customer_email}
    if request.success_url:
        body |= {"callback_url": request.success_url, "callback_method": "get"}
    return body


def is_taken(answer: Answer) -> bool:
    """Say whether Razorpay refused a link because its reference is in use."""
    words = error_of(answer).get("description")
    return answer.status == 400 and isinstance(words, str) and TAKEN in words.lower()


def checkout_of(link: dict[str, Any]) -> Checkout:
    """Return the checkout that a payment link is; raise `Unavailable` for one that cannot be used."""
    url, name, expires = link.get("short_url"), link.get("id"), link.get("expire_by")
    if not is_web_address(url) or not isinstance(name, str) or not name:
        raise Unavailable("Razorpay answered with a payment link that cannot be used")
    until = datetime.fromtimestamp(expires, UTC) if isinstance(expires, int) and 0 < expires <= LATEST else None
    try:
        return Checkout(url=str(url), checkout_id=name, expires_at=until)
    except Malformed as error:
        raise Unavailable(f"Razorpay answered with a payment link that cannot be used: {error}") from None


def _amount(amount: Money) -> dict[str, Any]:
    """Cards know no thousandths: of three decimal places the last must be 0 (the page above)."""
    if amount.major().as_tuple().exponent == -3 and amount.minor % 10:
        raise Unsupported(f"Razorpay cannot charge {amount}: the last of three decimal places must be 0")
    return {"amount": amount.minor, "currency": amount.currency}


def _is_open(link: dict[str, Any], body: dict[str, Any]) -> bool:
    return link.get("status") == "created" and all(
        link.get(name) == body[name] for name in ("reference_id", "amount", "currency", "notes")
    )
