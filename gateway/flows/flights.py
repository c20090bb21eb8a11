"""Deliveries under way at one site: how many more may begin, and when it is worth looking."""

import asyncio
from dataclasses import dataclass

from gateway.store.holds import SiteHold
from gateway.store.outbox import ClaimedDelivery
from gateway.telemetry import log

SETTLING = 4
"""Deliveries under way, calls and results that are being written down, in calls at a time."""


@dataclass(slots=True, eq=False)
class Flight:
    """
    A delivery under way; `answered` once it is known that it was recorded, and only writing that down is left.

    `probed` is the hold whose probe it is. `full` says that its claim took as many as it asked for, so that more are
    likely due.
    """

    delivery: ClaimedDelivery
    probed: SiteHold | None
    full: bool
    answered: bool = False


UnderWay = dict[asyncio.Task[None], Flight]


def free_places(under_way: UnderWay, most: int) -> int:
    """Return how many calls may begin; what is only being written down does not count, as long as that keeps up."""
    calling = sum(not flight.answered for flight in under_way.values())
    return max(min(most - calling, SETTLING * most - len(under_way)), 0)


async def first_done_or(more: asyncio.Event, under_way: UnderWay) -> None:
    """Return once something ended, which is taken out, or more is due."""
    signal = asyncio.create_task(more.wait())
    done, _ = await asyncio.wait({*under_way, signal}, return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    for task in [task for task in under_way if task in done]:
        del under_way[task]
        if error := task.exception():
            log().error("delivery.failed", exc_info=error)
