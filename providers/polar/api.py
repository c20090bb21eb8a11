"""
One call to Polar's API and what its answer means.

Errors are `{"error": "<name>", "detail": "<words>"}`, for a refused body `detail` is a list of `{loc, msg, type}`, and
for a refused token `{"error": "invalid_token", "error_description": "<words>"}` (https://polar.sh/docs/api-reference).
Polar has no idempotency keys, so nothing here is ever sent twice.
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

VERSION = "2026-10"
"""Of the shapes that this plugin reads, in the header `Polar-Version` (`client.py` of polar-sdk 1.0.2)."""

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of 100 orders with their customer, product and subscription is about 0.6 MB."""

MAX_RETRY_AFTER = 86_400
"""Seconds; Polar's limit is per minute, so a day is already a mistake of somebody between us."""

MAX_SHOWN = 200
"""Characters of Polar's own words in a message."""

MAX_FAULTS = 3
"""Faults of a refused body in a message."""

KEY_TROUBLE: Mapping[int, str] = {
    401: "Polar does not know the access token, or it has expired: make one in this environment and put it into "
    "access_token (the sandbox and the live Polar have tokens of their own)",
    403: "the access token lacks a scope, or the organization may not do this: give the token checkouts:write, "
    "orders:read and refunds:read, and see whether Polar has approved the organization for payments",
}
"""https://polar.sh/docs/integrate/authentication, https://polar.sh/docs/integrate/sandbox"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is and who asks."""

    address: str
    token: SecretStr


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
    headers = {"Authorization": f"Bearer {account.token.get_secret_value()}", "Polar-Version": VERSION}
    if body is not None:
        headers["Content-Type"] = "application/json"
    url = URL(account.address + path).with_query(query)
    try:
        async with http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise Unavailable(f"Polar's answer to {method} {path} is longer than {MAX_ANSWER} bytes")
            return Answer(
                status=response.status, headers=headers_of(list(response.headers.items())), body=bytes(answer)
            )
    except TimeoutError:
        raise Unavailable(f"Polar did not answer {method} {path} in time") from None
    except (ClientError, OSError) as error:
        raise Unavailable(f"the connection to Polar failed for {method} {path}: {type(error).__name__}") from None


def content(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"Polar answered {answer.status} without a JSON object: is there a proxy in between?")
    return found


def failure(answer: Answer) -> ProviderError:
    """Return the error that an answer other than 2xx stands for."""
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
        wait = None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))
        return Unavailable(f"Polar answered {answer.status}", retry_after=wait)
    if answer.status < 400:
        return Rejected(f"Polar's address answered with a redirect ({answer.status}): check base_url")
    code, detail = _error_of(answer.body)
    advice = KEY_TROUBLE.get(answer.status)
    why = "; ".join(part for part in (advice, detail) if part) or "it gave no reason"
    return Rejected(f"Polar refused the request ({code or answer.status}): {why}", code=code)


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    """Return the name of an error and Polar's words about it."""
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return None, None
    detail = found.get("detail")
    if isinstance(detail, list):
        return _short(found.get("error")), _short("; ".join(_fault(fault) for fault in detail[:MAX_FAULTS]))
    return _short(found.get("error")), _short(detail) or _short(found.get("error_description"))


def _fault(fault: Any) -> str:
    """Return where a refused body is wrong and why; never the value, which may be a buyer's address."""
    if not isinstance(fault, dict) or not isinstance(fault.get("loc"), list):
        return "a fault without a place"
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault.get('msg')}"


def _short(value: object) -> str | None:
    """Polar's words may end up in a log line: one printable line of bounded length, or nothing."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else " " for char in value[:MAX_SHOWN])
