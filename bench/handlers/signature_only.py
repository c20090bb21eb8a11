"""The limit: an aiohttp handler that checks the signature and keeps nothing."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bench.handlers.checking import is_genuine
from bench.handlers.serving import Handler, serve


@asynccontextmanager
async def made() -> AsyncIterator[Handler]:
    """Yield the handler."""
    key = os.environ["BENCH_SECRET"].encode()

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        if not is_genuine(request.headers.get("Paddle-Signature", ""), body, key):
            return web.Response(status=401)
        return web.Response()

    yield handler


if __name__ == "__main__":
    serve(made)
