"""The whole way through Procrastinate: the row and the job in one transaction, and a worker that posts."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from bench.handlers.checking import is_genuine
from bench.handlers.naive import row_of
from bench.handlers.posting import TOGETHER, Poster, poster
from bench.handlers.running import run
from bench.handlers.serving import QUEUE_POOL, Handler, asyncpg_pool, serve

INSERT = """
INSERT INTO webhooks (site, connection, event_id, id, event_type, method, headers, query, body, received_at,
                      last_seen_at, remote_ip, proof, seen, outcome)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), %s, 'signature', 1, 'received')
ON CONFLICT (site, connection, event_id) DO NOTHING
"""

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"], min_size=1, max_size=QUEUE_POOL))
jobs: list[Poster] = []


@app.task(name="post", queue="faurya")
async def post(event_id: str) -> None:
    """Post one sale."""
    await jobs[0].post(event_id)


@asynccontextmanager
async def made() -> AsyncIterator[Handler]:
    """Yield the handler; it uses psycopg, because job and row must share a transaction."""
    key = os.environ["BENCH_SECRET"].encode()
    pool = AsyncConnectionPool(os.environ["BENCH_DATABASE"], min_size=QUEUE_POOL, max_size=QUEUE_POOL, open=False)
    async with pool, app.open_async():

        async def handler(request: web.Request) -> web.Response:
            body = await request.read()
            if not is_genuine(request.headers.get("Paddle-Signature", ""), body, key):
                return web.Response(status=401)
            row = row_of(request, body, orjson.loads(body))
            async with pool.connection() as connection:
                kept = await connection.execute(INSERT, row)
                if kept.rowcount:
                    await post.configure(connection=connection).defer_async(event_id=row[2])
            return web.Response()

        yield handler


async def work() -> None:
    """Carry out jobs until SIGTERM."""
    async with asyncpg_pool(QUEUE_POOL) as pool, poster(pool) as posting, app.open_async():
        jobs.append(posting)
        await app.run_worker_async(queues=["faurya"], concurrency=TOGETHER, delete_jobs="successful")


async def install() -> None:
    """Make Procrastinate's tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


if __name__ == "__main__":
    match sys.argv[1]:
        case "install":
            run(install())
        case "work":
            run(work())
        case _:
            serve(made)
