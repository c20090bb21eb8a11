"""
How today's plugin would read webhooks that could not be read: the real reading, decided against the books, then undone.

The plugin may call its provider, exactly as it will when the worker reads the webhook again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.errors import Malformed
from gateway.flows.context import Context
from gateway.flows.decide import Writing, decide_all
from gateway.flows.foreseen import Foreseen
from gateway.flows.read import Failed, Reading, read
from gateway.flows.replay_rows import WebhookRow
from gateway.plugins import Live
from gateway.store import ledger
from gateway.store.errors import StoreData
from gateway.store.inbox import Outcome
from gateway.store.replays import Unread

AT_ONCE = 8
"""Plugin calls at a time: a plugin may ask its provider, whose rate limit other readers share."""

PURGED = "its body was deleted after retention.raw_days: let the provider send it again, or reconcile"


async def foresee(
    context: Context, live: Live, site: str, unread: Sequence[Unread], foreseen: Foreseen
) -> list[WebhookRow]:
    """Return what would become of unreadable webhooks, in their order; the bodies are let go."""
    by_place = {(row.webhook.connection, row.webhook.event_key): row for row in unread}
    readable = [row for row in unread if not row.purged and (site, row.webhook.connection) in live.connections]
    turn = asyncio.Semaphore(AT_ONCE)
    readings = await asyncio.gather(*(_read(context, live, row, turn) for row in readable))
    writing = await _decide(context, live, site, readings, foreseen)
    ends = {(outcome.connection, outcome.event_key): outcome for outcome in writing.outcomes}
    rows = []
    for place, row in by_place.items():
        light = replace(row, webhook=replace(row.webhook, body=b"", headers=b""))
        why = _unreadable_because(site, row, ends.get(place))
        if why:
            rows.append(WebhookRow(site=site, unread=light, why=why))
            continue
        booked = [one.entry for one in writing.new if (one.entry.connection, one.entry.event_key) == place]
        rows.append(WebhookRow(site=site, unread=light, outcome=ends[place], books=booked))
    return rows


def _unreadable_because(site: str, row: Unread, outcome: Outcome | None) -> str | None:
    if row.purged:
        return PURGED
    if outcome is None:
        return f"the connection {site}/{row.webhook.connection} is not configured any more, or its plugin is missing"
    if outcome.outcome == "unreadable":
        return f"still unreadable: {outcome.reason}: {outcome.detail}"
    return None


async def _read(context: Context, live: Live, row: Unread, turn: asyncio.Semaphore) -> Reading:
    async with turn:
        return await read(context, live, replace(row.webhook, attempts=1))


async def _decide(context: Context, live: Live, site: str, readings: Sequence[Reading], foreseen: Foreseen) -> Writing:
    if not readings:
        return Writing()
    try:
        return await _decide_together(context, live, site, readings, foreseen)
    except (StoreData, Malformed) as error:
        if len(readings) == 1:
            failed = replace(readings[0], found=Failed("malformed", str(error)))
            return await _decide_together(context, live, site, [failed], foreseen)
    apart = Writing()
    for reading in readings:
        alone = await _decide(context, live, site, [reading], foreseen)
        apart.new += alone.new
        apart.outcomes += alone.outcomes
    return apart


async def _decide_together(
    context: Context, live: Live, site: str, readings: Sequence[Reading], foreseen: Foreseen
) -> Writing:
    events = [(reading.webhook.connection, event) for reading in readings for event in reading.events]
    async with context.database.trial() as connection:
        books = await ledger.read_books(connection, site, events)
    foreseen.tell(books, events)
    writing = decide_all(live.config, site, readings, books, context.now(), context.redaction.clean)
    for booked in writing.new:
        foreseen.note(booked.entry, books.statuses[booked.entry.connection, booked.entry.event.key])
    return writing
