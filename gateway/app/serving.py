"""Serving in one process: listen, obey signals, finish what is in hand."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from gateway.app import garbage
from gateway.app.assembly import Running, running
from gateway.app.source import Source
from gateway.config import Config
from gateway.telemetry import Redaction, log

SHUTDOWN_SECONDS = 10.0
"""How long requests in hand may take once the process was told to stop."""


def runner_of(app: web.Application) -> web.AppRunner:
    """Return a runner that leaves bodies as received: a signature covers the compressed bytes, if they are."""
    return web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app`; yield the port (chosen by the system where 0 was asked for). Requests in hand finish at the end."""
    runner = runner_of(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def signals(stop: asyncio.Event, reload: asyncio.Event | None = None) -> Iterator[None]:
    """Set `stop` at SIGINT and SIGTERM, and `reload` at SIGHUP."""
    loop = asyncio.get_running_loop()
    handled = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload is not None:
        handled[signal.SIGHUP] = reload
    for number, event in handled.items():
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def reload_on(gateway: Running, asked: asyncio.Event) -> None:
    """Reload whenever asked, for ever."""
    while True:
        await asked.wait()
        asked.clear()
        await gateway.reload()


async def serve(
    source: Source, config: Config, redaction: Redaction, *, with_worker: bool, with_web: bool = True
) -> None:
    """Run the gateway until SIGINT or SIGTERM; SIGHUP reloads the configuration."""
    stop, reload = asyncio.Event(), asyncio.Event()
    with signals(stop, reload):
        async with running(source, config, with_worker=with_worker, redaction=redaction, apart=not with_web) as gateway:
            reloading = asyncio.create_task(reload_on(gateway, reload))
            try:
                async with _served(gateway, config, with_web=with_web):
                    garbage.settle()
                    log().info("gateway.started", **_place(config, with_web=with_web), worker=with_worker)
                    await stop.wait()
                    log().info("gateway.stopping")
            finally:
                reloading.cancel()
    log().info("gateway.stopped")


def _place(config: Config, *, with_web: bool) -> dict[str, object]:
    if not with_web:
        return {}
    return {"host": config.server.host, "port": config.server.port, "public_url": config.server.public_url}


@asynccontextmanager
async def _served(gateway: Running, config: Config, *, with_web: bool) -> AsyncIterator[None]:
    server = config.server
    if not with_web:
        yield
        return
    async with listening(gateway.application, server.host, server.port):
        if server.metrics_port is None:
            yield
            return
        async with listening(gateway.metrics_application, server.host, server.metrics_port):
            yield
