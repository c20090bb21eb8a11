"""
A delivery that ended is taken up again: what becomes of it, by the rules of today. Pure.

The rules are those of booking, so that a replay never sends what booking would not: test money, refunds before their
sale, or what the connection forwards no more. The frozen figure stays; only one that was never known is taken from the
ledger. Attempts stay on record and count on, so the same movement keeps its `Idempotency-Key`, and an earlier unclear
attempt still says what a refusal means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.books import SALES, Basis, Books, Entry, Rules
from gateway.domain.delivery import SUCCESSES, Reason, Status
from gateway.domain.dispatch import figure, standing

ENDED = frozenset({Status.DEAD, Status.REJECTED, Status.UNATTRIBUTED, Status.SKIPPED})
"""Where a delivery ended without being recorded; with one of these it can be taken up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A delivery as it is: its ledger line, and where it stands. `is_unclear`: an attempt may have arrived."""

    entry: Entry
    status: Status
    reason: Reason | None
    attempts: int
    spent: int
    basis: Basis
    amount_minor: int | None
    is_unclear: bool

    @property
    def place(self) -> tuple[str, str]:
        """The connection's name and the movement's key."""
        return self.entry.connection, self.entry.event.key


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """It becomes pending: due now, or waiting for what `reason` says. `may_double`: Faurya may count it twice."""

    delivery: Ended
    entry: Entry
    reason: Reason | None
    amount_minor: int | None
    may_double: bool

    @property
    def is_named(self) -> bool:
        """Whether it gets another visitor than it had."""
        return self.entry.attribution != self.delivery.entry.attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """
    It stays as it is: `why` as a word, with `after` the reason that booking would give today.

    `is_problem` where somebody has to mend something first; without it all is as it should be.
    """

    delivery: Ended
    why: Literal["recorded", "on_its_way", "not_sent_today", "no_visitor", "sale_first", "gone"]
    after: Reason | None = None
    is_problem: bool = True


Decision = TakenUp | LeftAlone


def take_up(delivery: Ended, rules: Rules | None, books: Books, visitor: Attribution | None) -> Decision:
    """
    Return what becomes of one delivery. `rules` None: its connection is not configured any more.

    `visitor` is what an operator says about whose sale it is; it takes the place of everything known before, because
    the ids of two sources are never mixed. The books learn what is decided.
    """
    is_named = visitor is None or visitor.visitor_id == delivery.entry.attribution.visitor_id
    if delivery.status in SUCCESSES:
        return LeftAlone(delivery=delivery, why="recorded", is_problem=not is_named)
    if delivery.status is Status.PENDING and (is_named or delivery.attempts):
        return LeftAlone(delivery=delivery, why="on_its_way", is_problem=not is_named)
    if rules is None:
        return LeftAlone(delivery=delivery, why="gone")
    entry = delivery.entry if visitor is None or is_named else _named(delivery.entry, visitor)
    if delivery.status is Status.PENDING:
        return _taken(delivery, entry, rules, books, delivery.reason, delivery.amount_minor)
    minor = figure(entry.event, delivery.basis) if delivery.amount_minor is None else delivery.amount_minor
    status, reason = standing(entry, rules, books, minor)
    if status is not Status.PENDING:
        return _stays(delivery, reason)
    return _taken(delivery, entry, rules, books, reason, minor)


def _named(entry: Entry, visitor: Attribution) -> Entry:
    event = replace(entry.event, attribution=visitor)
    return replace(entry, event=event, attribution=visitor, attribution_source=AttributionSource.OPERATOR)


def _taken(
    delivery: Ended, entry: Entry, rules: Rules, books: Books, reason: Reason | None, minor: int | None
) -> TakenUp:
    books.learn(entry, Status.PENDING)
    doubles = rules.api == "revenue" and delivery.is_unclear
    return TakenUp(delivery=delivery, entry=entry, reason=reason, amount_minor=minor, may_double=doubles)


def _stays(delivery: Ended, reason: Reason | None) -> LeftAlone:
    match reason:
        case Reason.NO_VISITOR_ID:
            return LeftAlone(delivery=delivery, why="no_visitor", after=reason)
        case Reason.SALE_NOT_RECORDED:
            return LeftAlone(delivery=delivery, why="sale_first", after=reason)
        case _:
            as_before = delivery.status is Status.SKIPPED and delivery.reason is reason
            return LeftAlone(delivery=delivery, why="not_sent_today", after=reason, is_problem=not as_before)


def sales_first(deliveries: Sequence[Ended]) -> list[Ended]:
    """Return the deliveries with sales before what refers to them, so that a refund finds its sale taken up."""
    return sorted(deliveries, key=lambda row: (row.entry.event.kind not in SALES, row.entry.event.occurred_at))
