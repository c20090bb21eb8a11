"""How every aiohttp handler here is served: uvloop, no access log, one process."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
from aiohttp import web

from bench.handlers.running import run, told_to_stop

Handler = Callable[[web.Request], Awaitable[web.Response]]

POOL = 20
"""Connections; 10 were slower for one INSERT per webhook on the development machine, 40 no faster."""

QUEUE_POOL = 10
"""The same for each process of a queue: several contenders must find room in Postgres' 100 connections."""


async def alive(_request: web.Request) -> web.Response:
    """Answer the question whether the process is up."""
    return web.Response()


@asynccontextmanager
async def asyncpg_pool(size: int = POOL) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """Yield a pool on BENCH_DATABASE, all its connections open; asyncpg prepares statements by itself."""
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=size, max_size=size) as pool:
        yield pool


def serve(made: Callable[[], AbstractAsyncContextManager[Handler]]) -> None:
    """Serve POST with the handler that `made` yields, on BENCH_PORT, until SIGTERM."""

    async def main() -> None:
        async with made() as handler:
            app = web.Application()
            app.router.add_post("/webhooks/{site}/{connection}", handler)
            app.router.add_get("/", alive)
            await _until_told(app)

    run(main())


async def _until_told(app: web.Application) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["BENCH_PORT"])).start()
    await told_to_stop()
    await runner.cleanup()
