"""
Reading what payment companies send: the parts that are the same for all of them.

What the company set is checked and `Malformed` if odd; what a site or somebody's browser set (metadata, custom data,
notes) is dropped if odd: a sale is not lost over it. Everything here is pure.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.domain.attribution import MAX_ATTRIBUTION, Attribution
from gateway.domain.errors import Malformed

VISITOR_KEYS = ("faVisitorId", "faurya_visitor_id")
SESSION_KEYS = ("faSessionId", "faurya_session_id")
TOKEN_KEYS = ("faAttributionToken", "faurya_attribution_token")
REFERENCE_KEYS = ("orderId", "order_id")
"""The spelling that a checkout of ours sends stands first; the others are what sites write themselves."""

MAX_NAME = 255
"""Characters. Our own order ids have at most 40; sites that open checkouts themselves bring their own."""

TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_signed(body: bytes) -> Any:
    """
    Return the JSON of a proven body; raise `Malformed`.

    Metadata comes from browsers and may hold what orjson refuses (lone surrogates, 1e999): a sale is not lost over
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


def json_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for a body that is anything else. Never raises."""
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def name_or_none(value: object) -> str | None:
    """Return the id or type of an event as `verify` may name it; None where it is no clean text of usual length."""
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and value == value.strip():
        return value
    return None


def time_of(value: object, field: str) -> datetime:
    """Return the aware UTC time of an RFC 3339 string with 0 to 9 fractional digits; digits after the sixth are cut."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise Malformed(f"{field} is not an RFC 3339 time with a time zone")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{field} names a time that does not exist") from None


def text_from(place: object, names: Sequence[str], limit: int = MAX_NAME) -> str | None:
    """Return the first printable string under one of `names`; whatever else stands there counts as absent."""
    if not isinstance(place, Mapping):
        return None
    for name in names:
        value = place.get(name)
        if isinstance(value, str) and value.strip() and len(value) <= limit and value.isprintable():
            return value
    return None


def attribution_from(*places: object) -> Attribution:
    """
    Return the visitor named in the first place with a visitor id, else in the first with anything, else nobody.

    Places are metadata, custom data or notes, in both spellings (`faVisitorId`, `faurya_visitor_id`). Two of them are
    never mixed: half of one visitor and half of another is a third person.
    """
    found = [
        Attribution(
            visitor_id=text_from(place, VISITOR_KEYS, MAX_ATTRIBUTION),
            session_id=text_from(place, SESSION_KEYS, MAX_ATTRIBUTION),
            token=text_from(place, TOKEN_KEYS, MAX_ATTRIBUTION),
        )
        for place in places
    ]
    known = [who for who in found if who]
    return next((who for who in known if who.visitor_id), known[0] if known else Attribution())


def reference_from(*places: object) -> str | None:
    """Return the order id of the site, ours or its own, from the first place that has one."""
    return next((name for place in places if (name := text_from(place, REFERENCE_KEYS))), None)


def metadata_of(reference: str, attribution: Attribution) -> dict[str, str]:
    """Return the metadata to send with a checkout; what is not known is left out, for it stays on every renewal."""
    known = {
        REFERENCE_KEYS[0]: reference,
        VISITOR_KEYS[0]: attribution.visitor_id,
        SESSION_KEYS[0]: attribution.session_id,
        TOKEN_KEYS[0]: attribution.token,
    }
    return {name: value for name, value in known.items() if value}
