"""
One call to Stripe's API and what its answer means.

Requests are forms with nested brackets, answers JSON; errors are `{"error": {"type", "code", "message", "param"}}`
(https://docs.stripe.com/api/errors). Nothing here is sent twice: a POST carries an idempotency key, so that whoever
asked may ask again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from aiohttp import ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Answer, Caller, Rejected, json_object, shown

VERSION = "2025-03-31.basil"
"""The first version with invoice payments (https://docs.stripe.com/api/versioning); webhooks may be of any version."""

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of 20 events, each with an invoice of ten lines, was put together at 0.4 MB."""

MAX_SHOWN = 300
"""Characters of Stripe's own words in a message."""

PASSING = frozenset({408, 409, 424, 425, 429})
"""Statuses below 500 that a later try may not meet: 409 is another request with the same key still under way."""

KEY_TROUBLE = {
    401: "Stripe does not know the API key, or it was rolled: copy it again into api_key",
    403: (
        "the API key lacks a permission: give it write for Checkout Sessions and read for Prices, Invoices and Events"
    ),
}
"""https://docs.stripe.com/keys/restricted-api-keys"""

ADVICE = {
    "resource_missing": "is the id of this environment? Sandbox and live share no prices",
    "url_invalid": "success_url and cancel_url must be whole addresses",
    "email_invalid": "customerEmail is not an address that Stripe takes",
    "idempotency_key_in_use": "the same checkout is being made already",
}
"""https://docs.stripe.com/error-codes"""

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is and who asks."""

    address: str
    key: SecretStr = field(repr=False)

    def headers(self, idempotency_key: str | None, connected: str | None) -> dict[str, str]:
        """Return the headers of a call; `connected` is the connected account it is made for."""
        found = {"Authorization": f"Bearer {self.key.get_secret_value()}", "Stripe-Version": VERSION}
        if idempotency_key:
            found["Idempotency-Key"] = idempotency_key
        if connected:
            found["Stripe-Account"] = connected
        return found


async def get(
    http: ClientSession,
    account: Account,
    path: str,
    query: Mapping[str, str] | Pairs = (),
    connected: str | None = None,
) -> Answer:
    """Ask for something; raise `Unavailable` where no answer came."""
    url = URL(account.address + path).with_query(query or None)
    return await STRIPE.send(http, "GET", url, account.headers(None, connected))


async def post(http: ClientSession, account: Account, path: str, form: Pairs, idempotency_key: str) -> Answer:
    """Send a form once; raise `Unavailable` where no answer came."""
    headers = account.headers(idempotency_key, None)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return await STRIPE.send(http, "POST", URL(account.address + path), headers, urlencode(form).encode())


def rejected(answer: Answer) -> Rejected:
    """Return the error that a refusal stands for."""
    code, message = _error_of(answer.body)
    name = request_id(answer)
    if answer.status in KEY_TROUBLE:
        return Rejected(KEY_TROUBLE[answer.status], code=code, request_id=name)
    advice = "; ".join(part for part in (message or "it gave no reason", ADVICE.get(code or "")) if part)
    return Rejected(f"Stripe refused the request ({code or answer.status}): {advice}", code=code, request_id=name)


def request_id(answer: Answer) -> str | None:
    """Return Stripe's name for this request, which its support asks for."""
    return shown(answer.headers.get("Request-Id"))


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    error = json_object(body).get("error")
    if not isinstance(error, dict):
        return None, None
    return shown(error.get("code") or error.get("type"), MAX_SHOWN), shown(error.get("message"), MAX_SHOWN)


STRIPE = Caller(title="Stripe", rejected=rejected, max_answer=MAX_ANSWER, passing=PASSING)
