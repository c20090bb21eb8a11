"""Reading single values: times, ids, figures and custom data. Pure; odd values are `Malformed` or absent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.sdk import Attribution, Malformed, Money

VISITOR_KEYS = ("faVisitorId", "faurya_visitor_id")
SESSION_KEYS = ("faSessionId", "faurya_session_id")
TOKEN_KEYS = ("faAttributionToken", "faurya_attribution_token")
REFERENCE_KEYS = ("orderId", "order_id")

MAX_ATTRIBUTION = 256
"""Characters, as everywhere in the gateway."""

MAX_REFERENCE = 255
"""Characters. Our own order ids have at most 40; sites that link to the checkout themselves bring their own."""

ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse(body: bytes) -> Any:
    """
    Return the JSON of a proven body; raise `Malformed`.

    Custom data comes from browsers and may hold what orjson refuses (lone surrogates, 1e999): a sale is not lost over
    that, the standard library reads it.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return json.loads(body, parse_int=lambda digits: int(digits) if len(digits) < 20 else float(digits))
    except (ValueError, RecursionError):
        raise Malformed("the body is signed but is not JSON") from None


def member(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a document that must be an object."""
    value = parent.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object but {type(value).__name__}")
    return value


def instant(value: object, field: str) -> datetime:
    """Return the aware UTC time of an ISO 8601 string such as 2023-01-17T12:26:23.000000Z."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise Malformed(f"{field} is not an ISO 8601 time with a time zone")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{field} names a time that does not exist") from None


def identifier(value: object, field: str) -> str:
    """Return an id as text: JSON:API has strings, attributes have numbers."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise Malformed(f"{field} is not an id of Lemon Squeezy")
    return text


def attribution(custom_data: object) -> Attribution:
    """Return the visitor named in custom data, which anybody's browser may have written: bad values count as absent."""
    return Attribution(
        visitor_id=_text(custom_data, VISITOR_KEYS, MAX_ATTRIBUTION),
        session_id=_text(custom_data, SESSION_KEYS, MAX_ATTRIBUTION),
        token=_text(custom_data, TOKEN_KEYS, MAX_ATTRIBUTION),
    )


def reference(custom_data: object) -> str | None:
    """Return the order id of the site, ours or its own."""
    return _text(custom_data, REFERENCE_KEYS, MAX_REFERENCE)


def figure(attributes: Mapping[str, Any], name: str, currency: str) -> Money:
    """
    Return one figure, an integer of the currency's minor unit.

    The documentation says "in cents" of every currency; they are read with ISO 4217 exponents (1500 JPY is 1500 yen),
    which is unconfirmed.
    """
    value = attributes.get(name)
    if type(value) is not int:
        raise Malformed(f"{name} is not a whole number of minor units")
    return Money(value, currency)


def _text(custom_data: object, keys: Sequence[str], limit: int) -> str | None:
    """Return the first printable string of at most `limit` characters; whatever else stands there counts as absent."""
    for key in keys:
        value = custom_data.get(key) if isinstance(custom_data, dict) else None
        if isinstance(value, str) and value.strip() and len(value) <= limit and value.isprintable():
            return value
    return None
