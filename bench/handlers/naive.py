"""What a team writes first: aiohttp, asyncpg, and one INSERT for each webhook, whole and with care."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from bench.handlers.checking import is_genuine
from bench.handlers.serving import Handler, asyncpg_pool, serve

# The gateway's inbox without its five further indexes.
TABLE = """
CREATE TABLE webhooks (
    site text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    event_type text,
    method text NOT NULL,
    headers bytea,
    query text,
    body bytea,
    received_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    remote_ip text,
    proof text NOT NULL,
    seen integer NOT NULL,
    outcome text NOT NULL,
    recorded_at timestamptz,
    PRIMARY KEY (site, connection, event_id)
)
"""

INSERT = """
INSERT INTO webhooks (site, connection, event_id, id, event_type, method, headers, query, body, received_at,
                      last_seen_at, remote_ip, proof, seen, outcome)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, 'signature', 1, 'received')
ON CONFLICT (site, connection, event_id) DO UPDATE
    SET seen = webhooks.seen + 1, last_seen_at = EXCLUDED.last_seen_at
"""


def row_of(request: web.Request, body: bytes, event: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of a webhook."""
    headers = "\r\n".join(f"{name}: {value}" for name, value in request.headers.items()).encode()
    return (
        *(request.match_info["site"], request.match_info["connection"], event["event_id"], uuid4()),
        *(event["event_type"], request.method, headers, request.query_string, body, datetime.now(UTC), request.remote),
    )


@asynccontextmanager
async def made() -> AsyncIterator[Handler]:
    """Yield the handler."""
    key = os.environ["BENCH_SECRET"].encode()
    async with asyncpg_pool() as pool:

        async def handler(request: web.Request) -> web.Response:
            body = await request.read()
            if not is_genuine(request.headers.get("Paddle-Signature", ""), body, key):
                return web.Response(status=401)
            await pool.execute(INSERT, *row_of(request, body, orjson.loads(body)))
            return web.Response()

        yield handler


if __name__ == "__main__":
    serve(made)
