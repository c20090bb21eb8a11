"""
One call to Polar's API and what its answer means.

Errors are `{"error": "<name>", "detail": "<words>"}`, for a refused body `detail` is a list of `{loc, msg, type}`, and
for a refused token `{"error": "invalid_token", "error_description": "<words>"}` (https://polar.sh/docs/api-reference).
Polar has no idempotency keys, so nothing here is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Answer, Caller, Rejected, json_object, shown

VERSION = "2026-10"
"""Of the shapes that this plugin reads, in the header `Polar-Version` (`client.py` of polar-sdk 1.0.2)."""

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of 100 orders with their customer, product and subscription is about 0.6 MB."""

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
    return await POLAR.send(http, method, url, headers, body)


def rejected(answer: Answer) -> Rejected:
    """Return the error that a refusal stands for."""
    code, detail = _error_of(answer.body)
    advice = KEY_TROUBLE.get(answer.status)
    why = "; ".join(part for part in (advice, detail) if part) or "it gave no reason"
    return Rejected(f"Polar refused the request ({code or answer.status}): {why}", code=code)


def _error_of(body: bytes) -> tuple[str | None, str | None]:
    """Return the name of an error and Polar's words about it."""
    found = json_object(body)
    detail = found.get("detail")
    if isinstance(detail, list):
        return shown(found.get("error")), shown("; ".join(_fault(fault) for fault in detail[:MAX_FAULTS]))
    return shown(found.get("error")), shown(detail) or shown(found.get("error_description"))


def _fault(fault: Any) -> str:
    """Return where a refused body is wrong and why; never the value, which may be a buyer's address."""
    if not isinstance(fault, dict) or not isinstance(fault.get("loc"), list):
        return "a fault without a place"
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault.get('msg')}"


POLAR = Caller(title="Polar", rejected=rejected, max_answer=MAX_ANSWER)
