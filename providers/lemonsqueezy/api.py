"""
One call to Lemon Squeezy's API and what its answer means.

Errors are JSON:API: `{"errors": [{"status", "title", "detail", "source"}]}`
(https://docs.lemonsqueezy.com/api/getting-started/responses#errors). There are no idempotency keys, so nothing here is
ever sent twice. The limit is 300 calls a minute.
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

JSON_API = "application/vnd.api+json"
"""Wanted in both directions (https://docs.lemonsqueezy.com/api/getting-started/requests)."""

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes. A page of 100 orders has about 400 kB."""

MAX_RETRY_AFTER = 86_400
"""Seconds; the limit is per minute, so a day is already a mistake of somebody between us."""

MAX_SHOWN = 200
"""Characters of Lemon Squeezy's own words in a message."""

KEY_TROUBLE = "Lemon Squeezy refused the API key: check api_key; keys end after a year, and each is of one mode"
NOT_FOUND = (
    "Lemon Squeezy knows no such thing: check store_id and the plan's price_id, and that both are of the key's mode"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is, who asks, for which store, and whether in test mode."""

    address: str
    key: SecretStr
    store_id: str
    sandbox: bool


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
    headers = {
        "Authorization": f"Bearer {account.key.get_secret_value()}",
        "Accept": JSON_API,
        "Content-Type": JSON_API,
    }
    url = URL(account.address + path).with_query(query)
    try:
        async with http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise Unavailable(f"Lemon Squeezy's answer to {method} {path} is longer than {MAX_ANSWER} bytes")
            return Answer(
                status=response.status, headers=headers_of(list(response.headers.items())), body=bytes(answer)
            )
    except TimeoutError:
        raise Unavailable(f"Lemon Squeezy did not answer {method} {path} in time") from None
    except (ClientError, OSError) as error:
        problem = type(error).__name__
        raise Unavailable(f"the connection to Lemon Squeezy failed for {method} {path}: {problem}") from None


def content(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"Lemon Squeezy answered {answer.status} without a JSON object: is there a proxy in between?")
    return found


def failure(answer: Answer) -> ProviderError:
    """Return the error that an answer other than 2xx stands for; its code is the HTTP status."""
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
        wait = None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))
        return Unavailable(f"Lemon Squeezy answered {answer.status}", retry_after=wait)
    code = str(answer.status)
    if answer.status in (401, 403):
        return Rejected(KEY_TROUBLE, code=code)
    if answer.status == 404:
        return Rejected(NOT_FOUND, code=code)
    if answer.status < 400:
        return Rejected(f"the API's address answered with a redirect ({code}): check base_url", code=code)
    return Rejected(f"Lemon Squeezy refused the request ({code}): {_reasons(answer.body)}", code=code)


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _reasons(body: bytes) -> str:
    """Return Lemon Squeezy's words, one printable line of bounded length: they may end up in a log."""
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    errors = found.get("errors") if isinstance(found, dict) else None
    texts = [_reason(error) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    shown = "; ".join(text for text in texts if text)[:MAX_SHOWN]
    return "".join(char if char.isprintable() else " " for char in shown) or "it gave no reason"


def _reason(error: Mapping[str, Any]) -> str:
    source = error.get("source")
    place = source.get("pointer") if isinstance(source, dict) else None
    detail = error.get("detail") or error.get("title")
    if not isinstance(detail, str):
        return ""
    return f"{detail} ({place})" if isinstance(place, str) else detail
