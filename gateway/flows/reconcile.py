"""
The provider's list against the ledger, for a person: what both have, what is missing, what differs.

Nothing is written unless `apply` says so; then what is missing is booked as a sweep books it. It may be broken off and
run again at any time: every movement is known by its key.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.domain.errors import Unavailable
from gateway.domain.listed import GRACE, Judged, Result, Tally, Window, wait_after
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent
from gateway.flows.compare import Comparison
from gateway.flows.context import Context
from gateway.flows.pace import Paces
from gateway.plugins import Live, Opened, PluginFault, list_revenue
from gateway.sdk import Page
from gateway.store import lines
from gateway.store.lines import Line

MARGIN = timedelta(hours=1)
"""
Listed beyond the beginning of the window: lists are not exact at their edge, and a line of the ledger that the provider
"did not list" must not be one that it left out for a second.
"""

TRIES = 5
"""For one page, before the command gives up; it goes on where it was when it is run again."""

LONGEST_PAUSE = timedelta(minutes=2)
"""Longer than this nobody watches a command; a provider that asks for more is told as the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What the list and the ledger say about one window of time. Times are UTC."""

    site: str
    connection: str
    since: datetime
    until: datetime
    applied: bool
    pages: int
    tally: Tally
    judged: Sequence[Judged]
    unlisted: Sequence[Line]
    lists_since: datetime | None = None
    """Where the provider's list begins, if that is later than `since`."""

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing, differs or is unknown to the provider; what was just booked is not missing."""
        counts = self.tally.counts
        wrong = counts[Result.DIFFERS] + counts[Result.UNBOOKABLE] + len(self.unlisted)
        return wrong == 0 and (self.applied or counts[Result.BOOKED] == 0)

    def word(self, result: Result) -> str:
        """Return what people call a result: what would be booked is missing."""
        return "missing" if result is Result.BOOKED and not self.applied else result.value

    def as_json(self) -> dict[str, Any]:
        """Return the report as `reconcile --json` prints it."""
        counts = {self.word(result): self.tally.counts[result] for result in Result if result is not Result.BEFORE}
        return {
            "site": self.site,
            "connection": self.connection,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "lists_since": self.lists_since.isoformat() if self.lists_since else None,
            "applied": self.applied,
            "agrees": self.agrees,
            "pages": self.pages,
            "listed": self.tally.listed - self.tally.counts[Result.BEFORE],
            **counts,
            "test": self.tally.test,
            "unlisted": len(self.unlisted),
            "movements": [self._movement(judged) for judged in self.judged],
            "unlisted_movements": [
                {"key": line.key, **_amount(line.amount), "occurred_at": line.occurred_at.isoformat()}
                for line in self.unlisted
            ],
        }

    def _movement(self, judged: Judged) -> dict[str, Any]:
        event = judged.event
        told = {
            "key": event.key,
            "kind": event.kind.value,
            "result": self.word(judged.result),
            **_amount(event.amount),
            "occurred_at": event.occurred_at.isoformat(),
            "test": judged.test,
        }
        if judged.in_ledger is None:
            return told
        return {**told, "in_ledger": _amount(judged.in_ledger)}


def _amount(money: Money) -> dict[str, Any]:
    return {"amount_minor": money.minor, "currency": money.currency}


@dataclass(slots=True, kw_only=True)
class Reading:
    """The list as far as it has been read."""

    comparison: Comparison
    paces: Paces
    since: datetime
    tally: Tally = field(default_factory=Tally)
    judged: dict[str, Judged] = field(default_factory=dict)
    waiting: list[RevenueEvent] = field(default_factory=list)
    totals: set[str] = field(default_factory=set)
    pages: int = 0

    @property
    def opened(self) -> Opened:
        """The connection."""
        return self.comparison.opened


async def reconcile(
    context: Context,
    live: Live,
    opened: Opened,
    since: datetime,
    *,
    apply: bool,
    paces: Paces,
    progress: Callable[[int, int], None],
) -> Reconciliation:
    """
    Read the list since `since`, hold it against the ledger, and book what is missing where `apply` says so.

    `progress` is told the pages and movements so far. Money of the last minutes may still be on its way as a webhook
    and is left alone. Raises the plugin's `ProviderError` or `PluginFault`.
    """
    until = context.now() - GRACE
    window = Window(begins=since, until=until, wait=live.config.booking.wait)
    comparison = Comparison(context=context, live=live, opened=opened, window=window, apply=apply)
    reading = Reading(comparison=comparison, paces=paces, since=since - MARGIN)
    await _read(reading, progress)
    await _hold(reading, reading.waiting)  # the sale may have been on a later page
    lists_since = _begin_of_list(opened, context.now())
    begins = max(since, lists_since + MARGIN) if lists_since else since
    async with context.database.reading() as connection:
        booked = await lines.between(connection, opened.site, opened.name, begins, until)
    return Reconciliation(
        site=opened.site,
        connection=opened.name,
        since=since,
        until=until,
        applied=apply,
        pages=reading.pages,
        tally=reading.tally,
        judged=[one for one in reading.judged.values() if one.result is not Result.BEFORE],
        unlisted=[line for line in booked if not _is_listed(line, reading)],
        lists_since=lists_since if lists_since and lists_since > since else None,
    )


async def _read(reading: Reading, progress: Callable[[int, int], None]) -> None:
    cursor: str | None = None
    cursors: set[str] = set()
    while True:
        page = await _page(reading, cursor)
        await _hold(reading, page.events)
        reading.pages += 1
        progress(reading.pages, reading.tally.listed)
        cursor = page.next_cursor
        if cursor is None:
            return
        if cursor in cursors:
            raise PluginFault(f"the plugin {reading.opened.connection.plugin!r} leads round in circles")
        cursors.add(cursor)


async def _page(reading: Reading, cursor: str | None) -> Page:
    """Ask for a page, again after a pause where the provider is away or asks for one."""
    opened, tries = reading.opened, 0
    while True:
        try:
            async with reading.paces.turn(opened.connection.plugin):
                return await list_revenue(
                    opened, reading.since, cursor, reading.comparison.live.config.plugins.deadline
                )
        except Unavailable as error:
            tries += 1
            pause = error.retry_after or wait_after(tries, None) / 12  # five seconds, ten, twenty, forty
            if tries == TRIES or pause > LONGEST_PAUSE:
                raise
            await asyncio.sleep(pause.total_seconds())


async def _hold(reading: Reading, events: Sequence[RevenueEvent]) -> None:
    for found in await reading.comparison.hold(events):
        event = found.event
        outside = event.occurred_at < reading.comparison.window.begins
        judged = replace(found, result=Result.BEFORE, in_ledger=None) if outside else found
        if event.cumulative:
            reading.totals.add(event.payment_id)
        if not reading.tally.add(judged):
            continue
        if judged.result is Result.WAITING:
            reading.waiting.append(event)
        reading.judged[event.key] = judged


def _is_listed(line: Line, reading: Reading) -> bool:
    """Of running totals a list has only the last; each line is a step on the way there."""
    return line.key in reading.tally.seen or (line.cumulative and line.payment_id in reading.totals)


def _begin_of_list(opened: Opened, now: datetime) -> datetime | None:
    """Return how far back the provider lists, where its plugin says so."""
    days = getattr(opened.plugin, "listing_days", None)
    return now - timedelta(days=days) if type(days) is int and 0 < days < 100_000 else None
