"""
A kept webhook becomes revenue: claim, read, book.

Three steps, and no transaction is open in the middle one: claim a batch (short transaction), let the plugin read each
webhook (it may call its provider), then write ledger, outbox and outcomes in one transaction, fenced by the lease. A
crash anywhere leaves a row that is due again when its lease ends, and keys that make booking twice impossible.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from uuid import UUID

from gateway.domain.errors import Malformed
from gateway.flows.context import Context
from gateway.flows.decide import Writing, decide_all, rules_of
from gateway.flows.handover import hand_over
from gateway.flows.leases import renewed
from gateway.flows.precedence import accepting_first
from gateway.flows.read import Failed, Reading, read, webhook_url
from gateway.flows.shares import in_shares
from gateway.flows.write_down import write_down
from gateway.plugins import Live
from gateway.store import bookings, inbox, leases, ledger
from gateway.store.errors import StoreData, StoreError, StoreUnavailable
from gateway.store.inbox import Claimed, Outcome
from gateway.store.pool import Connection, StoreConflict
from gateway.telemetry import log

__all__ = ["book", "book_all", "rules_of", "webhook_url"]

BATCH = 128
"""Webhooks of one claim: one commit for all, and at most one site's lock held for some tens of milliseconds."""

CROWD = 16
"""Webhooks of one connection that are still being read; with more, the site's other connections go first."""

TOGETHER_SECONDS = 0.25
"""How long the quick readings of a claim wait for each other to share a commit; slow ones are written as they come."""

LOOK_SECONDS = 1.0
"""How soon new webhooks are seen while slow ones are still being read."""

CONFLICTS = 5
"""Deadlocks in a row after which a batch is left to its lease; one is already rare."""

WRITE_AGAIN_SECONDS = 0.5
"""Between two tries to write what was read, while the database is away."""

STOP_SECONDS = 5.0
"""What readings have left when the process is told to stop; what is not read by then is given back for others."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Webhooks claimed together, and the configuration that was in force then. `open` are those not written yet."""

    live: Live
    lease: UUID
    ends: datetime
    open: dict[tuple[str, str], Claimed]


UnderWay = dict[asyncio.Task[Reading], Claim]


async def book_all(
    context: Context,
    live: Callable[[], Live],
    site: str,
    stopping: asyncio.Event,
    more: asyncio.Event | None = None,
    *,
    stop_seconds: float = STOP_SECONDS,
) -> None:
    """
    Read and book the due webhooks of one site until none is left and `more` was not set since the last look.

    `live` is asked at every claim, so that a reload is obeyed. Once `stopping` is set nothing more is claimed; what is
    being read is finished, or given back where that takes longer than `stop_seconds`.
    """
    under_way: UnderWay = {}
    claims: list[Claim] = []
    writer = Writer(context, site)
    until, more = float("inf"), more or asyncio.Event()
    try:
        async with _leases_renewed(context, live(), site, claims), writer:
            while True:
                more.clear()
                await accepting_first(context, site, stopping)
                if claim := None if stopping.is_set() else await _claim(context, live(), site, under_way):
                    claims.append(claim)
                    await _start(context, claim, under_way)
                if not under_way:
                    if await writer.rest() or (more.is_set() and not stopping.is_set()):
                        continue
                    return
                await writer.write(await _finished(under_way, fresh=claim is not None))
                if claim is None or len(claim.open) < BATCH:
                    await writer.rest()
                claims[:] = [claim for claim in claims if claim.open]
                until = min(until, monotonic() + stop_seconds) if stopping.is_set() else until
                if monotonic() >= until:
                    await writer.rest()
                    await _give_back(context, site, claims)
                    return
    finally:
        _cancel(under_way)


async def book(context: Context, live: Live, site: str) -> int:
    """Claim due webhooks of one site once, read and book them; return how many were claimed."""
    claim = await _claim(context, live, site, {})
    if claim is None:
        return 0
    claimed = len(claim.open)
    under_way: UnderWay = {}
    try:
        async with _leases_renewed(context, live, site, [claim]):
            await _start(context, claim, under_way)
            while under_way:
                await _write(context, site, await _finished(under_way, fresh=True))
    finally:
        _cancel(under_way)
    return claimed


async def _claim(context: Context, live: Live, site: str, under_way: UnderWay) -> Claim | None:
    crowd = Counter(task.get_name() for task in under_way)
    names = [name for place, name in live.connections if place == site and crowd[name] < CROWD]
    now, lease_for, lease = context.now(), live.config.worker.lease, UUID(bytes=context.entropy(16))
    async with context.database.reading() as connection:  # a statement that commits by itself
        rows = await inbox.claim(connection, site, names, now=now, lease=lease, lease_for=lease_for, limit=BATCH)
    return Claim(live, lease, now + lease_for, {(row.connection, row.event_key): row for row in rows}) if rows else None


def _leases_renewed(
    context: Context, live: Live, site: str, claims: Sequence[Claim]
) -> AbstractAsyncContextManager[None]:
    async def renew(connection: Connection, until: datetime) -> None:
        await leases.renew_webhooks(connection, site, _places(claims), until)

    return renewed(context, live.config.worker.lease, renew)


def _places(claims: Sequence[Claim]) -> list[tuple[str, str, UUID]]:
    return [(name, key, claim.lease) for claim in claims for name, key in claim.open]


async def _give_back(context: Context, site: str, claims: Sequence[Claim]) -> None:
    async with context.database.transaction() as connection:
        await leases.give_back_webhooks(connection, site, _places(claims), context.now())


async def _start(context: Context, claim: Claim, under_way: UnderWay) -> None:
    async for webhook in in_shares(claim.open.values()):
        under_way[asyncio.create_task(read(context, claim.live, webhook), name=webhook.connection)] = claim


def _cancel(under_way: UnderWay) -> None:
    for task in under_way:
        task.cancel()


Finished = dict[Claim, list[Reading]]


async def _finished(under_way: UnderWay, *, fresh: bool) -> Finished:
    """Take out what was read by now: after a claim all that is quick, later whatever comes first."""
    if fresh:
        await asyncio.wait(under_way, timeout=TOGETHER_SECONDS)
    else:
        await asyncio.wait(under_way, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finished: Finished = {}
    for task in [task for task in under_way if task.done()]:
        finished.setdefault(under_way.pop(task), []).append(task.result())
    return finished


class Writer:
    """
    Writes what was read, one batch at a time, while the next one is claimed and read.

    Leaving its block waits for what is being written, also where something went wrong meanwhile; what goes wrong with
    that too is only logged, because the block has its own error to raise.
    """

    def __init__(self, context: Context, site: str) -> None:
        self._context, self._site = context, site
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        if self._writing is None:
            return
        await asyncio.wait([self._writing])
        error = None if self._writing.cancelled() else self._writing.exception()
        if isinstance(error, StoreError):
            log().warning("worker.database_away", site=self._site, work="book", error=str(error))
        elif error is not None:
            log().error("worker.failed", site=self._site, work="book", exc_info=error)

    async def write(self, finished: Finished) -> None:
        """Begin to write, once what was being written is."""
        await self.rest()
        if finished:
            self._writing = asyncio.create_task(_write(self._context, self._site, finished), name="booking")

    async def rest(self) -> bool:
        """Wait for what is being written; return whether there was anything. Raises what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is None:
            return False
        await writing
        return True


async def _write(context: Context, site: str, finished: Finished) -> None:
    for claim, readings in finished.items():
        await _write_patiently(context, claim, site, readings)
        for reading in readings:
            del claim.open[reading.webhook.connection, reading.webhook.event_key]


async def _write_patiently(context: Context, claim: Claim, site: str, readings: Sequence[Reading]) -> None:
    """Write what was read; while the database is away keep it, as long as the claim lasts, instead of reading anew."""
    while True:
        try:
            await hand_over(context, claim.live, readings)
            await _write_claimed(context, claim, site, readings)
        except StoreConflict:
            raise
        except StoreUnavailable as error:
            if context.now() >= claim.ends:
                raise
            log().warning("webhook.not_written", site=site, webhooks=len(readings), error=str(error))
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
        else:
            return


async def _write_claimed(context: Context, claim: Claim, site: str, readings: Sequence[Reading]) -> None:
    try:
        await _write_batch(context, claim, site, readings)
    except (StoreData, Malformed) as error:
        if len(readings) > 1:  # one bad webhook must not hold up the others
            for reading in readings:
                await _write_claimed(context, claim, site, [reading])
            return
        await _write_batch(context, claim, site, [replace(readings[0], found=Failed("malformed", str(error)))])


async def _write_batch(context: Context, claim: Claim, site: str, readings: Sequence[Reading]) -> None:
    conflicts, writing = 0, None
    while writing is None:
        try:
            writing = await _write_once(context, claim, site, readings)
        except StoreConflict:
            conflicts += 1
            if conflicts > CONFLICTS:
                raise
    async for outcome in in_shares(writing.outcomes):
        _tell(context, site, outcome)
    if any(booked.dispatch and booked.dispatch.due for booked in (*writing.new, *writing.filled)):
        context.wake(site, "deliver")


async def _write_once(context: Context, claim: Claim, site: str, readings: Sequence[Reading]) -> Writing:
    now = context.now()
    async with context.database.transaction() as connection:
        keys = sorted((reading.webhook.connection, reading.webhook.event_key) for reading in readings)
        ours = await bookings.enter(connection, site, keys, claim.lease, now)
        held = [reading for reading in readings if (reading.webhook.connection, reading.webhook.event_key) in ours]
        events = [(reading.webhook.connection, event) for reading in held for event in reading.events]
        books = await ledger.read_books(connection, site, events)
        writing = decide_all(claim.live.config, site, held, books, now, context.redaction.clean)
        await write_down(connection, site, writing, now, "webhook")
    return writing


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
