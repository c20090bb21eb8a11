"""
Accepting goes first: while a site floods this process with webhooks, its own booking and delivering wait.

They use the same core. What is kept is safe and can be booked later; an answer that comes too late makes the provider
send everything again. Other sites' work goes on.
"""

import asyncio
from time import monotonic

from gateway.flows.context import Context

CROWD = 12
"""Webhooks of one site waiting to be kept at once: two thousand a second, or a database that cannot keep up."""

LONGEST_SECONDS = 1.0
"""Before each claim; so a flood that does not end slows its site's work down and does not stop it."""

LOOK_SECONDS = 0.02


async def accepting_first(context: Context, site: str, stopping: asyncio.Event) -> None:
    """Return when the site has no crowd of webhooks waiting, or at a stop, in any case after `LONGEST_SECONDS`."""
    until = monotonic() + LONGEST_SECONDS
    while (  # noqa: ASYNC110 - each webhook would have to set an event
        context.in_hand[site] >= CROWD and monotonic() < until and not stopping.is_set()
    ):
        await asyncio.sleep(LOOK_SECONDS)
