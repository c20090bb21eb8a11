"""
One call to Paddle's API and what its answer means.

Errors are `{"error": {"type", "code", "detail"}, "meta": {"request_id"}}`; the code decides, never the type
(https://developer.paddle.com/api-reference/about/errors). Authentication trouble is 403 at Paddle, not 401. Paddle has
no idempotency keys, so nothing here is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Headers, ProviderError, Rejected, Unavailable, headers_of, unix_seconds

VERSION = "1"
"""https://developer.paddle.com/api-reference/about/versioning"""

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes. A page of 200 events, each with a transaction of 100 items, was put together at 22 MB."""

MAX_RETRY_AFTER = 86_400
"""Seconds; Paddle's limit is per minute, so a day is already a mistake of somebody between us."""

MAX_SHOWN = 200
"""Characters of Paddle's own words in a message."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are case-insensitive."""

    status: int
    headers: Headers = field(default_factory=headers_of)
    body: bytes = field(default=b"", repr=False)


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
    try:
        async with http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise Unavailable(f"Paddle's answer to {method} {path} is longer than {MAX_ANSWER} bytes")
            return Answer(
                status=response.status, headers=headers_of(list(response.headers.items())), body=bytes(answer)
            )
    except TimeoutError:
        raise Unavailable(f"Paddle did not answer {method} {path} in time") from None
    except (ClientError, OSError) as error:
        raise Unavailable(f"the connection to Paddle failed for {method} {path}: {type(error).__name__}") from None


def content(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"Paddle answered {answer.status} without a JSON object: is there a proxy in between?")
    return found


def failure(answer: Answer) -> ProviderError:
    """Return the error that an answer other than 2xx stands for."""
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
        wait = None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))
        return Unavailable(f"Paddle answered {answer.status}", retry_after=wait)
    code, detail = _error_of(answer.body)
    name = request_id(answer)
    if answer.status in (401, 403):
        known = "Paddle refused the API key: check api_key and its permissions"
        return Rejected(KEY_TROUBLE.get(code or "", known), code=code, request_id=name)
    if answer.status < 400:
        return Rejected(f"Paddle's address answered with a redirect ({answer.status}): check base_url", request_id=name)
    advice = ADVICE.get(code or "", detail or "it gave no reason")
    return Rejected(f"Paddle refused the request ({code or answer.status}): {advice}", code=code, request_id=name)


def request_id(answer: Answer) -> str | None:
    """Return Paddle's name for this request, which its support asks for."""
    meta = _object(answer.body).get("meta")
    in_body = meta.get("request_id") if isinstance(meta, dict) else None
    return _short(in_body) or _short(answer.headers.get("Request-Id"))


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    error = _object(body).get("error")
    return (_short(error.get("code")), _short(error.get("detail"))) if isinstance(error, dict) else (None, None)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _short(value: object) -> str | None:
    """Paddle's words may end up in a log line: one printable line of bounded length, or nothing."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else " " for char in value[:MAX_SHOWN])
