"""
Group commit: what arrives at the same time shares one statement and one commit.

A submitter waits only for the batch that it rides in. When nothing or next to nothing is being written, a batch leaves
at once; there is no timer. While more is being written, the next one gathers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, islice
from typing import Generic, TypeVar, cast

from gateway.store.errors import StoreData

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 256
"""Rows of one statement. More made no difference to throughput (`make bench`), only to the memory of a batch."""


CROWD = 24
"""Items that make a batch leave while others are being written; fewer are not worth a commit of their own."""

FEW = 4
"""With fewer items than this being written there is no crowd to gather: what comes leaves at once, beside them."""


class GroupCommit(Generic[Item, Result]):
    """
    Gathers items into batches for `write`, which gets a list and returns a result for each, in order.

    At most `writers` batches are being written at a time. With `patience`, in seconds, whoever waits longer gets a
    `TimeoutError`. One timer serves all who wait: it is set for the oldest of them.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        writers: int = 1,
        patience: float | None = None,
    ) -> None:
        self._write = write
        self._most = writers
        self._patience = patience
        self._waiting: dict[asyncio.Future[Result], tuple[Item, float]] = {}
        self._writing: dict[asyncio.Task[None], Sequence[tuple[asyncio.Future[Result], float]]] = {}
        self._watch: asyncio.TimerHandle | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result once its batch is committed; raise what the write raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        until = 0.0
        if self._patience is not None:
            until = loop.time() + self._patience
            if self._watch is None:
                self._watch = loop.call_at(until, self._give_up)
        self._waiting[future] = item, until
        if len(self._writing) < self._most and self._is_worth_a_batch():
            writer = loop.create_task(self._write_all(), name="group-commit")
            self._writing[writer] = ()
        try:
            return await future
        finally:
            self._waiting.pop(future, None)  # whoever gave up leaves nothing in memory while the database is away

    def _is_worth_a_batch(self) -> bool:
        return len(self._waiting) >= CROWD or sum(map(len, self._writing.values())) < FEW

    def _give_up(self) -> None:
        """Fail whoever has waited for too long, and come back for the next one."""
        loop = asyncio.get_running_loop()
        now, self._watch, following = loop.time(), None, None
        waiting = [(future, until) for future, (_, until) in self._waiting.items()]
        for future, until in chain(*self._writing.values(), waiting):
            if future.done():
                continue
            if until <= now:
                future.set_exception(TimeoutError())
            else:
                following = min(until, following or until)
        if following is not None:
            self._watch = loop.call_at(following, self._give_up)

    async def _write_all(self) -> None:
        me = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            while self._waiting and self._is_worth_a_batch():
                batch = [(item, future, until) for future, (item, until) in islice(self._waiting.items(), MAX_BATCH)]
                for _, future, _ in batch:
                    del self._waiting[future]
                self._writing[me] = [(future, until) for _, future, until in batch]
                wanted = [(item, future) for item, future, _ in batch if not future.done()]
                del batch
                if wanted:
                    await self._write_batch(wanted)
                del wanted
                self._writing[me] = ()
        finally:
            del self._writing[me]

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
        while self._writing:
            await asyncio.wait(self._writing)


def _fail(batch: Sequence[tuple[object, "asyncio.Future[Result]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
