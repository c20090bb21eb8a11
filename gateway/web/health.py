"""Probes and metrics."""

import asyncio

from aiohttp import web

from gateway.plugins import Live
from gateway.store import health
from gateway.store.errors import StoreError
from gateway.store.schema import check_schema
from gateway.telemetry import Backlog
from gateway.web.errors import Problem
from gateway.web.gateway import GATEWAY, Gateway

PROBE_SECONDS = 2.0


async def alive(_request: web.Request) -> web.Response:
    """Answer while the process lives."""
    return web.Response(text="alive\n")


async def ready(request: web.Request) -> web.Response:
    """Answer 200 while webhooks can be kept, the schema suffices and the worker (where there is one) works."""
    gateway = request.app[GATEWAY]
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await health.try_write(gateway.context.database, gateway.context.now())
            await check_schema(gateway.context.database)
    except (StoreError, TimeoutError) as error:
        detail = str(error) or "the database did not answer in time"
        raise Problem(503, "not_ready", detail) from error
    if not gateway.worker_beats():
        raise Problem(503, "not_ready", "the worker does not beat; see the log")
    return web.Response(text="ready\n")


async def metrics(request: web.Request) -> web.Response:
    """Answer the metrics; while the database is away, those that it does not need."""
    gateway = request.app[GATEWAY]
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            backlog = await _backlog(gateway, gateway.live())
    except (StoreError, TimeoutError):
        backlog = Backlog()
    body = gateway.context.metrics.expose(backlog)
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _backlog(gateway: Gateway, live: Live) -> Backlog:
    now = gateway.context.now()
    async with gateway.context.database.reading() as connection:
        sites = await health.backlog(connection, sorted(live.connections), now)
        last = await health.last_webhooks(connection, sorted(live.connections))
        swept = await health.last_sweeps(connection, sorted(live.connections))
    waits = [(site, max(0.0, (now - due).total_seconds()) if due else 0.0) for site, due, _, _ in sites]
    return Backlog(
        oldest_due_seconds=tuple(waits),
        outbox_due=tuple((site, due) for site, _, due, _ in sites),
        held=tuple((site, held) for site, _, _, held in sites),
        last_webhook=tuple((site, name, at.timestamp()) for site, name, at in last if at),
        last_sweep=tuple((site, name, at.timestamp()) for site, name, at in swept),
    )
