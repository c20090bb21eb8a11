"""
A kept webhook becomes revenue: claim, read, book.

Three steps, and no transaction is open in the middle one: claim a batch (short transaction), let the plugin read each
webhook (it may call its provider), then write ledger, outbox and outcomes in one transaction, fenced by the lease. A
crash anywhere leaves a row that is due again when its lease ends, and keys that make booking twice impossible.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from gateway.config import Config, Site
from gateway.config import Connection as ConnectionConfig
from gateway.domain.booking import Already, Booked, Books, Entry, OtherSite, Rules, Wait, decide, in_order, refs_of
from gateway.domain.errors import Malformed
from gateway.domain.messages import Ignored
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.domain.text import printable
from gateway.flows.context import Context
from gateway.flows.read import Failed, Reading, read, webhook_url
from gateway.plugins import Live
from gateway.store import inbox, ledger, outbox
from gateway.store.errors import StoreData
from gateway.store.inbox import Claimed, Outcome
from gateway.store.pool import Connection
from gateway.telemetry import log

__all__ = ["book", "rules_of", "webhook_url"]

BATCH = 64
"""Webhooks of one claim: one commit for all, and at most one site's lock held for some tens of milliseconds."""

CROWD = 16
"""Webhooks of one connection that are still being read; with more, the site's other connections go first."""

TOGETHER_SECONDS = 0.25
"""How long the quick readings of a claim wait for each other to share a commit; slow ones are written as they come."""

LOOK_SECONDS = 1.0
"""How soon new webhooks are seen while slow ones are still being read."""

FOR_WRITING = timedelta(seconds=10)
"""Of a lease, kept for the writing after the slowest reading."""

MAX_DETAIL = 500

@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Webhooks claimed together, and the configuration that was in force then."""

    live: Live
    lease: UUID
    rows: Sequence[Claimed]


UnderWay = dict[asyncio.Task[Reading], Claim]


@dataclass(slots=True)
class Writing:
    """What one booking transaction is about to write."""

    new: list[Booked] = field(default_factory=list)
    filled: list[Booked] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def rules_of(site: Site, connection: ConnectionConfig) -> Rules:
    """Return what the configuration says about the money of one connection."""
    return Rules(
        connection=connection.name,
        plugin=connection.plugin,
        live=connection.environment == "live",
        claims=connection.claims,
        forward=connection.forward,
        api=site.faurya.api,
        basis=site.faurya.amount,
        amount_unit=site.faurya.amount_unit,
        forward_refunds=site.faurya.forward_refunds,
        forward_test=site.faurya.forward_test,
        currencies=site.faurya.currencies,
    )


async def book(context: Context, live: Callable[[], Live], site: str, stopping: asyncio.Event) -> None:
    """
    Read and book the due webhooks of one site until none is left.

    `live` is asked at every claim, so that a reload is obeyed. Once `stopping` is set nothing more is claimed, and what
    is being read is finished.
    """
    under_way: UnderWay = {}
    try:
        while True:
            claim = None if stopping.is_set() else await _claim(context, live(), site, under_way)
            if claim is not None:
                under_way |= {_start(context, claim, row): claim for row in claim.rows}
            if not under_way:
                return
            for done, readings in (await _finished(under_way, fresh=claim is not None)).items():
                await _write(context, done.live, site, readings, done.lease)
    finally:
        for task in under_way:
            task.cancel()


def _start(context: Context, claim: Claim, webhook: Claimed) -> asyncio.Task[Reading]:
    return asyncio.create_task(read(context, claim.live, webhook), name=webhook.connection)


async def _claim(context: Context, live: Live, site: str, under_way: UnderWay) -> Claim | None:
    crowd = Counter(task.get_name() for task in under_way)
    names = [name for place, name in live.connections if place == site and crowd[name] < CROWD]
    lease_for = max(live.config.worker.lease, live.config.plugins.deadline + FOR_WRITING)
    now, lease = context.now(), UUID(bytes=context.entropy(16))
    async with context.database.transaction() as connection:
        rows = await inbox.claim(connection, site, names, now=now, lease=lease, lease_for=lease_for, limit=BATCH)
    return Claim(live, lease, rows) if rows else None


async def _finished(under_way: UnderWay, *, fresh: bool) -> dict[Claim, list[Reading]]:
    """Take out what was read by now: after a claim all that is quick, later whatever comes first."""
    if fresh:
        await asyncio.wait(under_way, timeout=TOGETHER_SECONDS)
    else:
        await asyncio.wait(under_way, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finished: dict[Claim, list[Reading]] = {}
    for task in [task for task in under_way if task.done()]:
        finished.setdefault(under_way.pop(task), []).append(task.result())
    return finished


async def _write(context: Context, live: Live, site: str, readings: Sequence[Reading], lease: UUID) -> None:
    try:
        await _write_batch(context, live, site, readings, lease)
    except (StoreData, Malformed) as error:
        if len(readings) > 1:  # one bad webhook must not hold up the others
            for reading in readings:
                await _write(context, live, site, [reading], lease)
            return
        await _write_batch(context, live, site, [replace(readings[0], found=Failed("malformed", str(error)))], lease)


async def _write_batch(context: Context, live: Live, site: str, readings: Sequence[Reading], lease: UUID) -> None:
    now = context.now()
    async with context.database.transaction() as connection:
        await ledger.lock_site(connection, site, now)
        keys = sorted((reading.webhook.connection, reading.webhook.event_key) for reading in readings)
        ours = await inbox.still_ours(connection, site, keys, lease)
        held = [reading for reading in readings if (reading.webhook.connection, reading.webhook.event_key) in ours]
        books = await ledger.read_books(connection, site, _events_of(held))
        writing = _decide_all(context, live, site, held, books, now)
        await _write_down(connection, site, writing, now)
    for outcome in writing.outcomes:
        _tell(context, site, outcome)
    if any(booked.dispatch and booked.dispatch.due for booked in (*writing.new, *writing.filled)):
        context.wake()


def _events_of(readings: Sequence[Reading]) -> list[tuple[str, RevenueEvent]]:
    return [(reading.webhook.connection, event) for reading in readings for event in reading.events]


def _decide_all(
    context: Context, live: Live, site: str, readings: Sequence[Reading], books: Books, now: datetime
) -> Writing:
    """Decide webhook by webhook, those with sales first, so that a refund in the same batch finds its sale."""
    writing = Writing()
    for reading in sorted(readings, key=_sales_first):
        name = reading.webhook.connection
        rules = rules_of(live.config.sites[site], live.config.sites[site].providers[name])
        outcome = _decide_one(context, live.config, reading, rules, books, writing, now)
        writing.outcomes.append(outcome)
    return writing


def _sales_first(reading: Reading) -> tuple[int, datetime]:
    first = next(iter(in_order(reading.events)), None)
    if first is None:
        return 0, reading.webhook.received_at
    return list(RevenueKind).index(first.kind), first.occurred_at


def _decide_one(
    context: Context, config: Config, reading: Reading, rules: Rules, books: Books, writing: Writing, now: datetime
) -> Outcome:
    webhook, found = reading.webhook, reading.found
    match found:
        case Failed():
            detail = printable(context.redaction.clean(found.detail), MAX_DETAIL)
            outcome = "received" if found.again_in else "unreadable"
            due_at = now + found.again_in if found.again_in else None
            return replace(_ended(webhook, outcome, found.reason), detail=detail, due_at=due_at)
        case Ignored():
            return _ended(webhook, "ignored", found.reason)
        case _:
            return _decide_events(config, webhook, in_order(found), rules, books, writing, now)


def _decide_events(
    config: Config,
    webhook: Claimed,
    events: Sequence[RevenueEvent],
    rules: Rules,
    books: Books,
    writing: Writing,
    now: datetime,
) -> Outcome:
    ends = webhook.received_at + config.booking.wait
    decisions = []
    for event in events:
        decision = decide(event, rules, books, now=now, event_key=webhook.event_key, may_wait=now < ends)
        decisions.append(decision)
        if isinstance(decision, Booked):
            _take(decision, books, writing)
    refs = tuple(ref for decision in decisions if isinstance(decision, OtherSite) for ref in decision.refs)
    waits = next((decision.waits_for for decision in decisions if isinstance(decision, Wait)), None)
    if waits is not None:
        waiting = _ended(webhook, "received", "waiting_for_sale")
        return replace(waiting, due_at=ends, waits_for=waits, refs=refs)
    outcome, reason = _outcome(webhook, decisions)
    return replace(_ended(webhook, outcome, reason), refs=refs)


def _ended(webhook: Claimed, outcome: str, reason: str | None) -> Outcome:
    return Outcome(connection=webhook.connection, event_key=webhook.event_key, outcome=outcome, reason=reason)


def _outcome(webhook: Claimed, decisions: Sequence[object]) -> tuple[str, str | None]:
    """Booked if anything in it is booked by this webhook, now or when it was read before."""
    others = 0
    for decision in decisions:
        match decision:
            case Booked(fills=False) | Already(event_key=webhook.event_key):
                return "booked", None
            case OtherSite():
                others += 1
            case _:
                pass
    if not decisions:
        return "ignored", "not_revenue"
    return "ignored", "other_site" if others == len(decisions) else "already_booked"


def _take(booked: Booked, books: Books, writing: Writing) -> None:
    (writing.filled if booked.fills else writing.new).append(booked)
    place = (booked.entry.connection, booked.entry.event.key)
    status = booked.dispatch.status if booked.dispatch else books.statuses[place]
    if booked.fills and booked.entry.event.cumulative:  # its amount is in the running total already
        books.entries[place] = booked.entry
        books.statuses[place] = status
    else:
        books.learn(booked.entry, status)


async def _write_down(connection: Connection, site: str, writing: Writing, now: datetime) -> None:
    new: list[Entry] = [booked.entry for booked in writing.new]
    filled = [booked.entry for booked in writing.filled]
    if new or filled:
        await ledger.insert(connection, site, new, "webhook")
        await ledger.fill(connection, site, filled)
        dispatches = [booked.dispatch for booked in (*writing.new, *writing.filled) if booked.dispatch]
        await outbox.put(connection, site, dispatches, now)
        await ledger.attribute_siblings(connection, site, [*new, *filled], now)
    await inbox.settle(connection, site, writing.outcomes)
    refs = {(entry.connection, ref) for entry in new for ref in refs_of(entry.event)}
    refs |= {(outcome.connection, ref) for outcome in writing.outcomes for ref in outcome.refs}
    if refs:
        await inbox.wake(connection, site, sorted(refs), now)


def _tell(context: Context, site: str, outcome: Outcome) -> None:
    context.metrics.webhooks.labels(site, outcome.connection, outcome.outcome).inc()
    say = log().warning if outcome.outcome == "unreadable" else log().info
    say(
        "webhook.read",
        site=site,
        connection=outcome.connection,
        event_key=outcome.event_key,
        outcome=outcome.outcome,
        reason=outcome.reason,
        detail=outcome.detail,
        due_at=outcome.due_at.isoformat() if outcome.due_at else None,
    )
