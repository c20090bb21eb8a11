"""
One call to Paddle's API and what its answer means.

Errors are `{"error": {"type", "code", "detail"}, "meta": {"request_id"}}`; the code decides, never the type
(https://developer.paddle.com/api-reference/about/errors). Authentication trouble is 403 at Paddle, not 401. Paddle has
no idempotency keys, so nothing here is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Answer, Caller, Rejected, json_object, shown

VERSION = "1"
"""https://developer.paddle.com/api-reference/about/versioning"""

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes. A page of 200 events, each with a transaction of 100 items, was put together at 22 MB."""

KEY_TROUBLE = {
    "authentication_missing": "Paddle saw no API key: something between the gateway and Paddle removes Authorization",
    "authentication_malformed": "Paddle cannot read the API key: copy it again into api_key",
    "invalid_token": "Paddle does not know the API key, or it has expired: make a new one and put it into api_key",
    "forbidden": "the API key lacks a permission: give it transaction read and write, adjustment read and event read",
    "paddle_billing_not_enabled": "this Paddle account is not on Paddle Billing",
}
"""https://developer.paddle.com/errors/shared/invalid_token and its neighbours"""

ADVICE = {
    "transaction_default_checkout_url_not_set": (
        "set the default payment link in Paddle's dashboard under Checkout > Checkout settings"
    ),
    "transaction_checkout_url_domain_is_not_approved": (
        "have the domain of payment_page approved in Paddle's dashboard under Checkout > Website approval"
    ),
    "transaction_checkout_not_enabled": "finish the onboarding of this Paddle account: it may not sell yet",
}
"""https://developer.paddle.com/errors/transactions"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is and who asks."""

    address: str
    key: SecretStr


async def call(
    http: ClientSession,
    account: Account,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request, once; raise `Unavailable` when no whole answer came back."""
    headers = {"Authorization": f"Bearer {account.key.get_secret_value()}", "Paddle-Version": VERSION}
    if body is not None:
        headers["Content-Type"] = "application/json"
    url = URL(account.address + path).with_query(query)
    return await PADDLE.send(http, method, url, headers, body)


def rejected(answer: Answer) -> Rejected:
    """Return the error that a refusal stands for."""
    code, detail = _error_of(answer.body)
    name = request_id(answer)
    if answer.status in (401, 403):
        known = "Paddle refused the API key: check api_key and its permissions"
        return Rejected(KEY_TROUBLE.get(code or "", known), code=code, request_id=name)
    advice = ADVICE.get(code or "", detail or "it gave no reason")
    return Rejected(f"Paddle refused the request ({code or answer.status}): {advice}", code=code, request_id=name)


def request_id(answer: Answer) -> str | None:
    """Return Paddle's name for this request, which its support asks for."""
    meta = json_object(answer.body).get("meta")
    in_body = meta.get("request_id") if isinstance(meta, dict) else None
    return shown(in_body) or shown(answer.headers.get("Request-Id"))


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    error = json_object(body).get("error")
    return (shown(error.get("code")), shown(error.get("detail"))) if isinstance(error, dict) else (None, None)


PADDLE = Caller(title="Paddle", rejected=rejected, max_answer=MAX_ANSWER)
