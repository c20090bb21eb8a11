"""
What the ledger knows around the events at hand, and what booking writes.

`Books` is read beforehand under the site's lock, and brought up to date as events are booked one after the other.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.delivery import Reason, Status
from gateway.domain.revenue import RevenueEvent, RevenueKind

Basis = Literal["gross", "net_of_tax", "earnings"]
SALES = frozenset({RevenueKind.PURCHASE, RevenueKind.RENEWAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says about the money of one connection."""

    connection: str
    plugin: str
    live: bool
    claims: Literal["all", "own_checkouts"] | tuple[str, ...]
    forward: bool
    api: Literal["revenue", "payments"]
    basis: Basis
    amount_unit: str
    forward_refunds: bool
    forward_test: bool
    currencies: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCheckout:
    """A checkout of this gateway, as far as booking cares."""

    order_id: str
    connection: str
    checkout_id: str | None
    attribution: Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger. `event` carries the amount as booked (for running totals: the difference)."""

    connection: str
    plugin: str
    event: RevenueEvent
    test: bool
    order_id: str | None
    carries_order: bool
    attribution: Attribution
    attribution_source: AttributionSource
    event_key: str | None
    booked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A delivery as booking leaves it: the frozen amount, or why there is none yet."""

    connection: str
    key: str
    payment_id: str
    is_sale: bool
    order_id_sent: str
    api: str
    basis: str
    amount_minor: int | None
    amount_unit: str
    currency: str
    status: Status
    reason: Reason | None
    due: bool


def payment_ref(payment_id: str) -> str:
    """Return the name under which a refund waits for its sale."""
    return f"payment:{payment_id}"


def subscription_ref(subscription_id: str) -> str:
    """Return the name under which a renewal waits for its subscription's first booking."""
    return f"subscription:{subscription_id}"


def refs_of(event: RevenueEvent) -> tuple[str, ...]:
    """Return the names under which later events refer to this one."""
    subscription = (subscription_ref(event.subscription_id),) if event.subscription_id else ()
    return (payment_ref(event.payment_id), *subscription)


@dataclass(slots=True)
class Books:
    """What is known around the events at hand, all of one site. Keys start with the connection's name."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    statuses: dict[tuple[str, str], Status] = field(default_factory=dict)
    attempted: set[tuple[str, str]] = field(default_factory=set)
    sales: dict[tuple[str, str], Entry] = field(default_factory=dict)
    firsts: dict[tuple[str, str], Entry] = field(default_factory=dict)
    refunded: dict[tuple[str, str], dict[str, RevenueEvent]] = field(default_factory=dict)
    checkouts: dict[tuple[str, str], KnownCheckout] = field(default_factory=dict)
    orders: dict[str, KnownCheckout] = field(default_factory=dict)
    carried: set[str] = field(default_factory=set)
    foreign: set[tuple[str, str]] = field(default_factory=set)

    def learn(self, entry: Entry, status: Status) -> None:
        """Take a line of the ledger into account, as if it had been read from there; again after it was filled."""
        event, connection = entry.event, entry.connection
        self.entries[connection, event.key] = entry
        self.statuses[connection, event.key] = status
        if event.kind in SALES:
            self.sales[connection, event.payment_id] = entry
            self._learn_first(entry)
        if event.cumulative:
            self.refunded.setdefault((connection, event.payment_id), {})[event.key] = event
        if entry.carries_order and entry.order_id:
            self.carried.add(entry.order_id)

    def _learn_first(self, entry: Entry) -> None:
        if not entry.event.subscription_id:
            return
        place = (entry.connection, entry.event.subscription_id)
        first = self.firsts.get(place)
        if first is None or first.event.key == entry.event.key or _age(entry) < _age(first):
            self.firsts[place] = entry


def _age(entry: Entry) -> tuple[datetime, datetime]:
    """One batch books everything at the same moment; then the money that moved first is the first."""
    return entry.booked_at, entry.event.occurred_at
