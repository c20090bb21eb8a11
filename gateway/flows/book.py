"""
A kept webhook becomes revenue: claim, read, book.

Three steps, and no transaction is open in the middle one: claim a batch (short transaction), let the plugin read each
webhook (it may call its provider), then write ledger, outbox and outcomes in one transaction, fenced by the lease. A
crash anywhere leaves a row that is due again when its lease ends, and keys that make booking twice impossible.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from gateway.config import Config, Connection, Site
from gateway.domain.booking import Already, Booked, Books, Entry, OtherSite, Rules, Wait, decide, in_order, refs_of
from gateway.domain.delivery import next_wait
from gateway.domain.errors import Unavailable
from gateway.domain.messages import Delivery, Ignored, WebhookRequest
from gateway.domain.revenue import RevenueEvent
from gateway.domain.text import printable
from gateway.flows.context import Context
from gateway.plugins import Live, Opened, PluginFault, extract
from gateway.store import inbox, ledger, outbox
from gateway.store.errors import StoreData
from gateway.store.inbox import Claimed, Outcome
from gateway.store.pool import Connection as DatabaseConnection
from gateway.telemetry import log

BATCH = 100
"""Webhooks of one claim: one commit for all, and at most one site's lock held for some tens of milliseconds."""

EXTRACTING = 8
"""Webhooks of one batch that are read at the same time; some plugins call their provider."""

MAX_DETAIL = 500


@dataclass(frozen=True, slots=True)
class Failed:
    """The webhook could not be read. With `again_in` it is tried again then; without, it is unreadable."""

    reason: str
    detail: str
    again_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a plugin read in one webhook."""

    webhook: Claimed
    found: Sequence[RevenueEvent] | Ignored | Failed


@dataclass(slots=True)
class Writing:
    """What one booking transaction is about to write."""

    new: list[Booked] = field(default_factory=list)
    filled: list[Booked] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def rules_of(site: Site, connection: Connection) -> Rules:
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


async def book(context: Context, live: Live, site: str) -> int:
    """Claim due webhooks of one site, read and book them; return how many were claimed."""
    config, now = live.config, context.now()
    connections = [name for place, name in live.connections if place == site]
    lease = UUID(bytes=context.entropy(16))
    async with context.database.transaction() as connection:
        claimed = await inbox.claim(
            connection, site, connections, now=now, lease=lease, lease_for=config.worker.lease, limit=BATCH
        )
    if not claimed:
        return 0
    gate = asyncio.Semaphore(EXTRACTING)
    readings = await asyncio.gather(*(_read(context, live, webhook, gate) for webhook in claimed))
    await _write(context, live, site, readings, lease)
    return len(claimed)


async def _read(context: Context, live: Live, webhook: Claimed, gate: asyncio.Semaphore) -> Reading:
    opened = live.connections[webhook.site, webhook.connection]
    request = WebhookRequest(
        method=webhook.method,
        url=webhook_url(live.config, webhook.site, webhook.connection, webhook.query),
        headers=inbox.unpack_headers(webhook.headers),
        body=webhook.body,
        received_at=webhook.received_at,
        remote_ip=webhook.remote_ip,
    )
    try:
        async with gate:
            deadline = live.config.plugins.deadline
            found = await extract(opened, Delivery(request=request, proof=webhook.proof), deadline)
    except Unavailable as error:
        return Reading(webhook, _later(context, live.config, opened, webhook, error))
    except PluginFault as fault:
        context.metrics.plugin_failures.labels(opened.connection.plugin, "extract").inc()
        return Reading(webhook, Failed("plugin_failed", str(fault)))
    return Reading(webhook, found)


def webhook_url(config: Config, site: str, connection: str, query: str = "") -> str:
    """Return the public address of a connection's webhooks, always from the configuration."""
    address = f"{config.server.public_url.rstrip('/')}/webhooks/{site}/{connection}"
    return f"{address}?{query}" if query else address


def _later(context: Context, config: Config, opened: Opened, webhook: Claimed, error: Unavailable) -> Failed:
    wait = next_wait(config.retry.schedule, webhook.attempts, context.draw())
    if wait is None:
        text = f"{opened.connection.plugin} was unavailable {webhook.attempts} times, the last time: {error}"
        return Failed("waited_in_vain", text)
    return Failed("provider_unavailable", str(error), again_in=max(wait, error.retry_after or wait))


async def _write(context: Context, live: Live, site: str, readings: Sequence[Reading], lease: UUID) -> None:
    try:
        await _write_batch(context, live, site, readings, lease)
    except StoreData as error:
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
    return [
        (reading.webhook.connection, event)
        for reading in readings
        if not isinstance(reading.found, (Ignored, Failed))
        for event in reading.found
    ]


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
    found = reading.found
    events = [] if isinstance(found, (Ignored, Failed)) else in_order(found)
    rank = list(type(events[0].kind)).index(events[0].kind) if events else 0
    return rank, events[0].occurred_at if events else reading.webhook.received_at


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
    if booked.fills:
        books.entries[place] = booked.entry
        books.statuses[place] = status
    else:
        books.learn(booked.entry, status)


async def _write_down(connection: DatabaseConnection, site: str, writing: Writing, now: datetime) -> None:
    new: list[Entry] = [booked.entry for booked in writing.new]
    filled = [booked.entry for booked in writing.filled]
    if new or filled:
        await ledger.insert(connection, site, new, "webhook")
        await ledger.fill(connection, site, filled)
        dispatches = [booked.dispatch for booked in (*writing.new, *writing.filled) if booked.dispatch]
        await outbox.put(connection, site, dispatches, now)
        await ledger.attribute_siblings(connection, site, [*new, *filled], now)
    await inbox.settle(connection, site, writing.outcomes)
    refs = sorted({(entry.connection, ref) for entry in new for ref in refs_of(entry.event)})
    if refs:
        await inbox.wake(connection, site, refs, now)


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
