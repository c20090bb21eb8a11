"""The job of a queue's task: read the kept webhook, post the sale to Faurya, note it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import orjson

HEADERS = {"content-type": "application/json", "x-faurya-site-id": "acme", "x-faurya-write-key": "made-up"}
TOGETHER = 64
"""Tasks at a time, and calls at a time of the gateway beside them, which has an eighth of it by default."""

BODY = "SELECT body FROM webhooks WHERE site = 'acme' AND connection = 'paddle' AND event_id = $1"
NOTE = """
UPDATE webhooks SET recorded_at = now(), outcome = 'recorded'
WHERE site = 'acme' AND connection = 'paddle' AND event_id = $1
"""


class Poster:
    """Carries out jobs."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", session: aiohttp.ClientSession) -> None:
        self._pool, self._session = pool, session
        self._url = os.environ["BENCH_FAURYA"] + "/api/revenue"

    async def post(self, event_id: str) -> None:
        """Record one sale; raise where Faurya does not take it, so that the queue tries again."""
        sale = sale_of(orjson.loads(await self._pool.fetchval(BODY, event_id)))
        headers = {**HEADERS, "Idempotency-Key": sale["providerPaymentId"]}
        async with self._session.post(self._url, data=orjson.dumps(sale), headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()
        await self._pool.execute(NOTE, event_id)


def sale_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return what Faurya wants to know of a completed transaction."""
    data = event["data"]
    custom = data.get("custom_data") or {}
    return {
        "event": "purchase",
        "amount": int(data["details"]["totals"]["grand_total"]),
        "currency": data["currency_code"],
        "orderId": custom.get("orderId"),
        "provider": "paddle",
        "providerPaymentId": data["id"],
        "attribution": {name: custom.get(name) for name in ("faVisitorId", "faSessionId", "faAttributionToken")},
    }


@asynccontextmanager
async def poster(pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[Poster]:
    """Yield a poster with connections that are kept."""
    connector = aiohttp.TCPConnector(limit=TOGETHER)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Poster(pool, session)
