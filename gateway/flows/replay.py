"""
What ended badly is tried again: find it, say what would become of it, and, once told so, take it up.

A delivery becomes pending with its whole schedule before it; a webhook is read again by the worker. The plan is the
decision itself, made without writing; carrying it out decides once more under the site's lock and leaves alone what
has changed meanwhile, so it can be interrupted anywhere and done twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from gateway.domain.attribution import Attribution
from gateway.domain.delivery import Status
from gateway.domain.replay import Decision, Ended, TakenUp, sales_first, take_up
from gateway.flows.context import Context
from gateway.flows.decide import rules_of
from gateway.flows.foreseen import Foreseen
from gateway.flows.naming import Named
from gateway.flows.replay_rows import DeliveryRow, HeirRow, Row, WebhookRow
from gateway.flows.reread import foresee
from gateway.plugins import Live
from gateway.store import ledger, replays
from gateway.store.pool import Connection, StoreConflict
from gateway.store.replays import Unread

BATCH = 200
"""Deliveries of one transaction, which holds the site's lock for some tens of milliseconds."""

READ_BATCH = 64
"""Webhooks of one reading, whose bodies (up to a megabyte each) are in memory together."""

CONFLICTS = 5
"""Deadlocks in a row after which a batch is given up; one is already rare."""

Result = TypeVar("Result")

UNREADABLE = "unreadable"
SINCE_EVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    What is asked for: `statuses` of deliveries, or `unreadable`; not older than `since`.

    `visitor` is what an operator says about whose sale it is.
    """

    statuses: frozenset[str]
    since: datetime = SINCE_EVER
    visitor: Attribution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How many of a batch were taken up, and how many had changed meanwhile and were left alone."""

    deliveries: int = 0
    webhooks: int = 0
    changed: int = 0

    @property
    def all(self) -> int:
        """How many rows of the plan this was about."""
        return self.deliveries + self.webhooks + self.changed


async def plan(
    context: Context, live: Live, site: str, selection: Selection, named: Named | None
) -> AsyncIterator[Sequence[Row]]:
    """Yield what would become of everything that is asked for at one site, in parts. Nothing is changed."""
    foreseen = Foreseen()
    async for ended in _deliveries(context, site, selection, named):
        foresee_part = partial(_foresee_deliveries, context, live, site, ended, selection.visitor, foreseen)
        yield await _again_on_conflict(foresee_part)
    if selection.visitor is None and UNREADABLE in selection.statuses:
        async for unread in _webhooks(context, site, selection, named):
            yield await foresee(context, live, site, unread, foreseen)


async def _deliveries(
    context: Context, site: str, selection: Selection, named: Named | None
) -> AsyncIterator[Sequence[Ended]]:
    if named is not None:
        async with context.database.reading() as connection:
            found = await replays.deliveries_at(connection, site, named.deliveries, lock=False)
        fits = [row for row in found if row.status.value in selection.statuses]
        yield [row for row in fits if row.entry.booked_at >= selection.since]
        return
    for skipped in (False, True):
        wanted = [one for one in sorted(selection.statuses) if (one == Status.SKIPPED.value) is skipped]
        after: replays.After | None = (selection.since, "", "") if wanted else None
        while after is not None:
            async with context.database.reading() as connection:
                page = await replays.deliveries(connection, site, wanted, skipped=skipped, after=after, limit=BATCH)
            yield page.rows
            after = page.after


async def _webhooks(
    context: Context, site: str, selection: Selection, named: Named | None
) -> AsyncIterator[Sequence[Unread]]:
    if named is not None:
        async with context.database.reading() as connection:
            found = await replays.unreadable_at(connection, site, named.webhooks)
        yield [row for row in found if row.webhook.received_at >= selection.since]
        return
    after: replays.After | None = (selection.since, "", "")
    while after is not None:
        async with context.database.reading() as connection:
            page = await replays.unreadable(connection, site, after=after, limit=READ_BATCH)
        yield page.rows
        after = page.after


async def _foresee_deliveries(
    context: Context, live: Live, site: str, ended: Sequence[Ended], visitor: Attribution | None, foreseen: Foreseen
) -> list[Row]:
    async with context.database.trial() as connection:
        decided = await _decide(connection, live, site, ended, visitor, foreseen)
        heirs = await _heirs(context, connection, site, decided) if visitor is not None else []
    by_place = {decision.delivery.place: decision for decision in decided}
    for decision in decided:
        if isinstance(decision, TakenUp):
            foreseen.note(decision.entry, Status.PENDING)
    rows = [DeliveryRow(site=site, decision=by_place[row.place]) for row in ended]
    return [*rows, *heirs]


async def _decide(
    connection: Connection,
    live: Live,
    site: str,
    ended: Sequence[Ended],
    visitor: Attribution | None,
    foreseen: Foreseen,
) -> list[Decision]:
    events = [(row.entry.connection, row.entry.event) for row in ended]
    books = await ledger.read_books(connection, site, events)
    foreseen.tell(books, events)
    decided = []
    for row in sales_first(ended):
        rules = None
        if (site, row.entry.connection) in live.connections:
            configured = live.config.sites[site]
            rules = rules_of(configured, configured.providers[row.entry.connection])
        decided.append(take_up(row, rules, books, visitor))
    return decided


async def _heirs(context: Context, connection: Connection, site: str, decided: Sequence[Decision]) -> list[HeirRow]:
    """Return who would inherit the visitor: the real change, told before and after; the caller takes it back."""
    taken = [decision for decision in decided if isinstance(decision, TakenUp)]
    family = await replays.family(connection, site, [decision.entry for decision in taken])
    before = {row.place: row for row in await replays.deliveries_at(connection, site, family, lock=False)}
    moved = await replays.take_up(connection, site, taken, context.now())
    heirs = await _name(context, connection, site, taken, moved)
    after = await replays.deliveries_at(connection, site, sorted(heirs), lock=False)
    return [HeirRow(site=site, before=before[row.place], now=row) for row in after]


async def _name(
    context: Context, connection: Connection, site: str, taken: Sequence[TakenUp], moved: set[replays.Place]
) -> set[replays.Place]:
    named = [one.entry for one in taken if one.delivery.place in moved and one.is_named]
    if not named:
        return set()
    return await replays.name_visitor(connection, site, named, named[0].attribution.visitor_id or "", context.now())


async def carry_out(
    context: Context, live: Live, site: str, rows: Sequence[Row], visitor: Attribution | None
) -> AsyncIterator[Done]:
    """Take up one site's rows of a plan, batch by batch, each in a transaction of its own."""
    deliveries = [row for row in rows if isinstance(row, DeliveryRow) and row.changes]
    for start in range(0, len(deliveries), BATCH):
        shown = deliveries[start : start + BATCH]
        moved = await _again_on_conflict(partial(_take_up, context, live, site, shown, visitor))
        yield Done(deliveries=moved, changed=len(shown) - moved)
    webhooks = [row.place for row in rows if isinstance(row, WebhookRow) and row.changes]
    for start in range(0, len(webhooks), BATCH):
        places = sorted(webhooks[start : start + BATCH])
        read = await _again_on_conflict(partial(_read_again, context, site, places))
        yield Done(webhooks=read, changed=len(places) - read)


async def _again_on_conflict(act: Callable[[], Awaitable[Result]]) -> Result:
    conflicts = 0
    while True:
        try:
            return await act()
        except StoreConflict:
            conflicts += 1
            if conflicts > CONFLICTS:
                raise


async def _take_up(
    context: Context, live: Live, site: str, shown: Sequence[DeliveryRow], visitor: Attribution | None
) -> int:
    """Decide again under the site's lock; a row that is not as it was shown is left alone."""
    before = {row.delivery.place: row.delivery for row in shown}
    async with context.database.transaction() as connection:
        await ledger.lock_site(connection, site, context.now())
        present = await replays.deliveries_at(connection, site, sorted(before), lock=True)
        same = [row for row in present if row == before[row.place]]
        decided = await _decide(connection, live, site, same, visitor, Foreseen())
        taken = [decision for decision in decided if isinstance(decision, TakenUp)]
        moved = await replays.take_up(connection, site, taken, context.now())
        await _name(context, connection, site, taken, moved)
    return len(moved)


async def _read_again(context: Context, site: str, places: Sequence[replays.Place]) -> int:
    async with context.database.transaction() as connection:
        return len(await replays.read_again(connection, site, places, context.now()))
