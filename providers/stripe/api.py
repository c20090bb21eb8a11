"""
One call to Stripe's API and what its answer means.

Requests are forms with nested brackets, answers JSON; errors are `{"error": {"type", "code", "message", "param"}}`
(https://docs.stripe.com/api/errors). Nothing here is sent twice: a POST carries an idempotency key, so that whoever
asked may ask again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import ClientError, ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Headers, ProviderError, Rejected, Unavailable, headers_of, unix_seconds

VERSION = "2025-03-31.basil"
"""The first version with invoice payments (https://docs.stripe.com/api/versioning); webhooks may be of any version."""

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of 20 events, each with an invoice of ten lines, was put together at 0.4 MB."""

MAX_RETRY_AFTER = 86_400
"""Seconds; Stripe's limits are per second, so a day is already a mistake of somebody between us."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the API, read to its end."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


async def get(
    http: ClientSession,
    account: Account,
    path: str,
    query: Mapping[str, str] | Pairs = (),
    connected: str | None = None,
) -> Answer:
    """Ask for something; raise `Unavailable` where no answer came."""
    url = URL(account.address + path).with_query(query or None)
    return await _call(http, "GET", url, account.headers(None, connected), None)


async def post(http: ClientSession, account: Account, path: str, form: Pairs, idempotency_key: str) -> Answer:
    """Send a form once; raise `Unavailable` where no answer came."""
    headers = account.headers(idempotency_key, None)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return await _call(http, "POST", URL(account.address + path), headers, urlencode(form).encode())


async def _call(http: ClientSession, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Answer:
    try:
        async with http.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise Unavailable(f"Stripe's answer to {method} {url.path} is longer than {MAX_ANSWER} bytes")
            return Answer(
                status=response.status, headers=headers_of(list(response.headers.items())), body=bytes(answer)
            )
    except TimeoutError:
        raise Unavailable(f"Stripe did not answer {method} {url.path} in time") from None
    except (ClientError, OSError) as error:
        raise Unavailable(f"the connection to Stripe failed for {method} {url.path}: {type(error).__name__}") from None


def content(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    found = _json(answer.body)
    if not isinstance(found, dict):
        raise Unavailable(f"Stripe answered {answer.status} without a JSON object: is there a proxy in between?")
    return found


def failure(answer: Answer) -> ProviderError:
    """Return the error that an answer other than 2xx stands for."""
    if answer.status in PASSING or answer.status >= 500:
        seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
        wait = None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))
        return Unavailable(f"Stripe answered {answer.status}", retry_after=wait)
    code, message = _error_of(answer.body)
    name = request_id(answer)
    if answer.status in KEY_TROUBLE:
        return Rejected(KEY_TROUBLE[answer.status], code=code, request_id=name)
    if answer.status < 400:
        return Rejected(f"Stripe's address answered with a redirect ({answer.status}): check base_url", request_id=name)
    advice = "; ".join(part for part in (message or "it gave no reason", ADVICE.get(code or "")) if part)
    return Rejected(f"Stripe refused the request ({code or answer.status}): {advice}", code=code, request_id=name)


def request_id(answer: Answer) -> str | None:
    """Return Stripe's name for this request, which its support asks for."""
    return _short(answer.headers.get("Request-Id"))


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    found = _json(body)
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return None, None
    return _short(error.get("code") or error.get("type")), _short(error.get("message"))


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _short(value: object) -> str | None:
    """Stripe's words may end up in a log line: one printable line of bounded length, or nothing."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else " " for char in value[:MAX_SHOWN])
