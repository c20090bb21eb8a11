"""
A booked movement of money reaches Faurya: claim and note the attempt, send, judge, settle.

The attempt is written down before the request leaves. If the process dies in between, the next one finds an attempt
without a verdict and knows that the outcome is unclear. No transaction is open while a request is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from uuid import UUID

from gateway.domain.delivery import (
    SUCCESSES,
    Answer,
    AttemptVerdict,
    OutgoingRequest,
    Reason,
    Status,
    Verdict,
)
from gateway.domain.errors import Malformed
from gateway.domain.holds import Circuits
from gateway.flows.context import Context
from gateway.flows.dialect import judged, not_carried, request_for
from gateway.flows.flights import Flight, UnderWay, first_done_or, free_places
from gateway.flows.hold import counted, hold_before, learn_after
from gateway.flows.leases import renewed
from gateway.flows.precedence import accepting_first
from gateway.flows.settlement import settlement_of
from gateway.plugins import Live
from gateway.store import holds, leases, outbox
from gateway.store.batches import GroupCommit
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.holds import SiteHold
from gateway.store.outbox import ClaimedDelivery, Settlement
from gateway.store.pool import Connection
from gateway.telemetry import log

HTTP_TIMEOUT = timedelta(seconds=10)
"""Of one call of Faurya; no send starts with less lease left, so that nobody else sends the same meanwhile."""

SETTLE_AGAIN_SECONDS = 0.5

GATHER_SECONDS = 0.002
"""How long freed places wait for each other while more is due than calls at a time, to share a claim's commit."""

TOO_LATE = Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.PENDING, spends=False, again_in=timedelta(0))
"""The lease ends before a call could: nothing is sent, and the next claim comes at once."""

IMPOSSIBLE = Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.REJECTED, reason=Reason.REFUSED)
"""The movement has no form in the dialect (an amount beyond every limit); the answer kept says what is wrong."""

Send = Callable[[OutgoingRequest], Awaitable[Answer]]


class HeldMeanwhile(Exception):
    """The site was put on hold between the look at its holds and the claim, which is taken back."""


class Deliverer:
    """Delivers for all sites, each with its own limit, so that a slow one does not hold up another."""

    def __init__(self, context: Context, send: Send) -> None:
        self._context = context
        self._send = send
        self._settler: GroupCommit[Settlement, bool] = GroupCommit(self._settle_batch)
        self._circuits = Circuits()

    async def deliver(
        self, live: Callable[[], Live], site: str, stopping: asyncio.Event, more: asyncio.Event | None = None
    ) -> None:
        """
        Deliver what is due at one site until nothing is, keeping up to `concurrency_per_site` calls under way.

        It claims when `more` says that more is due, after a claim that took all it could, and before it ends: what was
        settled may have made more due.
        `live` is asked at every claim, so that a reload is obeyed by a site that is never idle.
        """
        under_way: UnderWay = {}
        more, wanted = more or asyncio.Event(), True

        async def renew(connection: Connection, until: datetime) -> None:
            rows = [flight.delivery for flight in under_way.values()]
            held = [(row.connection, row.key, row.lease) for row in rows]
            await leases.renew_deliveries(connection, site, held, until)

        async with renewed(self._context, live().config.worker.lease, renew):
            try:
                while not stopping.is_set():
                    await accepting_first(self._context, site, stopping)
                    wanted, full = wanted or more.is_set(), False
                    more.clear()
                    configured = live()
                    free = free_places(under_way, configured.config.worker.concurrency_per_site)
                    if wanted and free > 0:
                        started = await self._start(configured, site, free, stopping, more)
                        under_way |= started
                        wanted = full = len(started) == free
                    if under_way:
                        await first_done_or(more, under_way)
                        wanted = wanted or not under_way
                    elif not more.is_set():
                        return
                    if full:
                        await asyncio.sleep(GATHER_SECONDS)
            finally:
                if under_way:
                    await asyncio.wait(under_way)

    async def _start(self, live: Live, site: str, free: int, stopping: asyncio.Event, more: asyncio.Event) -> UnderWay:
        try:
            claimed, probed = await self._claim(live, site, free)
        except HeldMeanwhile:
            return {}
        flights = [Flight(delivery, probed, len(claimed) == free) for delivery in claimed]
        return {asyncio.create_task(self._attempt(live, flight, stopping, more)): flight for flight in flights}

    async def _claim(self, live: Live, site: str, limit: int) -> tuple[list[ClaimedDelivery], SiteHold | None]:
        """
        Claim due deliveries; of a held site only one, as its probe, and only when it is time for one.

        The claim itself passes over a held site; the look after it sees a hold that began while it was waiting.
        """
        now, lease_for = self._context.now(), live.config.worker.lease
        connections = [name for place, name in live.connections if place == site]
        lease = UUID(bytes=self._context.entropy(16))
        claim = partial(outbox.claim, site=site, connections=connections, now=now, lease=lease, lease_for=lease_for)
        async with self._context.database.transaction() as connection:
            claimed = await claim(connection, limit=limit)
            hold = await holds.find(connection, site)
            if hold is None:
                return claimed, None
            if claimed:
                raise HeldMeanwhile
            if not await holds.start_probe(connection, site, now, lease_for):
                return [], hold
            claimed = await claim(connection, limit=1, held_too=True)
            if not claimed:
                await holds.end_probe(connection, site, lift=False, now=now, again_in=timedelta(0))
        return claimed, hold

    async def _attempt(self, live: Live, flight: Flight, stopping: asyncio.Event, more: asyncio.Event) -> None:
        delivery, probe, started = flight.delivery, flight.probed is not None, perf_counter()
        verdict, answer = await self._tried(live, delivery)
        verdict = counted(self._circuits, delivery.site, verdict, answer, probed=flight.probed)
        settlement = settlement_of(
            delivery,
            verdict,
            answer,
            now=self._context.now(),
            schedule=live.config.retry.schedule,
            draw=self._context.draw(),
            kept=self._context.redaction.clean(answer.body or answer.error or ""),
            milliseconds=round((perf_counter() - started) * 1000),
        )
        if settlement.status in SUCCESSES and verdict.hold is None and not probe:
            flight.answered = True  # another call may begin while this one is written down
            if flight.full:
                more.set()
        await hold_before(self._context, delivery.site, verdict, probe=probe)
        await self._settle(live, delivery, settlement, stopping)
        await learn_after(self._context, delivery.site, verdict, answer, probe=probe)
        self._tell(settlement, verdict, answer)

    async def _tried(self, live: Live, delivery: ClaimedDelivery) -> tuple[Verdict, Answer]:
        site, nothing = live.config.sites[delivery.site], Answer(status=None, sent=False)
        verdict = not_carried(delivery, site)
        if verdict is None and delivery.lease_until - self._context.now() < HTTP_TIMEOUT:
            verdict = TOO_LATE
        if verdict is not None:
            return verdict, nothing
        try:
            request = request_for(live, delivery, site)
        except (ValueError, Malformed) as error:
            return IMPOSSIBLE, replace(nothing, body=str(error))
        with self._context.metrics.delivery_seconds.time():
            answer = await self._send(request)
        return judged(answer, delivery, site), answer

    async def _settle(
        self, live: Live, delivery: ClaimedDelivery, settlement: Settlement, stopping: asyncio.Event
    ) -> None:
        """Settle, and keep trying: an answer that is forgotten may be sent for twice."""
        while True:
            try:
                moved = await self._settler.submit(settlement)
            except StoreError as error:
                if self._given_up(live, delivery, settlement, error, stopping):
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

    def _given_up(
        self, live: Live, delivery: ClaimedDelivery, settlement: Settlement, error: StoreError, stopping: asyncio.Event
    ) -> bool:
        """
        Say whether a result is dropped: one lease after its own, when the delivery is tried again anyway.

        A success is kept until the process stops: with the database away nobody else can send, and it settles late too.
        """
        if self._context.now() < delivery.lease_until + live.config.worker.lease:
            return False
        kept = settlement.status in SUCCESSES and isinstance(error, StoreUnavailable)
        return stopping.is_set() or not kept

    async def _settle_batch(self, batch: Sequence[Settlement]) -> Sequence[bool]:
        async with self._context.database.transaction() as connection:
            return await outbox.settle(connection, batch, self._context.now())

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
