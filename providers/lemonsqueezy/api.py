"""
One call to Lemon Squeezy's API and what its answer means.

Errors are JSON:API: `{"errors": [{"status", "title", "detail", "source"}]}`
(https://docs.lemonsqueezy.com/api/getting-started/responses#errors). There are no idempotency keys, so nothing here is
ever sent twice. The limit is 300 calls a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Answer, Caller, Rejected, json_object, shown

JSON_API = "application/vnd.api+json"
"""Wanted in both directions (https://docs.lemonsqueezy.com/api/getting-started/requests)."""

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes. A page of 100 orders has about 400 kB."""

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
    return await LEMON_SQUEEZY.send(http, method, url, headers, body)


def rejected(answer: Answer) -> Rejected:
    """Return the error that a refusal stands for; its code is the HTTP status."""
    code = str(answer.status)
    if answer.status in (401, 403):
        return Rejected(KEY_TROUBLE, code=code)
    if answer.status == 404:
        return Rejected(NOT_FOUND, code=code)
    return Rejected(f"Lemon Squeezy refused the request ({code}): {_reasons(answer.body)}", code=code)


def _reasons(body: bytes) -> str:
    """Return Lemon Squeezy's words, one printable line of bounded length: they may end up in a log."""
    errors = json_object(body).get("errors")
    texts = [_reason(error) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return shown("; ".join(text for text in texts if text)) or "it gave no reason"


def _reason(error: Mapping[str, Any]) -> str:
    source = error.get("source")
    place = source.get("pointer") if isinstance(source, dict) else None
    detail = error.get("detail") or error.get("title")
    if not isinstance(detail, str):
        return ""
    return f"{detail} ({place})" if isinstance(place, str) else detail


LEMON_SQUEEZY = Caller(title="Lemon Squeezy", rejected=rejected, max_answer=MAX_ANSWER)
