"""
One call to Razorpay's API and what its answer means.

Errors are `{"error": {"code", "description", "field", "reason", ...}}` (https://razorpay.com/docs/errors); the code is
one of four words, so the status decides. Razorpay has no idempotency key for payment links, so nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, encode_basic_auth
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Headers, ProviderError, Rejected, Unavailable, headers_of, unix_seconds

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. 100 payments with 15 notes of 256 characters are under 1 MB."""

MAX_RETRY_AFTER = 86_400
"""Seconds; more is a mistake of somebody between us."""

MAX_SHOWN = 200
"""Characters of Razorpay's own words in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is and who asks."""

    address: str
    key_id: str
    key_secret: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are case-insensitive."""

    status: int
    headers: Headers = field(default_factory=headers_of)
    body: bytes = field(default=b"", repr=False)


async def get(http: ClientSession, account: Account, path: str, query: Mapping[str, str] | None = None) -> Answer:
    """Ask for something."""
    return await _call(http, account, "GET", URL(account.address + path).with_query(query), None)


async def post(http: ClientSession, account: Account, path: str, body: Mapping[str, Any]) -> Answer:
    """Send something, once."""
    return await _call(http, account, "POST", URL(account.address + path), orjson.dumps(body))


async def _call(http: ClientSession, account: Account, method: str, url: URL, body: bytes | None) -> Answer:
    """Send one request, once; raise `Unavailable` when no whole answer came back."""
    headers = {"Authorization": encode_basic_auth(account.key_id, account.key_secret.get_secret_value())}
    if body is not None:
        headers["Content-Type"] = "application/json"
    what = f"{method} {url.path}"
    try:
        async with http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise Unavailable(f"Razorpay's answer to {what} is longer than {MAX_ANSWER} bytes")
            found = headers_of(list(response.headers.items()))
            return Answer(status=response.status, headers=found, body=bytes(answer))
    except TimeoutError:
        raise Unavailable(f"Razorpay did not answer {what} in time") from None
    except (ClientError, OSError) as error:
        raise Unavailable(f"the connection to Razorpay failed for {what}: {type(error).__name__}") from None


def content(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"Razorpay answered {answer.status} without a JSON object: is there a proxy in between?")
    return found


def failure(answer: Answer) -> ProviderError:
    """Return the error that an answer other than 2xx stands for."""
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
        wait = None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))
        return Unavailable(f"Razorpay answered {answer.status}", retry_after=wait)
    error = error_of(answer)
    code, words = _short(error.get("code")), _short(error.get("description"))
    if answer.status in (401, 403):
        return Rejected(
            f"Razorpay refused the API key ({words or answer.status}): check key_id and key_secret", code=code
        )
    if answer.status < 400:
        return Rejected(f"Razorpay's address answered with a redirect ({answer.status}): check base_url")
    return Rejected(
        f"Razorpay refused the request ({code or answer.status}): {words or 'it gave no reason'}", code=code
    )


def error_of(answer: Answer) -> dict[str, Any]:
    """Return the error object of an answer; an empty one where there is none."""
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        return {}
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _short(value: object) -> str | None:
    """Razorpay's words may end up in a log line: one printable line of bounded length, or nothing."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else " " for char in value[:MAX_SHOWN])
