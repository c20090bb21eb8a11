"""
What a caller orders, and why a checkout cannot be created. Pure.

    CheckoutError
    ├── InvalidCheckout    a field is not right
    ├── UnknownPlan        the site lists no such plan
    ├── KeyReused          the Idempotency-Key named another request
    ├── KeyInProgress      a request with this key is under way
    ├── ProviderRefused    the provider said no
    └── ProviderAway       the provider cannot be reached
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.config import Plan, Site
from gateway.domain.attribution import MAX_ATTRIBUTION, Attribution
from gateway.domain.messages import MetadataLimits
from gateway.domain.text import is_storable, printable


class CheckoutError(Exception):
    """The checkout cannot be created."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class InvalidCheckout(CheckoutError):
    """A field of the request is not right."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


class UnknownPlan(CheckoutError):
    """The site lists no such plan."""


class KeyReused(CheckoutError):
    """This Idempotency-Key was used with another request; use a new key for a new checkout."""


class KeyInProgress(CheckoutError):
    """A request with this Idempotency-Key is under way; ask again in a moment."""


class ProviderRefused(CheckoutError):
    """The payment provider refused to create the checkout."""

    def __init__(self, message: str, code: str | None, request_id: str | None) -> None:
        super().__init__(message)
        self.code, self.request_id = code, request_id


class ProviderAway(CheckoutError):
    """The payment provider cannot be reached now; ask again in a moment."""

    def __init__(self, message: str | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller asks for. `ids` are the attribution values as sent, of whatever type."""

    plan: str | None
    price_id: str | None
    quantity: int | None
    ids: tuple[Any, Any, Any]
    customer_email: str | None = field(repr=False)
    customer_ip: str | None = field(repr=False)
    idempotency_key: str | None = field(repr=False)


def chosen_plan(site: Site, order: Order) -> Plan:
    """Return the plan that is named, or the only single-item plan with the price."""
    if order.plan is not None:
        if order.plan not in site.plans:
            raise UnknownPlan(f"the site lists no plan named {printable(order.plan, 64)!r}")
        return site.plans[order.plan]
    if order.price_id is None:
        raise InvalidCheckout("plan", "name a plan of the site")
    found = [plan for plan in site.plans.values() if len(plan.items) == 1 and plan.items[0].price_id == order.price_id]
    if len(found) != 1:
        raise UnknownPlan(f"{len(found)} plans of the site have exactly this price; name the plan instead")
    return found[0]


def chosen_quantity(plan: Plan, asked: int | None) -> int:
    """Return how many of the plan are ordered: the caller may choose only where the plan says so."""
    if plan.quantity is None:
        if asked not in (None, 1):
            raise InvalidCheckout("quantity", "this plan is sold as it is; leave the quantity out")
        return 1
    if asked is None:
        return plan.quantity.min
    if not plan.quantity.min <= asked <= plan.quantity.max:
        raise InvalidCheckout("quantity", f"must be from {plan.quantity.min} to {plan.quantity.max}")
    return asked


def kept_ids(ids: tuple[Any, Any, Any]) -> tuple[Attribution, tuple[str, ...]]:
    """Return the attribution of what a browser sent, and the names of values that were dropped: a sale matters more."""
    names = ("faVisitorId", "faSessionId", "faAttributionToken")
    good = [
        value if isinstance(value, str) and len(value) <= MAX_ATTRIBUTION and is_storable(value) else None
        for value in ids
    ]
    dropped = tuple(
        name for name, sent, kept in zip(names, ids, good, strict=True) if sent is not None and kept is None
    )
    return Attribution(visitor_id=good[0], session_id=good[1], token=good[2]), dropped


def fitting(attribution: Attribution, limits: MetadataLimits) -> Attribution:
    """Return the ids that fit into the provider's metadata beside the reference; the visitor's comes first."""
    room = limits.keys - 1
    kept: dict[str, str] = {}
    for name in ("visitor_id", "session_id", "token"):
        value = getattr(attribution, name)
        if value is not None and len(value) <= limits.value_chars and len(kept) < room:
            kept[name] = value
    return Attribution(**kept)
