"""
How fast this process asks a provider for lists and checkouts: one call after the other, with pauses, for each plugin.

Limits of providers are shared by everything that comes from one address: all sites, and their buyers' checkouts, which
must never wait for a sweep.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

PACE_SECONDS = 2.0
"""
Between two calls of one plugin: 30 a minute. Paddle allows 240 a minute for each address
(https://developer.paddle.com/api-reference/about/rate-limiting), so that even four processes behind one address leave
half of it to checkouts; Stripe's and Polar's limits are wider.
"""


@dataclass(slots=True)
class Turns:
    """The calls of one plugin. `free_at` is when the next may start, by the monotonic clock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0
    paused_until: float = 0.0


@dataclass(slots=True)
class Paces:
    """The turns of every plugin of this process, over all its sites and connections."""

    seconds: float = PACE_SECONDS
    clock: Callable[[], float] = monotonic
    _turns: dict[str, Turns] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, plugin: str) -> AsyncIterator[None]:
        """Wait for the plugin's next turn; the pause counts from the end of the call."""
        turns = self._turns.setdefault(plugin, Turns())
        async with turns.lock:
            await asyncio.sleep(max(0.0, max(turns.free_at, turns.paused_until) - self.clock()))
            try:
                yield
            finally:
                turns.free_at = self.clock() + self.seconds

    def pause(self, plugin: str, length: timedelta | None) -> None:
        """Obey a provider that asks for a pause: none of the plugin's connections calls before it is over."""
        if length is not None:
            turns = self._turns.setdefault(plugin, Turns())
            turns.paused_until = max(turns.paused_until, self.clock() + length.total_seconds())

    def paused(self, plugin: str) -> bool:
        """Say whether the plugin's provider asked for a pause that is not over."""
        turns = self._turns.get(plugin)
        return turns is not None and turns.paused_until > self.clock()
