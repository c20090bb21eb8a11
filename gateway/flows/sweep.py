"""
One sweep: the provider's list of one connection is read page by page, and what no webhook brought is booked.

No transaction is open while the provider is asked. After every page the cursor is kept, so that a sweep which breaks
off (a process killed, a provider that asks for a pause) goes on at its page; what it meets again is known by its key.
The watermark moves only after the last page, and not beyond money that must be seen again.
"""

import asyncio
from collections.abc import Sequence

from gateway.domain.errors import Malformed, ProviderError, Rejected, Unavailable, Unsupported
from gateway.domain.listed import KEPT, Result, Tally, next_watermark
from gateway.domain.revenue import RevenueEvent
from gateway.flows.compare import LeaseLost
from gateway.flows.context import Context
from gateway.flows.pace import Paces
from gateway.flows.progress import differences_of, packed
from gateway.flows.turn import Turn, claimed_turn, note_failure, note_unsupported, said
from gateway.plugins import Live, Opened, PluginFault, list_revenue
from gateway.sdk import Page
from gateway.store import sweeps
from gateway.store.sweeps import Finished
from gateway.telemetry import log

WAITING = 1000
"""Refunds and renewals whose sale may be on a later page; with more the rest is left to the next sweep."""

PAGES = 50
"""Of one turn; then the plugin's other connections have theirs. At two seconds a page a turn is under two minutes."""

PATIENCE = 5
"""Failures in a row after which a page that cannot be had is given up: the list is then read from its beginning."""

HOPELESS = (Rejected, Malformed, PluginFault)
"""The same call would end the same way; with a cursor, the cursor may be the reason."""


async def sweep(context: Context, live: Live, opened: Opened, paces: Paces, stopping: asyncio.Event) -> None:
    """Do one turn of a due sweep: the whole list, or as many pages as a turn has."""
    turn = await claimed_turn(context, live, opened)
    if turn is None:
        return
    try:
        await _read_pages(turn, paces, stopping)
    except LeaseLost:
        log().warning("sweep.lease_lost", site=opened.site, connection=opened.name)
    except Unsupported as error:
        await note_unsupported(turn, error)
    except Unavailable as error:
        paces.pause(opened.connection.plugin, error.retry_after)
        await note_failure(turn, error, error.retry_after, keeps_cursor=turn.sweep.failures < PATIENCE)
    except (ProviderError, PluginFault) as error:
        await note_failure(turn, error, None, keeps_cursor=False)


async def _read_pages(turn: Turn, paces: Paces, stopping: asyncio.Event) -> None:
    while True:
        async with paces.turn(turn.opened.connection.plugin):
            page = await _page(turn)
        await _hold(turn, page.events)
        turn.pages += 1
        if page.next_cursor is None:
            await _finish(turn)
            return
        await _turn_page(turn, page.next_cursor)
        if stopping.is_set() or turn.pages >= PAGES:
            async with turn.context.database.transaction() as connection:
                await sweeps.give_back(connection, turn.place, lease=turn.lease.token, due_at=turn.context.now())
            return


async def _page(turn: Turn) -> Page:
    """Ask for a page. A cursor from an earlier turn that is not taken any more is forgotten, once."""
    try:
        return await list_revenue(turn.opened, turn.sweep.since, turn.cursor, turn.deadline)
    except HOPELESS as error:
        if turn.pages or turn.cursor is None:
            raise
        log().info("sweep.started_over", site=turn.opened.site, connection=turn.opened.name, error=said(turn, error))
    turn.cursor, turn.tally, turn.cursors = None, Tally(), set()  # it leads to the same cursors again
    await _start_over(turn)
    return await list_revenue(turn.opened, turn.sweep.since, None, turn.deadline)


async def _start_over(turn: Turn) -> None:
    now = turn.context.now()
    async with turn.context.database.transaction() as connection:
        ours = await sweeps.start_over(
            connection, turn.place, lease=turn.lease.token, now=now, until=now + turn.lease.length
        )
    if not ours:
        raise LeaseLost


async def _hold(turn: Turn, events: Sequence[RevenueEvent]) -> None:
    """Book what a page has; note what must be seen again."""
    new: list[str] = []
    for judged in await turn.comparison.hold(events):
        if not turn.tally.add(judged):
            continue
        turn.context.metrics.swept.labels(*turn.place, judged.result.value).inc()
        if judged.result is Result.BOOKED:
            new.append(judged.event.key)
        if judged.result is Result.YOUNG:
            turn.tally.look_again([judged.event])
        if judged.result is Result.WAITING and len(turn.waiting) < WAITING:
            turn.waiting.append(judged.event)
        elif judged.result is Result.WAITING:
            turn.tally.look_again([judged.event])
    _tell_found(turn, new)


def _tell_found(turn: Turn, new: Sequence[str]) -> None:
    if not new:
        return
    log().warning(
        "sweep.found",
        site=turn.opened.site,
        connection=turn.opened.name,
        booked=len(new),
        keys=list(new[:KEPT]),
        hint="no webhook brought this money: look at the provider's deliveries to this gateway",
    )


async def _turn_page(turn: Turn, cursor: str) -> None:
    """Keep the place in the list. Whoever goes on there has not seen what waits, and must be led back to it."""
    if cursor in turn.cursors:
        raise PluginFault(f"the plugin {turn.opened.connection.plugin!r} leads round in circles: a cursor came twice")
    turn.cursors.add(cursor)
    turn.cursor, now = cursor, turn.context.now()
    async with turn.context.database.transaction() as connection:
        ours = await sweeps.turn_page(
            connection,
            turn.place,
            lease=turn.lease.token,
            cursor=cursor,
            progress=packed(turn.tally, turn.waiting),
            until=now + turn.lease.length,
        )
    if not ours:
        raise LeaseLost


async def _finish(turn: Turn) -> None:
    """Decide once more about what waited for a sale on a later page, and move the watermark."""
    for judged in await turn.comparison.hold(turn.waiting):
        if judged.result is Result.WAITING:
            turn.tally.look_again([judged.event])
        elif turn.tally.add(judged):
            turn.context.metrics.swept.labels(*turn.place, judged.result.value).inc()
            if judged.result is Result.BOOKED:
                _tell_found(turn, [judged.event.key])
    now, came_to = turn.context.now(), _came_to(turn)
    async with turn.context.database.transaction() as connection:
        ours = await sweeps.finish(
            connection,
            turn.place,
            came_to,
            lease=turn.lease.token,
            now=now,
            due_at=now + turn.opened.connection.sweep.every,
        )
    if not ours:
        raise LeaseLost
    _tell_finished(turn, came_to)


def _came_to(turn: Turn) -> Finished:
    counts = turn.tally.counts
    return Finished(
        watermark=next_watermark(turn.sweep.started_at, turn.tally.earliest),
        listed=turn.tally.listed,
        already=counts[Result.ALREADY],
        booked=counts[Result.BOOKED],
        waiting=counts[Result.WAITING],
        other_site=counts[Result.OTHER_SITE],
        test=turn.tally.test,
        differing=counts[Result.DIFFERS],
        differences=differences_of(turn.tally),
    )


def _tell_finished(turn: Turn, came_to: Finished) -> None:
    say = log().warning if came_to.differing else log().info
    say(
        "sweep.finished",
        site=turn.opened.site,
        connection=turn.opened.name,
        since=turn.sweep.since.isoformat(),
        watermark=came_to.watermark.isoformat(),
        listed=came_to.listed,
        differences=[list(one) for one in turn.tally.differences] or None,
        **{result.value: turn.tally.counts[result] for result in Result},
    )
