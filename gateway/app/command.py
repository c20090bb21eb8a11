"""What a command needs to run flows of its own: the database, the plugins, a context without a worker."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.app.assembly import utc_now
from gateway.app.clock import SharedClock
from gateway.app.database import opened_database
from gateway.app.source import Source
from gateway.config import Config
from gateway.flows.context import Context
from gateway.outbound import client_session
from gateway.plugins import Live, open_all
from gateway.sdk import Runtime
from gateway.telemetry import Metrics, Redaction


@asynccontextmanager
async def at_hand(source: Source, config: Config, redaction: Redaction) -> AsyncIterator[tuple[Context, Live]]:
    """
    Yield a context on the configured database, and the open connections.

    It goes by the workers' clock and wakes nobody: running workers look every second. Raises `PluginUnknown` and the
    errors of `opened_database`.
    """
    async with client_session() as http, opened_database(config, size=2) as database:
        live = open_all(config, source.registry, Runtime(http=http, now=utc_now))
        clock = SharedClock(utc_now)
        await clock.measure(database)
        context = Context(
            database=database,
            now=clock,
            entropy=os.urandom,
            draw=random.SystemRandom().random,
            wake=lambda _site, _work: None,
            metrics=Metrics(),
            redaction=redaction,
        )
        yield context, live
