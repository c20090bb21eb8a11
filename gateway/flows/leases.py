"""
A slow but living worker is not robbed: while work is under way its leases are renewed, long before they end.

A worker that died renews nothing, so its rows are due again within one lease. Every write is fenced by the lease's
token: a worker that was cut off (the database away, the process frozen) can at worst do work that nobody needs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from gateway.flows.context import Context
from gateway.store.errors import StoreError
from gateway.store.pool import Connection
from gateway.telemetry import log

RENEWALS = 3
"""Of a lease's length a third: two renewals may fail before it ends."""

Renew = Callable[[Connection, datetime], Awaitable[None]]


@asynccontextmanager
async def renewed(context: Context, lease_for: timedelta, renew: Renew) -> AsyncIterator[None]:
    """Call `renew` with a transaction and the leases' new end, again and again until the block is left."""
    task = asyncio.create_task(_renewing(context, lease_for, renew), name="renewing")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _renewing(context: Context, lease_for: timedelta, renew: Renew) -> None:
    while True:
        await asyncio.sleep(lease_for.total_seconds() / RENEWALS)
        try:
            async with context.database.transaction() as connection:
                await renew(connection, context.now() + lease_for)
        except StoreError as error:
            log().warning("lease.not_renewed", error=str(error))
