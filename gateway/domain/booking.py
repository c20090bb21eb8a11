"""
What a revenue event becomes: a line of the ledger and a delivery, or a reason why not. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.domain.attribution import NOBODY, Attribution, AttributionSource, choose
from gateway.domain.books import SALES, Books, Dispatch, Entry, Rules, refs_of
from gateway.domain.claims import claimed, first_of, missing, own_checkout, refs_in_the_end
from gateway.domain.delivery import Status
from gateway.domain.dispatch import freeze
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind

RANK = {kind: position for position, kind in enumerate(RevenueKind)}
"""Sales before what refers to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """The event is a new line of the ledger, or (`fills`) brings figures or ids that a booked line still lacked."""

    entry: Entry
    dispatch: Dispatch | None
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Already:
    """The movement is in the ledger; `event_key` names the webhook that booked it."""

    event_key: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """What the event refers to has not arrived: `payment:ID` or `subscription:ID`."""

    waits_for: str


@dataclass(frozen=True, slots=True)
class OtherSite:
    """The money belongs to another site of the same provider account; `refs` name what its refunds will refer to."""

    refs: tuple[str, ...]


Decision = Booked | Already | Wait | OtherSite


def decide(
    event: RevenueEvent, rules: Rules, books: Books, *, now: datetime, event_key: str | None, may_wait: bool
) -> Decision:
    """Return what becomes of one event. `may_wait` is False once the webhook has waited long enough."""
    known = books.entries.get((rules.connection, event.key))
    if known is not None:
        return _fill(known, event, rules, books)
    ours = claimed(event, rules, books)
    if ours is False:
        return OtherSite(refs_of(event))
    wait_for = missing(event, rules, books, undecided=ours is None)
    if wait_for and may_wait:
        return Wait(wait_for)
    if ours is None:
        return OtherSite(refs_in_the_end(event))
    moved = _moved(event, rules, books)
    if moved is None:
        return Already(None)
    entry = _entry(moved, rules, books, now=now, event_key=event_key)
    return Booked(entry=entry, dispatch=freeze(entry, rules, books))


def _moved(event: RevenueEvent, rules: Rules, books: Books) -> RevenueEvent | None:
    """Return the event with what really moved: of a running total only the part not booked yet; None if nothing is."""
    if not event.cumulative:
        return event
    booked = books.refunded.get((rules.connection, event.payment_id), {}).values()
    parts = [part for part in booked if part.amount.currency == event.amount.currency]
    amount = _rest(event.amount, [part.amount for part in parts])
    if amount is None or amount.minor <= 0:
        return None
    tax, net = _rest(event.tax, [part.tax for part in parts]), _rest(event.net, [part.net for part in parts])
    return replace(event, amount=amount, tax=tax, net=net)


def _rest(total: Money | None, parts: Sequence[Money | None]) -> Money | None:
    """Return what of a running total its booked parts leave; None where any of the figures is not known."""
    known = [part.minor for part in parts if part is not None]
    if total is None or len(known) < len(parts):
        return None
    return Money(total.minor - sum(known), total.currency)


def _entry(event: RevenueEvent, rules: Rules, books: Books, *, now: datetime, event_key: str | None) -> Entry:
    source, attribution = _attribute(event, rules, books)
    brought = _brought_order_id(event, rules, books)
    return Entry(
        connection=rules.connection,
        plugin=rules.plugin,
        event=event,
        test=event.test or not rules.live,
        order_id=brought or _inherited_order_id(event, rules, books),
        carries_order=event.kind is RevenueKind.PURCHASE and brought is not None and brought not in books.carried,
        attribution=attribution,
        attribution_source=source,
        event_key=event_key,
        booked_at=now,
    )


def _attribute(event: RevenueEvent, rules: Rules, books: Books) -> tuple[AttributionSource, Attribution]:
    own, first = own_checkout(event, rules, books), first_of(event, rules, books)
    sale = books.sales.get((rules.connection, event.payment_id)) if event.kind not in SALES else None
    return choose(
        [
            (AttributionSource.CHECKOUT, own.attribution if own else NOBODY),
            (AttributionSource.WEBHOOK, event.attribution),
            (AttributionSource.PAYMENT, sale.attribution if sale else NOBODY),
            (AttributionSource.SUBSCRIPTION, first.attribution if first else NOBODY),
        ]
    )


def _brought_order_id(event: RevenueEvent, rules: Rules, books: Books) -> str | None:
    """Return the order id that came with the event itself: only such a one is ever sent."""
    own = books.checkouts.get((rules.connection, event.checkout_id)) if event.checkout_id else None
    return own.order_id if own else event.reference


def _inherited_order_id(event: RevenueEvent, rules: Rules, books: Books) -> str | None:
    parent = books.sales.get((rules.connection, event.payment_id)) or first_of(event, rules, books)
    return parent.order_id if parent else None


def _fill(known: Entry, event: RevenueEvent, rules: Rules, books: Books) -> Booked | Already:
    """Take figures or ids that the booked line lacks from another event of the same movement; amounts never change."""
    place = (known.connection, event.key)
    unsent = books.statuses[place] in (Status.PENDING, Status.UNATTRIBUTED) and place not in books.attempted
    entry = replace(known, event=_with_figures(known.event, event))
    if unsent and not known.attribution.visitor_id:
        both = [(known.attribution_source, known.attribution), (AttributionSource.WEBHOOK, event.attribution)]
        source, attribution = choose(both)
        entry = replace(entry, attribution=attribution, attribution_source=source)
    if entry == known:
        return Already(known.event_key)
    return Booked(entry=entry, dispatch=freeze(entry, rules, books) if unsent else None, fills=True)


def _with_figures(booked: RevenueEvent, event: RevenueEvent) -> RevenueEvent:
    """
    Return the booked event with the figures that it lacks, where they belong to the amount that was booked.

    The tax of another gross is not this one's: taking it would send a figure that nobody named.
    """
    if event.amount != booked.amount:
        return booked
    return replace(booked, tax=booked.tax or event.tax, net=booked.net or event.net)


def in_order(events: Sequence[RevenueEvent]) -> list[RevenueEvent]:
    """Return the events with sales before what refers to them."""
    return sorted(events, key=lambda event: (RANK[event.kind], event.occurred_at, event.key))
