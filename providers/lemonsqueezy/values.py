"""Reading single values: times, ids, figures and custom data. Pure; odd values are `Malformed` or absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.sdk import Malformed, Money

ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII)


def member(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a document that must be an object."""
    value = parent.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object but {type(value).__name__}")
    return value


def identifier(value: object, field: str) -> str:
    """Return an id as text: JSON:API has strings, attributes have numbers."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise Malformed(f"{field} is not an id of Lemon Squeezy")
    return text


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
