"""
The clock that the workers of several machines share: their own, set by the database's.

A lease is only as good as the clocks that read it: a worker whose clock is fast would take what another is still doing,
and send it a second time. Proofs of webhooks keep the machine's own clock, because the database's may be wrong too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.store import health
from gateway.store.errors import StoreError
from gateway.store.pool import Database
from gateway.telemetry import log

TOLERATED = timedelta(seconds=1)
"""A smaller difference is left alone: it may be the way to the database and back, and no lease is that short."""

MEASURE_SECONDS = 30.0
"""How often; a clock that is stepped, or another database server after a failover, is noticed within one lease."""


@dataclass(slots=True)
class SharedClock:
    """Returns the present moment by the machine's clock, corrected by how far the database's differs from it."""

    own: Callable[[], datetime]
    off: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        """Return the moment, aware UTC."""
        return self.own() + self.off

    async def measure(self, database: Database) -> bool:
        """Compare the clocks; False where the database cannot be asked, and the last correction stays."""
        before = self.own()
        try:
            theirs = await health.clock(database)
        except StoreError:
            return False
        after = self.own()
        off = theirs - (before + (after - before) / 2)
        off = off if abs(off) > TOLERATED + (after - before) / 2 else timedelta(0)
        if abs(off - self.off) > TOLERATED:
            log().warning(
                "clock.differs",
                seconds=round(-off.total_seconds(), 1),
                hint="this machine's clock against the database's",
            )
        self.off = off
        return True

    async def keep(self, database: Database) -> None:
        """Measure now and then, for ever."""
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            await self.measure(database)
