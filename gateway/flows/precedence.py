"""
Who goes first while a site floods this process with webhooks: accepting before work, and other sites before that one.

Everything uses the same core. What is kept is safe and can be booked later; an answer that comes too late makes the
provider send everything again. So the flooded site's own booking and delivering wait, and its webhooks wait for each
other. Other sites' work and webhooks go on.
"""

import asyncio
from collections import defaultdict
from functools import partial
from time import monotonic

from gateway.flows.context import Context

CROWD = 12
"""Webhooks of one site waiting to be kept at once: two thousand a second, or a database that cannot keep up."""

LONGEST_SECONDS = 1.0
"""Before each claim; so a flood that does not end slows its site's work down and does not stop it."""

LOOK_SECONDS = 0.02

BESIDE_OTHERS = 12
"""
Webhooks of one site that a process keeps at once beside other sites' webhooks; the next ones wait for their turn. So
another site's webhook has at most so many of a flooded one before it, where it counts: at the processor.
"""

BESIDE_SECONDS = 5.0
"""How long a webhook of another site makes a site be beside others. One that is alone waits for nobody."""


async def accepting_first(context: Context, site: str, stopping: asyncio.Event) -> None:
    """Return when the site has no crowd of webhooks waiting, or at a stop, in any case after `LONGEST_SECONDS`."""
    until = monotonic() + LONGEST_SECONDS
    while (  # noqa: ASYNC110 - each webhook would have to set an event
        context.in_hand[site] >= CROWD and monotonic() < until and not stopping.is_set()
    ):
        await asyncio.sleep(LOOK_SECONDS)


class Turns:
    """The turns of each site to have its webhooks kept."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(partial(asyncio.Semaphore, BESIDE_OTHERS))
        self._latest: str | None = None
        self._beside_until = 0.0

    def of(self, site: str) -> asyncio.Semaphore | None:
        """Note that a webhook of the site is here; return what it has to hold while it is kept, if anything."""
        now = monotonic()
        if site != self._latest:
            self._beside_until = now + BESIDE_SECONDS if self._latest else 0.0
            self._latest = site
        return self._turns[site] if now < self._beside_until else None
