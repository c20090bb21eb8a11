"""The whole way through PgQueuer: the row and the job in one transaction, and a worker that posts."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import orjson
from aiohttp import web
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from pgqueuer.models import Job

from bench.handlers.checking import is_genuine
from bench.handlers.naive import row_of
from bench.handlers.posting import TOGETHER, poster
from bench.handlers.running import run, told_to_stop
from bench.handlers.serving import QUEUE_POOL, Handler, asyncpg_pool, serve

INSERT = """
INSERT INTO webhooks (site, connection, event_id, id, event_type, method, headers, query, body, received_at,
                      last_seen_at, remote_ip, proof, seen, outcome)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, 'signature', 1, 'received')
ON CONFLICT (site, connection, event_id) DO NOTHING RETURNING 1
"""


@asynccontextmanager
async def made() -> AsyncIterator[Handler]:
    """Yield the handler."""
    key = os.environ["BENCH_SECRET"].encode()
    async with asyncpg_pool(QUEUE_POOL) as pool:

        async def handler(request: web.Request) -> web.Response:
            body = await request.read()
            if not is_genuine(request.headers.get("Paddle-Signature", ""), body, key):
                return web.Response(status=401)
            row = row_of(request, body, orjson.loads(body))
            async with pool.acquire() as connection, connection.transaction():
                if await connection.fetchval(INSERT, *row):
                    await Queries(AsyncpgDriver(connection)).enqueue("post", row[2].encode())
            return web.Response()

        yield handler


async def work() -> None:
    """Carry out jobs until SIGTERM."""
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE"])
    queue = PgQueuer.from_asyncpg_connection(connection)
    async with asyncpg_pool(QUEUE_POOL) as pool, poster(pool) as jobs:

        @queue.entrypoint("post")
        async def post(job: Job) -> None:
            await jobs.post((job.payload or b"").decode())

        running = asyncio.create_task(
            queue.run(batch_size=TOGETHER // 2, max_concurrent_tasks=TOGETHER, dequeue_timeout=timedelta(seconds=1))
        )
        stopping = asyncio.create_task(told_to_stop())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        queue.shutdown.set()
        await running


async def install() -> None:
    """Make PgQueuer's tables."""
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE"])
    await Queries.from_asyncpg_connection(connection).install()
    await connection.close()


if __name__ == "__main__":
    match sys.argv[1]:
        case "install":
            run(install())
        case "work":
            run(work())
        case _:
            serve(made)
