"""
A booked movement of money reaches Faurya: claim and note the attempt, send, judge, settle.

The attempt is written down before the request leaves. If the process dies in between, the next one finds an attempt
without a verdict and knows that the outcome is unclear. No transaction is open while a request is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from time import perf_counter
from uuid import UUID

from gateway.config import Payments, Site
from gateway.domain.delivery import (
    SUCCESSES,
    Answer,
    AttemptVerdict,
    Due,
    Hold,
    HoldReason,
    OutgoingRequest,
    Reason,
    Status,
    Verdict,
    next_wait,
)
from gateway.domain.holds import NOT_FOUND_STREAK, next_probe
from gateway.domain.revenue import RevenueKind
from gateway.faurya import payments, revenue
from gateway.flows.context import Context
from gateway.plugins import Live
from gateway.store import holds, outbox
from gateway.store.batches import GroupCommit
from gateway.store.errors import StoreError
from gateway.store.outbox import ClaimedDelivery, Settlement
from gateway.telemetry import log

HTTP_TIMEOUT = timedelta(seconds=10)
"""Of one call of Faurya; no send starts with less lease left, so that nobody else sends the same meanwhile."""

SETTLE_AGAIN_SECONDS = 0.5
PROBE_PAUSE = timedelta(seconds=30)
"""Until a held site's next probe where the last one told nothing about the hold (a timeout, a 5xx)."""

ANSWER_CHARS = 4096

TOO_LATE = Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.PENDING, spends=False, again_in=timedelta(0))
"""The lease ends before a call could: nothing is sent, and the next claim comes at once."""

Send = Callable[[OutgoingRequest], Awaitable[Answer]]


class Deliverer:
    """Delivers for all sites, each with its own limit, so that a slow one does not hold up another."""

    def __init__(self, context: Context, send: Send) -> None:
        self._context = context
        self._send = send
        self._settler: GroupCommit[Settlement, bool] = GroupCommit(self._settle_batch)
        self._more: dict[str, asyncio.Event] = {}

    async def deliver(self, live: Live, site: str, stopping: asyncio.Event) -> None:
        """Deliver what is due at one site until nothing is, keeping up to `concurrency_per_site` calls under way."""
        under_way: set[asyncio.Task[None]] = set()
        more = self._more[site] = asyncio.Event()
        try:
            while not stopping.is_set():
                more.clear()
                free = live.config.worker.concurrency_per_site - len(under_way)
                claimed = await self._claim(live, site, free) if free else []
                under_way |= {asyncio.create_task(self._attempt(live, due)) for due in claimed}
                if not under_way:
                    return
                under_way = await _first_done_or(more, under_way)
        finally:
            del self._more[site]
            if under_way:
                await asyncio.wait(under_way)

    def nudge(self, site: str) -> None:
        """Say that more is due at a site that is being delivered."""
        if site in self._more:
            self._more[site].set()

    async def _claim(self, live: Live, site: str, limit: int) -> list[ClaimedDelivery]:
        now, lease_for = self._context.now(), live.config.worker.lease
        connections = [name for place, name in live.connections if place == site]
        async with self._context.database.transaction() as connection:
            hold = await holds.find(connection, site)
            if hold is not None:
                if not await holds.start_probe(connection, site, now, lease_for):
                    return []
                limit = 1
            lease = UUID(bytes=self._context.entropy(16))
            return await outbox.claim(
                connection, site, connections, now=now, lease=lease, lease_for=lease_for, limit=limit
            )

    async def _attempt(self, live: Live, delivery: ClaimedDelivery) -> None:
        site = live.config.sites[delivery.site]
        started = perf_counter()
        verdict = _not_for_this_dialect(delivery, site)
        answer = Answer(status=None, sent=False)
        if verdict is None and delivery.lease_until - self._context.now() < HTTP_TIMEOUT:
            verdict = TOO_LATE
        if verdict is None:
            answer = await self._send(_request(live, delivery, site))
            self._context.metrics.delivery_seconds.observe(perf_counter() - started)
            verdict = _judge(answer, delivery, site)
        settlement = self._settlement(live, delivery, verdict, answer, round((perf_counter() - started) * 1000))
        await self._settle(live, delivery, settlement)
        await self._hold_or_lift(delivery.site, verdict, answer)
        self._tell(settlement, verdict, answer)

    def _settlement(
        self, live: Live, delivery: ClaimedDelivery, verdict: Verdict, answer: Answer, milliseconds: int
    ) -> Settlement:
        now = self._context.now()
        spent = delivery.spent + (verdict.spends and verdict.status is Status.PENDING)
        status, reason, due_at = verdict.status, verdict.reason, None
        if status is Status.PENDING:
            wait = verdict.again_in
            if wait is None and verdict.spends:
                wait = next_wait(live.config.retry.schedule, spent, self._context.draw())
            if wait is None and verdict.spends:
                status, reason = Status.DEAD, Reason.SCHEDULE_EXHAUSTED
            else:
                due_at = now + (wait or timedelta(0))
        return Settlement(
            site=delivery.site,
            connection=delivery.connection,
            key=delivery.key,
            number=delivery.number,
            lease=delivery.lease,
            verdict=verdict.attempt,
            status=status,
            reason=reason,
            spent=spent,
            due_at=due_at,
            recorded_at=now if status in SUCCESSES else None,
            status_code=answer.status,
            answer=self._context.redaction.clean(answer.body or answer.error or "")[:ANSWER_CHARS],
            milliseconds=milliseconds,
        )

    async def _settle(self, live: Live, delivery: ClaimedDelivery, settlement: Settlement) -> None:
        """Settle, and keep trying while the lease lasts: an answer that is forgotten may be sent for twice."""
        while True:
            try:
                moved = await self._settler.submit(settlement)
            except (StoreError, TimeoutError) as error:
                left = delivery.lease_until + live.config.worker.lease - self._context.now()
                if left <= timedelta(0):
                    log().error(
                        "delivery.not_settled", site=delivery.site, key=delivery.key, status=settlement.status.value,
                        error=str(error),
                    )  # fmt: skip
                    return
                await asyncio.sleep(SETTLE_AGAIN_SECONDS)
                continue
            if not moved:
                log().warning("delivery.lease_lost", site=delivery.site, key=delivery.key)
            return

    async def _settle_batch(self, batch: Sequence[Settlement]) -> Sequence[bool]:
        async with self._context.database.transaction() as connection:
            return await outbox.settle(connection, batch, self._context.now())

    async def _hold_or_lift(self, site: str, verdict: Verdict, answer: Answer) -> None:
        try:
            async with self._context.database.transaction() as connection:
                hold = verdict.hold
                if verdict.attempt is AttemptVerdict.NOT_FOUND or verdict.reason is Reason.VISITOR_NOT_FOUND:
                    streak = await outbox.not_found_in_a_row(connection, site, NOT_FOUND_STREAK)
                    hold = Hold(reason=HoldReason.VISITORS_NOT_FOUND) if streak >= NOT_FOUND_STREAK else None
                standing = await holds.find(connection, site)
                now = self._context.now()
                if hold is not None:
                    probes = standing.probes + 1 if standing else 0
                    wait = next_probe(hold.reason, probes, hold.retry_after, self._context.draw())
                    until = now + wait if wait is not None else None
                    await holds.set_hold(connection, site, now=now, until=until, reason=hold.reason.value)
                    log().error("site.held", site=site, reason=hold.reason.value, until=until and until.isoformat())
                elif standing is not None:
                    works = answer.status is not None and answer.status < 500
                    await holds.end_probe(connection, site, lift=works, now=now, again_in=PROBE_PAUSE)
                    if works:
                        log().info("site.lifted", site=site, reason=standing.reason)
        except (StoreError, TimeoutError) as error:
            log().warning("site.hold_not_noted", site=site, error=str(error))

    def _tell(self, settlement: Settlement, verdict: Verdict, answer: Answer) -> None:
        self._context.metrics.deliveries.labels(settlement.site, settlement.status.value).inc()
        good = settlement.status in SUCCESSES or settlement.status is Status.PENDING
        say = log().info if good else log().warning
        say(
            "delivery.settled",
            site=settlement.site,
            connection=settlement.connection,
            key=settlement.key,
            attempt=settlement.number,
            status=settlement.status.value,
            reason=settlement.reason.value if settlement.reason else None,
            verdict=verdict.attempt.value,
            status_code=answer.status,
            error=answer.error,
            milliseconds=settlement.milliseconds,
            next_attempt_at=settlement.due_at.isoformat() if settlement.due_at else None,
        )

    async def close(self) -> None:
        """Return when nothing is being settled."""
        await self._settler.drain()


async def _first_done_or(more: asyncio.Event, under_way: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return what is still under way once something ended or more is due."""
    signal = asyncio.create_task(more.wait())
    done, left = await asyncio.wait({*under_way, signal}, return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    for task in done - {signal}:
        if error := task.exception():
            log().error("delivery.failed", exc_info=error)
    return {task for task in under_way if task in left}


def _not_for_this_dialect(delivery: ClaimedDelivery, site: Site) -> Verdict | None:
    """A site may have changed its dialect after booking: what the new one cannot carry is not sent."""
    if not isinstance(site.faurya, Payments):
        return None
    if delivery.kind not in (RevenueKind.PURCHASE, RevenueKind.RENEWAL):
        return Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.SKIPPED, reason=Reason.UNSUPPORTED_BY_DESTINATION)
    if not delivery.attribution.visitor_id:
        return Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.UNATTRIBUTED, reason=Reason.NO_VISITOR_ID)
    return None


def _request(live: Live, delivery: ClaimedDelivery, site: Site) -> OutgoingRequest:
    faurya = site.faurya
    due = Due(
        site=delivery.site,
        connection=delivery.connection,
        plugin=delivery.plugin,
        key=delivery.key,
        own_id=delivery.order_id_sent,
        kind=delivery.kind,
        payment_id=delivery.payment_id,
        order_id=delivery.order_id,
        order_id_sent=delivery.order_id_sent,
        subscription_id=delivery.subscription_id,
        amount_minor=delivery.amount_minor,
        # the unit belongs to the dialect: frozen for the one it was booked for, the present one's where that changed
        amount_unit=delivery.amount_unit if delivery.api == faurya.api else faurya.amount_unit,
        currency=delivery.currency,
        attribution=delivery.attribution,
        globally_unique=live.connections[delivery.site, delivery.connection].globally_unique,
    )
    if isinstance(faurya, Payments):
        return payments.build(due, payments.PaymentsTarget(url=faurya.url, api_key=faurya.api_key))
    target = revenue.RevenueTarget(url=faurya.url, site_id=faurya.site_id, write_key=faurya.write_key)
    return revenue.build(due, target)


def _judge(answer: Answer, delivery: ClaimedDelivery, site: Site) -> Verdict:
    judge = payments.judge if isinstance(site.faurya, Payments) else revenue.judge
    return judge(answer, delivery.earlier)
