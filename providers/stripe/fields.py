"""Single fields of Stripe's objects: what Stripe sets is checked, what a site or a browser set is dropped if odd."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.sdk import Malformed
from providers.stripe.questions import Entity

ID = re.compile(r"[A-Za-z0-9_.-]{1,240}", re.ASCII)
"""Ids become parts of keys and of addresses. Stripe promises at most 255 characters (https://docs.stripe.com/upgrades)."""


def id_of(value: object) -> str | None:
    """Return the id of a link, which is a string or, expanded, the object itself; None where there is none."""
    if isinstance(value, dict):
        value = value.get("id")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not ID.fullmatch(value) or value in (".", ".."):
        raise Malformed("a link to another object is not an id")
    return value


def own_id(entity: Entity) -> str:
    """Return the id of the object itself."""
    found = id_of(entity.get("id"))
    if found is None:
        raise Malformed("an object has no id")
    return found


def object_of(entity: Entity, name: str) -> Entity:
    """Return the object in a field; an empty one where the field holds anything else."""
    value = entity.get(name)
    return value if isinstance(value, dict) else {}


def rows_of(value: object) -> Sequence[Entity] | None:
    """Return the objects of a list; None unless the whole list is here."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list) or value.get("has_more"):
        return None
    return [row for row in value["data"] if isinstance(row, dict)]


def whole(entity: Entity, name: str) -> int:
    """Return a whole number that must be there."""
    value = entity.get(name)
    if type(value) is not int:
        raise Malformed(f"{name} is not a whole number")
    return value


def items(lines: Iterable[Entity]) -> Sequence[str]:
    """Return the price and product ids of line items, each once: claims and reports name sales by them."""
    found = (value for line in lines for value in _priced(line))
    return tuple(dict.fromkeys(value for value in found if isinstance(value, str) and ID.fullmatch(value)))


def _priced(line: Entity) -> Iterable[Any]:
    """Session lines and older invoices have `price`, invoices since 2025-03-31 `pricing.price_details`."""
    details = object_of(object_of(line, "pricing"), "price_details")
    for price in (line.get("price"), details.get("price")):
        yield price.get("id") if isinstance(price, dict) else price
    for product in (object_of(line, "price").get("product"), details.get("product")):
        yield product.get("id") if isinstance(product, dict) else product
