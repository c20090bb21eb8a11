"""
Webhooks as received leave after `retention.raw_days`: bodies, headers, queries and addresses. The ledger stays.

What leaves is what may hold personal data. The row of each webhook stays, with its key, outcome and reason, so that a
repeat is recognised for ever. A webhook that is still to be read keeps its bytes until it is read; an unreadable one
keeps them for `replay` no longer than the others. Expected payments of connections that were removed leave as well.

Every process may do this at the same time; rows that one has locked are skipped by the other.
"""

import asyncio
from datetime import datetime, timedelta
from time import perf_counter

from gateway.config import Config
from gateway.flows.context import Context
from gateway.store import retention
from gateway.telemetry import log

ROWS = 500
"""Rows of one transaction: some tens of milliseconds, for which a repeat of one of these webhooks may have to wait."""

LEAST_PAUSE_SECONDS = 0.02


async def forget_old(context: Context, config: Config, stopping: asyncio.Event) -> None:
    """Forget what is older than `retention.raw_days`, in small batches, until nothing is left or `stopping` is set."""
    before = context.now() - timedelta(days=config.retention.raw_days)
    async with context.database.transaction() as connection:
        await retention.forget_callers(connection, before)
        await retention.forget_watches(connection, before)
        sites = await retention.sites(connection, before)
    forgotten = 0
    for site in sites:
        forgotten += await _forget_site(context, site, before, stopping)
    if forgotten:
        log().info("raw.forgotten", webhooks=forgotten, before=before.isoformat())


async def _forget_site(context: Context, site: str, before: datetime, stopping: asyncio.Event) -> int:
    forgotten = 0
    while not stopping.is_set():
        started = perf_counter()
        async with context.database.transaction() as connection:
            batch = await retention.forget(connection, site, before, ROWS)
        forgotten += batch
        if batch < ROWS:
            break
        # as long as the batch took: half of the time belongs to others, and autovacuum keeps up
        await asyncio.sleep(max(LEAST_PAUSE_SECONDS, perf_counter() - started))
    return forgotten
