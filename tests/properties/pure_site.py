"""One site without a database: what arrives is decided or waits, and deliveries move as the outbox moves them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.booking import Already, Booked, Decision, OtherSite, Wait, decide
from gateway.domain.books import Books, Dispatch, Entry, KnownCheckout, Rules
from gateway.domain.delivery import SUCCESSES, Answer, Earlier, Reason, Status, next_wait
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.faurya import payments, revenue

Place = tuple[str, str]

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
WAIT = timedelta(hours=24)
SCHEDULE = (timedelta(seconds=5), timedelta(minutes=1), timedelta(hours=1))

RULES = Rules(
    connection="paddle",
    plugin="paddle",
    live=True,
    claims="all",
    forward=True,
    api="revenue",
    basis="gross",
    amount_unit="minor",
    forward_refunds=True,
    forward_test=False,
    currencies=None,
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A movement of money as one webhook brought it."""

    connection: str
    event: RevenueEvent
    event_key: str
    at: datetime


@dataclass
class PureSite:
    """The rules of booking and delivering, applied to values in memory."""

    rules: dict[str, Rules]
    now: datetime = START
    books: Books = field(default_factory=Books)
    waiting: list[Arrived] = field(default_factory=list)
    dispatches: dict[Place, Dispatch] = field(default_factory=dict)
    earlier: dict[Place, list[Earlier]] = field(default_factory=dict)
    spent: dict[Place, int] = field(default_factory=dict)
    number: int = 0

    def knows(self, checkout: KnownCheckout) -> None:
        self.books.orders[checkout.order_id] = checkout
        if checkout.checkout_id:
            self.books.checkouts[checkout.connection, checkout.checkout_id] = checkout

    def arrive(self, connection: str, event: RevenueEvent) -> Decision:
        self.number += 1
        arrived = Arrived(connection, event, f"evt_{self.number}", self.now)
        decision = self._decide(arrived)
        if isinstance(decision, (Booked, OtherSite)):
            self._wake()
        return decision

    def forward(self, by: timedelta) -> None:
        self.now += by
        self._wake()

    def _wake(self) -> None:
        """Ask again for everything that waits, until nothing changes."""
        before = None
        while before != (len(self.waiting), len(self.books.entries)):
            before = len(self.waiting), len(self.books.entries)
            again, self.waiting = self.waiting, []
            for arrived in again:
                self._decide(arrived)

    def _decide(self, arrived: Arrived) -> Decision:
        self.now += timedelta(milliseconds=1)
        rules, may_wait = self.rules[arrived.connection], self.now < arrived.at + WAIT
        decision = decide(
            arrived.event, rules, self.books, now=self.now, event_key=arrived.event_key, may_wait=may_wait
        )
        match decision:
            case Booked():
                self._take(decision)
            case Wait():
                self.waiting.append(arrived)
            case OtherSite(refs):
                self.books.foreign |= {(arrived.connection, ref) for ref in refs}
            case Already():
                pass
        return decision

    def _take(self, booked: Booked) -> None:
        place = (booked.entry.connection, booked.entry.event.key)
        if booked.dispatch is not None:
            self.dispatches[place] = booked.dispatch
        self.books.learn(booked.entry, self.dispatches[place].status)
        if booked.dispatch and booked.dispatch.is_sale and booked.dispatch.status is not Status.PENDING:
            self._release(place, recorded=False)
        if booked.entry.attribution.visitor_id:
            self._attribute_siblings(booked.entry)

    def _attribute_siblings(self, named: Entry) -> None:
        """What the ledger's statement does for sales that could not be attributed."""
        for place, status in list(self.books.statuses.items()):
            entry = self.books.entries[place]
            same_payment = entry.event.payment_id == named.event.payment_id
            same_subscription = named.event.subscription_id and (
                entry.event.subscription_id == named.event.subscription_id
            )
            if status is not Status.UNATTRIBUTED or entry.connection != named.connection:
                continue
            if entry.attribution.visitor_id or not (same_payment or same_subscription):
                continue
            source = AttributionSource.PAYMENT if same_payment else AttributionSource.SUBSCRIPTION
            self._attributed(place, named.attribution, source)

    def _attributed(self, place: Place, who: Attribution, source: AttributionSource) -> None:
        entry, dispatch = self.books.entries[place], self.dispatches[place]
        waits = Reason.WAITING_FOR_AMOUNT if dispatch.amount_minor is None else None
        self._moves(place, Status.PENDING, waits)
        self.books.learn(replace(entry, attribution=who, attribution_source=source), Status.PENDING)

    def due(self) -> list[Place]:
        return sorted(place for place, dispatch in self.dispatches.items() if dispatch.due)

    def deliver(self, place: Place, answer: Answer, draw: float) -> None:
        """One attempt, judged and settled."""
        earlier = self.earlier.setdefault(place, [])
        judge = payments.judge if self.dispatches[place].api == "payments" else revenue.judge
        verdict = judge(answer, tuple(earlier))
        earlier.append(Earlier(status=answer.status, verdict=verdict.attempt))
        self.books.attempted.add(place)
        status, reason = verdict.status, verdict.reason
        if status is Status.PENDING and verdict.spends:
            self.spent[place] = self.spent.get(place, 0) + 1
            if next_wait(SCHEDULE, self.spent[place], draw) is None:
                status, reason = Status.DEAD, Reason.SCHEDULE_EXHAUSTED
        self._moves(place, status, reason)
        if self.dispatches[place].is_sale and status is not Status.PENDING:
            self._release(place, recorded=status in SUCCESSES)

    def _release(self, sale: Place, *, recorded: bool) -> None:
        for place, dispatch in list(self.dispatches.items()):
            behind = (place[0], dispatch.payment_id) == (sale[0], self.dispatches[sale].payment_id)
            waits = dispatch.reason in (Reason.WAITING_FOR_SALE, Reason.SALE_NOT_RECORDED)
            if not behind or dispatch.is_sale or dispatch.amount_minor is None or not waits:
                continue
            if recorded:
                self._moves(place, Status.PENDING, None)
            else:
                self._moves(place, Status.SKIPPED, Reason.SALE_NOT_RECORDED)

    def _moves(self, place: Place, status: Status, reason: Reason | None) -> None:
        due = status is Status.PENDING and reason is None
        self.dispatches[place] = replace(self.dispatches[place], status=status, reason=reason, due=due)
        self.books.statuses[place] = status


def who(number: int) -> Attribution:
    """Whose every field tells whose it is."""
    return Attribution(visitor_id=f"v{number}", session_id=f"s{number}", token=f"t{number}")


def moved(kind: RevenueKind, own: str, payment: str, minor: int, **fields) -> RevenueEvent:
    """A movement; `tax` and `net` are minor units too."""
    word = {RevenueKind.REFUND: "refund", RevenueKind.REFUND_REVERSAL: "reversal"}.get(kind, "payment")
    for figure in ("tax", "net"):
        if isinstance(fields.get(figure), int):
            fields[figure] = Money(fields[figure], "USD")
    what: Mapping = {"occurred_at": START, "amount": Money(minor, "USD"), "key": f"{word}:{own}", **fields}
    return RevenueEvent(kind=kind, payment_id=payment, **what)


def total(payment: str, minor: int, **fields) -> RevenueEvent:
    """A running total of what was refunded of a payment."""
    key = f"refunds:{payment}:{minor}"
    return moved(RevenueKind.REFUND, str(minor), payment, minor, key=key, cumulative=True, **fields)
