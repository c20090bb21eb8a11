"""
One call to Razorpay's API and what its answer means.

Errors are `{"error": {"code", "description", "field", "reason", ...}}` (https://razorpay.com/docs/errors); the code is
one of four words, so the status decides. Razorpay has no idempotency key for payment links, so nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientSession, encode_basic_auth
from pydantic import SecretStr
from yarl import URL

from gateway.sdk import Answer, Caller, Rejected, json_object, shown

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes. 100 payments with 15 notes of 256 characters are under 1 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the API is and who asks."""

    address: str
    key_id: str
    key_secret: SecretStr


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
    return await RAZORPAY.send(http, method, url, headers, body)


def rejected(answer: Answer) -> Rejected:
    """Return the error that a refusal stands for."""
    error = error_of(answer)
    code, words = shown(error.get("code")), shown(error.get("description"))
    if answer.status in (401, 403):
        return Rejected(
            f"Razorpay refused the API key ({words or answer.status}): check key_id and key_secret", code=code
        )
    return Rejected(
        f"Razorpay refused the request ({code or answer.status}): {words or 'it gave no reason'}", code=code
    )


def error_of(answer: Answer) -> dict[str, Any]:
    """Return the error object of an answer; an empty one where there is none."""
    error = json_object(answer.body).get("error")
    return error if isinstance(error, dict) else {}


RAZORPAY = Caller(title="Razorpay", rejected=rejected, max_answer=MAX_ANSWER)
