"""
A provider's list, held against the ledger and, where that is wanted, booked into it.

The same way that a webhook's money goes: the site's lock, the books, the connection's claims and waiting rules, the
test wall, one transaction. It only lacks a webhook. No call into a plugin happens in here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from gateway.domain.booking import Booked, in_order
from gateway.domain.books import Books, refs_of
from gateway.domain.errors import Malformed
from gateway.domain.listed import Judged, Result, Window, judge
from gateway.domain.revenue import RevenueEvent
from gateway.flows.context import Context
from gateway.flows.decide import Writing, rules_of, take
from gateway.flows.write_down import write_down
from gateway.plugins import Live, Opened
from gateway.store import ledger, sweeps
from gateway.store.errors import StoreData
from gateway.store.pool import Connection, StoreConflict
from gateway.telemetry import log

BATCH = 64
"""Movements of one transaction, as many as a booking has webhooks: so long does the site's lock keep others waiting."""

CONFLICTS = 5
"""Deadlocks in a row after which the work is left to a later try; one is already rare."""

Done = TypeVar("Done")


class LeaseLost(Exception):
    """Somebody else has taken the sweep over; what this one was about to write is not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The token that whoever sweeps must still hold, and for how long each write renews it."""

    token: UUID
    length: timedelta


@dataclass(slots=True, kw_only=True)
class Comparison:
    """
    One reading of one connection's list.

    Without `apply` nothing is written, and what would be booked counts as known for the pages to come. `foreign` are
    the sales that were seen to belong to another site, so that their refunds need not wait for them.
    """

    context: Context
    live: Live
    opened: Opened
    window: Window
    apply: bool = True
    lease: Lease | None = None
    foreign: set[str] = field(default_factory=set)
    _would: dict[str, list[Booked]] = field(default_factory=dict)

    async def hold(self, events: Sequence[RevenueEvent]) -> list[Judged]:
        """Judge these movements, sales first, and book what is missing."""
        ordered, judged = in_order(events), []
        for start in range(0, len(ordered), BATCH):
            judged += await self._whole(ordered[start : start + BATCH])
        return judged

    async def _whole(self, events: Sequence[RevenueEvent]) -> list[Judged]:
        try:
            return await unless_deadlocked(lambda: self._batch(events))
        except (StoreData, Malformed) as error:
            if len(events) == 1:  # one movement that cannot be written must not hold up the others
                return [self._unbookable(events[0], error)]
        return [judged for event in events for judged in await self._whole([event])]

    def _unbookable(self, event: RevenueEvent, error: Exception) -> Judged:
        log().error(
            "sweep.unbookable",
            site=self.opened.site,
            connection=self.opened.name,
            key=event.key,
            error=str(error),
        )
        return Judged(event=event, result=Result.UNBOOKABLE)

    async def _batch(self, events: Sequence[RevenueEvent]) -> list[Judged]:
        now, database = self.context.now(), self.context.database
        if not self.apply:
            async with database.reading() as connection:
                judged, _ = await self._judge(connection, events, now)
        else:
            async with database.transaction() as connection:
                await ledger.lock_site(connection, self.opened.site, now)
                judged, writing = await self._judge(connection, events, now)
                await self._fence(connection, len(writing.new), now)
                await write_down(connection, self.opened.site, writing, now, "sweep")
            if any(booked.dispatch and booked.dispatch.due for booked in (*writing.new, *writing.filled)):
                self.context.wake(self.opened.site, "deliver")
        self.foreign |= {ref for one in judged for ref in one.refs}
        if not self.apply:
            for booked in (one.booked for one in judged if one.booked):
                for name in _names(booked.entry.event):
                    self._would.setdefault(name, []).append(booked)
        return judged

    async def _judge(
        self, connection: Connection, events: Sequence[RevenueEvent], now: datetime
    ) -> tuple[list[Judged], Writing]:
        site, name = self.opened.site, self.opened.name
        books = await ledger.read_books(connection, site, [(name, event) for event in events])
        books.foreign |= {(name, ref) for ref in self.foreign}
        self._remember(books, events)
        rules = rules_of(self.live.config.sites[site], self.opened.connection)
        writing, judged = Writing(), []
        for event in events:
            one = judge(event, rules, books, self.window, now)
            judged.append(one)
            if one.booked:
                take(one.booked, books, writing)
        return judged, writing

    def _remember(self, books: Books, events: Sequence[RevenueEvent]) -> None:
        """Take what would have been booked around these movements into account as if it had been."""
        names = {name for event in events for name in _names(event)} if self._would else ()
        for booked in (booked for name in names for booked in self._would.get(name, ())):
            place = (booked.entry.connection, booked.entry.event.key)
            status = booked.dispatch.status if booked.dispatch else books.statuses.get(place)
            if status is not None:
                books.learn(booked.entry, status)

    async def _fence(self, connection: Connection, booked: int, now: datetime) -> None:
        place = (self.opened.site, self.opened.name)
        token = self.lease.token if self.lease else None
        until = now + self.lease.length if self.lease else None
        if (booked or token) and not await sweeps.count(connection, place, booked, now, lease=token, until=until):
            raise LeaseLost


def _names(event: RevenueEvent) -> tuple[str, ...]:
    return event.key, *refs_of(event)


async def unless_deadlocked(work: Callable[[], Awaitable[Done]]) -> Done:
    """Return what the work returns; do it again where the database took it back to end a deadlock."""
    conflicts = 0
    while True:
        try:
            return await work()
        except StoreConflict:
            conflicts += 1
            if conflicts > CONFLICTS:
                raise
