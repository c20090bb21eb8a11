"""
Group commit: what arrives at the same time shares one statement and one commit.

A submitter waits only for the batch that it rides in. When nothing is being written, a batch leaves at once; there is
no timer. While one is being written, the next one gathers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from gateway.store.errors import StoreData

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 256
"""Rows of one statement. More made no difference to throughput (`make bench`), only to the memory of a batch."""


class GroupCommit(Generic[Item, Result]):
    """Gathers items into batches for `write`, which gets a list and returns a result for each, in order."""

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._write = write
        self._waiting: dict[asyncio.Future[Result], Item] = {}
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result once its batch is committed; raise what the write raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[future] = item
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="group-commit")
        try:
            return await future
        finally:
            self._waiting.pop(future, None)  # whoever gave up leaves nothing in memory while the database is away

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [(item, future) for future, item in islice(self._waiting.items(), MAX_BATCH)]
                for _, future in batch:
                    del self._waiting[future]
                wanted = [(item, future) for item, future in batch if not future.done()]
                if wanted:
                    await self._write_batch(wanted)
        finally:
            self._writer = None

    async def _write_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except StoreData as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:  # one bad row must not take the others with it
                for alone in batch:
                    await self._write_batch([alone])
        except Exception as error:  # noqa: BLE001 - every submitter gets the error; the writer itself must go on
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def drain(self) -> None:
        """Return when nothing is being written."""
        while self._writer is not None:
            await asyncio.wait([self._writer])


def _fail(batch: Sequence[tuple[object, "asyncio.Future[Result]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
