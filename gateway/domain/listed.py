"""
What a movement in a provider's own list is, held against the books. Pure.

A list is neither ordered nor exact, and its movements may still be on their way as webhooks; it is a second witness,
never the first.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from gateway.domain.booking import Already, Booked, OtherSite, Wait, decide
from gateway.domain.books import Books, Rules
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent

GRACE = timedelta(minutes=5)
"""
How old money must be before a list is believed more than the webhook that has not come. Providers send within seconds;
the first repeat of a failed delivery comes within 5 minutes at Paddle, Stripe and Polar.
"""

EDGE = timedelta(seconds=1)
"""Taken off a moment that the next sweep must see again: lists count in seconds, and some leave out the first."""

KEPT = 20
"""Differences and keys that are told by name; the rest is counted."""


class Result(StrEnum):
    """What a listed movement is. `BOOKED` is what no webhook brought."""

    ALREADY = "already"
    BOOKED = "booked"
    WAITING = "waiting"
    OTHER_SITE = "other_site"
    DIFFERS = "differs"
    YOUNG = "recent"
    BEFORE = "before"
    UNBOOKABLE = "unbookable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Money that moved before `begins` is not booked, and money after `until` may still be on its way as a webhook."""

    begins: datetime
    until: datetime
    wait: timedelta
    """How long a refund or renewal waits for its sale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    One listed movement.

    `test` is as the ledger has it; `booked` is what is to be written; `in_ledger` the amount of a line that differs.
    """

    event: RevenueEvent
    result: Result
    test: bool = False
    booked: Booked | None = None
    in_ledger: Money | None = None
    refs: tuple[str, ...] = ()


def judge(event: RevenueEvent, rules: Rules, books: Books, window: Window, now: datetime) -> Judged:
    """
    Return what a listed movement is.

    A line of the ledger never changes its amount, so one that differs is only told; running totals always differ.
    """
    known, test = books.entries.get((rules.connection, event.key)), event.test or not rules.live
    if known is None and event.occurred_at < window.begins:
        return Judged(event=event, result=Result.BEFORE, test=test)
    if known is None and event.occurred_at > window.until:
        return Judged(event=event, result=Result.YOUNG, test=test)
    if known is not None and not event.cumulative and known.event.amount != event.amount:
        return Judged(event=event, result=Result.DIFFERS, test=test, in_ledger=known.event.amount)
    # a webhook's wait counts from its arrival, a little later: where both wait, the webhook books
    may_wait = now < event.occurred_at + window.wait + GRACE
    match decide(event, rules, books, now=now, event_key=None, may_wait=may_wait):
        case Booked() as booked:
            result = Result.ALREADY if booked.fills else Result.BOOKED
            return Judged(event=event, result=result, test=test, booked=booked)
        case Already():
            return Judged(event=event, result=Result.ALREADY, test=test)
        case Wait():
            return Judged(event=event, result=Result.WAITING, test=test)
        case OtherSite(refs):
            return Judged(event=event, result=Result.OTHER_SITE, test=test, refs=refs)
        case never:
            assert_never(never)


@dataclass(slots=True)
class Tally:
    """What one reading of a list has come to so far. A movement that is listed several times counts once."""

    counts: Counter[Result] = field(default_factory=Counter)
    test: int = 0
    seen: dict[str, Result] = field(default_factory=dict)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    earliest: datetime | None = None

    @property
    def listed(self) -> int:
        """How many different movements were listed."""
        return self.counts.total()

    def add(self, judged: Judged) -> bool:
        """
        Take a movement into account; return whether that told something new.

        What waited for its sale may be listed again, or decided again at the end, and then counts for what it became.
        """
        event, result = judged.event, judged.result
        before = self.seen.get(event.key)
        if before is not None and (before is not Result.WAITING or result is Result.WAITING):
            return False
        if before is None:
            self.test += judged.test
        else:
            self.counts[before] -= 1
        self.seen[event.key] = result
        self.counts[result] += 1
        if judged.in_ledger is not None and len(self.differences) < KEPT:
            self.differences.append((event.key, str(judged.in_ledger), str(event.amount)))
        return True

    def look_again(self, events: Iterable[RevenueEvent]) -> None:
        """Note that these movements must be seen again by a later sweep."""
        moments = [event.occurred_at for event in events]
        self.earliest = min([*moments, *([self.earliest] if self.earliest else [])], default=None)


def next_watermark(started_at: datetime, earliest: datetime | None) -> datetime:
    """Return up to where everything is known: when the sweep began, or before what must be seen again."""
    return started_at if earliest is None else min(started_at, earliest - EDGE)


FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)


def wait_after(failures: int, retry_after: timedelta | None) -> timedelta:
    """Return the pause after so many failures in a row: a minute, doubled up to an hour, or what the provider asks."""
    growing: timedelta = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
    return max(growing, retry_after or timedelta())


LOOKS = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""
When a checkout is looked up after its creation, as long as no webhook about it came. Buyers pay within minutes or not
at all; the last look is for those who come back to an open page the next day. It costs four calls at most.
"""


def next_look(looks: int) -> timedelta | None:
    """Return the pause between the look number `looks` (counted from 1) and the one after it; None after the last."""
    return LOOKS[looks] - LOOKS[looks - 1] if looks < len(LOOKS) else None
