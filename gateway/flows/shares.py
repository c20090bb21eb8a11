"""Much work begun at once keeps everybody else from the event loop; begun in shares, it lets them in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

SHARE = 4
"""Readings or lines of one turn of the event loop: less than a millisecond of it."""

Item = TypeVar("Item")


async def in_shares(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yield the items; after each share of them the event loop does first what else there is."""
    for number, item in enumerate(items):
        if number and number % SHARE == 0:
            await asyncio.sleep(0)
        yield item
