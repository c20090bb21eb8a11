"""What the bodies of both dialects share: exact amounts and the form of a request."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.domain.delivery import Due, OutgoingRequest
from gateway.domain.ids import movement_key
from gateway.domain.money import Money

JSON = ("content-type", "application/json")


def json_amount(minor: int, currency: str, unit: str) -> int | orjson.Fragment:
    """Return an amount as an exact JSON number: 6500 in "minor" units of USD, the literal 65.00 in "major" units."""
    match unit:
        case "minor":
            return minor
        case "major":
            return orjson.Fragment(format(Money(minor, currency).major(), "f"))
        case _:
            raise ValueError(f"an amount unit is 'minor' or 'major', not {unit!r}")


def post(
    due: Due, url: str, payload: Mapping[str, Any], *, shown: Mapping[str, str], secret: Mapping[str, str]
) -> OutgoingRequest:
    """Return the request for one movement; its `Idempotency-Key` is the same on every attempt."""
    key = ("Idempotency-Key", movement_key(due.site, due.connection, due.key))
    return OutgoingRequest(
        url=url,
        body=orjson.dumps(payload),
        headers=(JSON, *shown.items(), key),
        secret_headers=tuple(secret.items()),
    )
