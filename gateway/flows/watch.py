"""
The expected-order watch: a checkout of ours about which no webhook came is looked up at its provider.

A few looks for each checkout, the last after a day. What is found is booked the way a sweep books, and told as a
warning: the buyer paid, and the provider's webhook did not arrive.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from gateway.domain.errors import ProviderError, Unavailable, Unsupported
from gateway.domain.listed import GRACE, Judged, Result, Window, next_look
from gateway.domain.revenue import RevenueEvent
from gateway.domain.text import printable
from gateway.flows.compare import Comparison
from gateway.flows.context import Context
from gateway.flows.pace import Paces
from gateway.flows.turn import FOR_WRITING, MAX_PROBLEM
from gateway.plugins import Live, Opened, PluginFault, find
from gateway.store import watches
from gateway.store.watches import Watch
from gateway.telemetry import log

BATCH = 10
"""Looks of one turn; then the plugin's sweeps and other connections have theirs."""

TOO_LATE = timedelta(hours=24)
"""
Looks that are overdue by so much are given up: more checkouts are created than can be looked up at the plugin's pace
(1,800 looks an hour), and the sweep finds their money too.
"""

ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
"""A checkout of this gateway is this gateway's to record, however long ago it was paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What a turn of looks needs."""

    context: Context
    live: Live
    opened: Opened
    lease: UUID


async def watch(context: Context, live: Live, opened: Opened, paces: Paces, stopping: asyncio.Event) -> None:
    """Look up the due checkouts of one connection, as many as a turn has."""
    looking = Looking(context=context, live=live, opened=opened, lease=UUID(bytes=context.entropy(16)))
    for row in await _claimed(looking, paces):
        if stopping.is_set() or paces.paused(opened.connection.plugin):
            return  # they are due again when their lease ends
        await _look(looking, paces, row)


async def _claimed(looking: Looking, paces: Paces) -> Sequence[Watch]:
    """Claim due rows and return those about which the ledger knows nothing."""
    context, opened = looking.context, looking.opened
    now, one = context.now(), looking.live.config.plugins.deadline + timedelta(seconds=paces.seconds)
    until = now + BATCH * one + FOR_WRITING
    async with context.database.transaction() as connection:
        dropped = await watches.drop_late(connection, opened.site, opened.name, now - TOO_LATE)
        rows = await watches.claim(
            connection, opened.site, opened.name, now=now, lease=looking.lease, until=until, limit=BATCH
        )
        orders = [row.order_id for row in rows]
        booked = await watches.drop_booked(connection, opened.site, orders, looking.lease)
    if dropped:
        log().warning("watch.given_up", site=opened.site, connection=opened.name, checkouts=dropped)
    return [row for row in rows if row.order_id not in booked]


async def _look(looking: Looking, paces: Paces, row: Watch) -> None:
    opened = looking.opened
    try:
        async with paces.turn(opened.connection.plugin):
            events = await find(opened, row.checkout_id, looking.live.config.plugins.deadline)
    except Unavailable as error:
        paces.pause(opened.connection.plugin, error.retry_after)
        await _next(looking, row, at_least=error.retry_after)
    except Unsupported:
        await _done(looking, row)
    except (ProviderError, PluginFault) as error:
        _tell_failed(looking, row, error)
        await _next(looking, row)
    else:
        await _hold(looking, row, events)


async def _hold(looking: Looking, row: Watch, events: Sequence[RevenueEvent]) -> None:
    judged = await _compared(looking, events)
    found = [one for one in judged if one.result is Result.BOOKED]
    if found:
        _tell_found(looking, row, found)
    for one in judged:
        looking.context.metrics.swept.labels(looking.opened.site, looking.opened.name, one.result.value).inc()
    results = {one.result for one in judged}
    if Result.YOUNG in results:
        await _next(looking, row, pause=GRACE)
    elif not results or Result.WAITING in results:
        await _next(looking, row)
    else:
        await _done(looking, row)


async def _compared(looking: Looking, events: Sequence[RevenueEvent]) -> list[Judged]:
    context = looking.context
    window = Window(begins=ALWAYS, until=context.now() - GRACE, wait=looking.live.config.booking.wait)
    comparison = Comparison(context=context, live=looking.live, opened=looking.opened, window=window)
    return await comparison.hold(events)


async def _next(
    looking: Looking, row: Watch, *, pause: timedelta | None = None, at_least: timedelta | None = None
) -> None:
    """Plan the next look. Every one counts, also one that failed: looks are a shortcut, and the sweep comes anyway."""
    planned = next_look(row.looks + 1)
    if planned is None:
        await _done(looking, row)
        return
    due_at = looking.context.now() + max(pause or planned, at_least or timedelta())
    async with looking.context.database.transaction() as connection:
        await watches.postpone(connection, looking.opened.site, row.order_id, looking.lease, due_at=due_at)


async def _done(looking: Looking, row: Watch) -> None:
    async with looking.context.database.transaction() as connection:
        await watches.drop(connection, looking.opened.site, row.order_id, looking.lease)


def _tell_found(looking: Looking, row: Watch, found: Sequence[Judged]) -> None:
    log().warning(
        "watch.found",
        site=looking.opened.site,
        connection=looking.opened.name,
        order_id=row.order_id,
        checkout_id=row.checkout_id,
        keys=[one.event.key for one in found],
        hint="the buyer paid and no webhook came: look at the provider's deliveries to this gateway",
    )


def _tell_failed(looking: Looking, row: Watch, error: Exception) -> None:
    plugin = looking.opened.connection.plugin
    if isinstance(error, PluginFault):
        looking.context.metrics.plugin_failures.labels(plugin, "find").inc()
    log().warning(
        "watch.failed",
        site=looking.opened.site,
        connection=looking.opened.name,
        order_id=row.order_id,
        error=printable(looking.context.redaction.clean(str(error)), MAX_PROBLEM),
    )
