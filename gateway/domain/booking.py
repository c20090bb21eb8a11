"""
What a revenue event becomes: a line of the ledger and a delivery, or a reason why not.

Pure: `Books` is what the ledger knows around the events at hand, read beforehand under the site's lock, and brought up
to date here as events are booked one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from gateway.domain.attribution import NOBODY, Attribution, AttributionSource, choose
from gateway.domain.delivery import SUCCESSES, Reason, Status
from gateway.domain.money import Money
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


def decide(
    event: RevenueEvent, rules: Rules, books: Books, *, now: datetime, event_key: str | None, may_wait: bool
) -> Decision:
    """Return what becomes of one event. `may_wait` is False once the webhook has waited long enough."""
    known = books.entries.get((rules.connection, event.key))
    if known is not None:
        return _fill(known, event, rules, books)
    claimed = _claimed(event, rules, books)
    if claimed is False:
        return OtherSite(refs_of(event))
    wait_for = _missing(event, rules, books, undecided=claimed is None)
    if wait_for and may_wait:
        return Wait(wait_for)
    if claimed is None:
        return OtherSite(())
    moved = _moved(event, rules, books)
    if moved is None:
        return Already(None)
    entry = _entry(moved, rules, books, now=now, event_key=event_key)
    return Booked(entry=entry, dispatch=freeze(entry, rules, books))


def _claimed(event: RevenueEvent, rules: Rules, books: Books) -> bool | None:
    """Say whether the money is this site's; None while what it refers to is unknown."""
    if rules.claims == "all":
        return True
    if isinstance(rules.claims, tuple) and event.account in rules.claims:
        return True
    if event.kind not in SALES:
        if (rules.connection, event.payment_id) in books.sales:
            return True
        return False if _is_foreign(payment_ref(event.payment_id), rules, books) else None
    if rules.claims != "own_checkouts":
        if not event.items and _first(event, rules, books):
            return True
        return any(item in rules.claims for item in event.items)
    if _began(event, rules, books) or _first(event, rules, books):
        return True
    if event.subscription_id is None or not (event.kind is RevenueKind.RENEWAL or _order(event, rules, books)):
        return False
    return False if _is_foreign(subscription_ref(event.subscription_id), rules, books) else None


def _is_foreign(ref: str, rules: Rules, books: Books) -> bool:
    return (rules.connection, ref) in books.foreign


def _began(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """
    Return the checkout of ours that this event began as.

    Where the provider's id was never noted (a crash between its answer and our note), our order id is enough to claim
    the money, though not to attribute it.
    """
    if event.checkout_id and (found := books.checkouts.get((rules.connection, event.checkout_id))):
        return found
    order = _order(event, rules, books)
    return order if order and (order.checkout_id is None or event.checkout_id is None) else None


def _order(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """Return the checkout of ours that the event's reference names; a browser may have written the reference."""
    order = books.orders.get(event.reference or "")
    return order if order and order.connection == rules.connection else None


def _first(event: RevenueEvent, rules: Rules, books: Books) -> Entry | None:
    return books.firsts.get((rules.connection, event.subscription_id)) if event.subscription_id else None


def _missing(event: RevenueEvent, rules: Rules, books: Books, *, undecided: bool) -> str | None:
    """Return what a refund or a renewal without ids, or money whose owner is undecided, still waits for."""
    if not undecided and (event.attribution or _own_checkout(event, rules, books)):
        return None
    if event.kind not in SALES:
        has_sale = (rules.connection, event.payment_id) in books.sales
        return None if has_sale else payment_ref(event.payment_id)
    follows = undecided or event.kind is RevenueKind.RENEWAL
    if follows and event.subscription_id and not _first(event, rules, books):
        return subscription_ref(event.subscription_id)
    return None


def _own_checkout(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """Return our checkout whose provider id is this event's, or with which this event's subscription began."""
    first = _first(event, rules, books)
    for checkout_id in (event.checkout_id, first.event.checkout_id if first else None):
        if checkout_id and (found := books.checkouts.get((rules.connection, checkout_id))):
            return found
    return None


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
    own, first = _own_checkout(event, rules, books), _first(event, rules, books)
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
    parent = books.sales.get((rules.connection, event.payment_id)) or _first(event, rules, books)
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
    """Return the booked event with the figures that it lacks, where they belong to the amount that was booked."""
    is_part = event.cumulative and event.amount != booked.amount
    if is_part or event.amount.currency != booked.amount.currency:
        return booked
    return replace(booked, tax=booked.tax or event.tax, net=booked.net or event.net)


def freeze(entry: Entry, rules: Rules, books: Books) -> Dispatch:
    """Return the delivery of a ledger line: its amount, frozen, and whether it may go out now."""
    event = entry.event
    minor = _basis_minor(event, rules.basis)
    status, reason = _standing(entry, rules, books, minor)
    if event.kind not in SALES:
        order_id_sent = event.own_id
    else:
        order_id_sent = entry.order_id if entry.carries_order and entry.order_id else event.payment_id
    return Dispatch(
        connection=entry.connection,
        key=event.key,
        payment_id=event.payment_id,
        is_sale=event.kind in SALES,
        order_id_sent=order_id_sent,
        api=rules.api,
        basis=rules.basis,
        amount_minor=minor,
        amount_unit=rules.amount_unit,
        currency=event.amount.currency,
        status=status,
        reason=reason,
        due=status is Status.PENDING and reason is None,
    )


def _basis_minor(event: RevenueEvent, basis: Basis) -> int | None:
    """Return the figure that the site records; None where the provider has not given it yet."""
    if basis == "gross":
        return event.amount.minor
    if basis == "net_of_tax":
        return None if event.tax is None else event.amount.minor - event.tax.minor
    return None if event.net is None else event.net.minor


def _standing(entry: Entry, rules: Rules, books: Books, minor: int | None) -> tuple[Status, Reason | None]:
    never = _never_sent(entry, rules, minor)
    if never:
        return Status.SKIPPED, never
    if rules.api == "payments" and not entry.attribution.visitor_id:
        return Status.UNATTRIBUTED, Reason.NO_VISITOR_ID
    waiting = Reason.WAITING_FOR_AMOUNT if minor is None else None
    if entry.event.kind in SALES:
        return Status.PENDING, waiting
    return _behind_sale(entry, books, waiting)


def _never_sent(entry: Entry, rules: Rules, minor: int | None) -> Reason | None:
    event = entry.event
    if entry.test and not rules.forward_test:
        return Reason.TEST_MODE
    if not rules.forward:
        return Reason.FORWARDING_OFF
    if event.kind not in SALES and rules.api == "payments":
        return Reason.UNSUPPORTED_BY_DESTINATION
    if event.kind not in SALES and not rules.forward_refunds:
        return Reason.REFUND_NOT_FORWARDED
    if rules.currencies is not None and event.amount.currency not in rules.currencies:
        return Reason.CURRENCY_NOT_ACCEPTED
    if event.amount.minor <= 0 or (minor is not None and minor <= 0):
        return Reason.ZERO_AMOUNT
    return None


def _behind_sale(entry: Entry, books: Books, waiting: Reason | None) -> tuple[Status, Reason | None]:
    """A refund goes out only after its sale did; a reversal gives back no more than refunds took."""
    sale = books.sales.get((entry.connection, entry.event.payment_id))
    status = books.statuses.get((entry.connection, sale.event.key)) if sale else None
    if status is not Status.PENDING and status not in SUCCESSES:
        return Status.SKIPPED, Reason.SALE_NOT_RECORDED
    if entry.event.kind is RevenueKind.REFUND_REVERSAL and _refund_never_sent(entry, books):
        return Status.SKIPPED, Reason.REFUND_NOT_FORWARDED
    if status is Status.PENDING:
        return Status.PENDING, waiting or Reason.WAITING_FOR_SALE
    return Status.PENDING, waiting


def _refund_never_sent(reversal: Entry, books: Books) -> bool:
    """
    Say whether the refund that a reversal undoes was never sent, so that sending the reversal would count money twice.

    A reversal names only its payment: with some refund of it unsent, the sent ones must cover every reversal.
    """
    covered, some_unsent = -reversal.event.amount.minor, False
    for place, entry in books.entries.items():
        event = entry.event
        if (entry.connection, event.payment_id) != (reversal.connection, reversal.event.payment_id):
            continue
        is_sent = books.statuses[place] in (Status.PENDING, *SUCCESSES)
        if event.kind is RevenueKind.REFUND:
            some_unsent = some_unsent or not is_sent
            covered += event.amount.minor if is_sent else 0
        elif event.kind is RevenueKind.REFUND_REVERSAL and is_sent and event.key != reversal.event.key:
            covered -= event.amount.minor
    return some_unsent and covered < 0


def in_order(events: Sequence[RevenueEvent]) -> list[RevenueEvent]:
    """Return the events with sales before what refers to them."""
    rank = {kind: position for position, kind in enumerate(RevenueKind)}
    return sorted(events, key=lambda event: (rank[event.kind], event.occurred_at, event.key))
