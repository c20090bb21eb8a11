"""A running gateway: every part made here, handed to those that need it, and closed in the opposite order."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web

from gateway.app.clock import SharedClock
from gateway.app.database import opened_database
from gateway.app.source import Source
from gateway.config import Config, ConfigError, PluginUnknown, restart_needed, secret_values
from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.flows.context import Context, Work
from gateway.flows.deliver import Deliverer
from gateway.flows.receive import Receiver
from gateway.flows.sweeper import Sweeper
from gateway.outbound import client_session, post, posting_session
from gateway.plugins import Live, open_all
from gateway.sdk import Runtime
from gateway.store.pool import Database
from gateway.telemetry import Metrics, Redaction, log
from gateway.web.bodies import BytesInFlight
from gateway.web.gateway import Gateway
from gateway.web.limiter import CheckoutLimiter
from gateway.web.routes import application, metrics_application
from gateway.worker import LOOK_SECONDS, Worker

KEPT_FREE = 4
"""Connections that the worker leaves to the web: three batches of webhooks at a time, and a checkout or a probe."""

BEAT = timedelta(seconds=30 * LOOK_SECONDS)
"""A worker that has not gone round for this long is stuck."""


def utc_now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Running:
    """A gateway at work. `reload` takes a changed configuration into use without dropping anything."""

    source: Source
    runtime: Runtime
    redaction: Redaction
    live: Live
    context: Context = field(init=False)
    worker: Worker | None = None
    application: web.Application = field(init=False)
    metrics_application: web.Application = field(init=False)

    async def reload(self) -> bool:
        """Read the configuration again. A bad one is reported and the old one stays; return whether it was taken."""
        try:
            config = await asyncio.to_thread(self.source.load)
            live = open_all(config, self.source.registry, self.runtime)
        except (ConfigError, PluginUnknown) as error:
            log().error(
                "config.rejected", mistakes=str(error).splitlines(), hint="the old configuration stays in force"
            )
            return False
        old, self.live = self.live, live
        self.redaction.secrets |= secret_values(config)
        log().info(
            "config.reloaded", sites=sorted(config.sites), needs_restart=list(restart_needed(old.config, config))
        )
        if self.worker is not None:
            await self.worker.probe_now()
            self.worker.look()
        return True

    def worker_beats(self) -> bool:
        """Say whether the worker of this process goes round; True where it runs none."""
        return self.worker is None or self.worker.beats(within=BEAT)


@asynccontextmanager
async def running(
    source: Source,
    config: Config,
    *,
    with_worker: bool,
    now: Callable[[], datetime] = utc_now,
    shared_clock: bool = True,
    redaction: Redaction | None = None,
    apart: bool = False,
) -> AsyncIterator[Running]:
    """
    Yield a gateway made of `config`, its database open, its worker going round; finish what is in hand at the end.

    With `shared_clock` the worker sets its clock by the database's. `apart`: the web is in another process.
    Raises `PluginUnknown` and the errors of `opened_database`.
    """
    redaction = redaction or Redaction()
    redaction.secrets |= secret_values(config)
    async with client_session() as session, posting_session() as faurya:
        runtime = Runtime(http=session, now=now)
        live = open_all(config, source.registry, runtime)
        gateway = Running(source=source, runtime=runtime, redaction=redaction, live=live)
        async with opened_database(config) as database:
            clock = SharedClock(now)
            receiver = _wire(gateway, database)
            if with_worker:
                gateway.worker = _worker(gateway, faurya, clock, apart=apart)
            async with _working(gateway.worker, clock if shared_clock else None, database):
                try:
                    yield gateway
                finally:
                    await receiver.close()


@asynccontextmanager
async def _working(worker: Worker | None, clock: SharedClock | None, database: Database) -> AsyncIterator[None]:
    """Let the worker go round, its clock set by the database's; at the end it finishes what is in hand."""
    if worker is None:
        yield
        return
    keeping = asyncio.create_task(clock.keep(database), name="clock") if clock else None
    task = asyncio.create_task(_work(worker, clock, database), name="worker")
    try:
        yield
    finally:
        worker.stop()
        await task
        if keeping is not None:
            keeping.cancel()


async def _work(worker: Worker, clock: SharedClock | None, database: Database) -> None:
    """Claim nothing before the clock is known: one that is fast would rob the others."""
    while clock and not worker.stopping and not await clock.measure(database):  # noqa: ASYNC110 - of the world outside
        await asyncio.sleep(LOOK_SECONDS)
    await worker.run()


def _worker(gateway: Running, faurya: aiohttp.ClientSession, clock: SharedClock, *, apart: bool) -> Worker:
    async def send(request: OutgoingRequest) -> Answer:
        return await post(faurya, request, gateway.context.now)

    context = replace(gateway.context, now=clock, database=gateway.context.database.leaving(KEPT_FREE))
    sweeper = Sweeper(context, lambda: gateway.live)
    return Worker(context, lambda: gateway.live, Deliverer(context, send), sweeper, apart=apart)


def _wire(gateway: Running, database: Database) -> Receiver:
    def wake(site: str, work: Work, /) -> None:
        if gateway.worker is not None:
            gateway.worker.wake(site, work)

    gateway.context = Context(
        database=database,
        now=gateway.runtime.now,
        entropy=os.urandom,
        draw=random.SystemRandom().random,
        wake=wake,
        metrics=Metrics(),
        redaction=gateway.redaction,
    )
    receiver = Receiver(gateway.context)
    shared = Gateway(
        context=gateway.context,
        live=lambda: gateway.live,
        receiver=receiver,
        in_flight=BytesInFlight(4 * gateway.live.config.server.max_body_bytes),
        limiter=CheckoutLimiter(),
        worker_beats=gateway.worker_beats,
    )
    gateway.application = application(shared, with_metrics=gateway.live.config.server.metrics_port is None)
    gateway.metrics_application = metrics_application(shared)
    return receiver
