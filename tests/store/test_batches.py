"""Group commit: who rides together, who waits, and who fails."""

import asyncio
import gc
import weakref
from collections.abc import Sequence

import pytest

from gateway.store.batches import CROWD, FEW, MAX_BATCH, GroupCommit
from gateway.store.errors import StoreData, StoreUnavailable


class Writer:
    """Writes slowly when told to, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[object]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.bad: set[object] = set()

    async def __call__(self, batch: Sequence[object]) -> Sequence[str]:
        self.batches.append(list(batch))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.bad & set(batch):
            raise StoreData
        return [f"{item} written" for item in batch]


async def test_an_idle_writer_writes_at_once() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    async with asyncio.timeout(0.1):
        assert await commit.submit("a") == "a written"
    assert writer.batches == [["a"]]


async def test_what_arrives_together_shares_one_write_and_each_gets_its_own_result() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    assert await asyncio.gather(*(commit.submit(n) for n in range(50))) == [f"{n} written" for n in range(50)]
    assert writer.batches == [list(range(50))]


async def test_what_arrives_during_a_write_gathers_into_the_next_one() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer)
    first = asyncio.create_task(commit.submit("first"))
    await asyncio.sleep(0)
    later = [asyncio.create_task(commit.submit(name)) for name in "abc"]
    await asyncio.sleep(0.01)
    assert writer.batches == [["first"]]
    writer.gate.set()
    await asyncio.gather(first, *later)
    assert writer.batches == [["first"], ["a", "b", "c"]]


async def test_a_batch_has_at_most_so_many_rows() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    await asyncio.gather(*(commit.submit(n) for n in range(MAX_BATCH + 1)))
    assert [len(batch) for batch in writer.batches] == [MAX_BATCH, 1]


async def test_a_bad_row_fails_alone() -> None:
    writer = Writer()
    writer.bad = {"bad"}
    commit = GroupCommit(writer)
    found = await asyncio.gather(*(commit.submit(name) for name in ("a", "bad", "b")), return_exceptions=True)
    assert found[0] == "a written"
    assert isinstance(found[1], StoreData)
    assert found[2] == "b written"


async def test_an_error_reaches_every_submitter_and_the_next_batch_is_written_all_the_same() -> None:
    writer = Writer()
    writer.error = StoreUnavailable()
    commit = GroupCommit(writer)
    found = await asyncio.gather(commit.submit("a"), commit.submit("b"), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailable, StoreUnavailable]
    writer.error = None
    assert await commit.submit("c") == "c written"


async def test_whoever_gave_up_before_the_write_is_not_written() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer)
    first = asyncio.create_task(commit.submit("first"))
    await asyncio.sleep(0)
    gone = asyncio.create_task(commit.submit("gone"))
    stays = asyncio.create_task(commit.submit("stays"))
    await asyncio.sleep(0)
    gone.cancel()
    writer.gate.set()
    assert await first == "first written"
    assert await stays == "stays written"
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert writer.batches == [["first"], ["stays"]]


async def test_when_all_who_waited_gave_up_nothing_is_written() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    gone = asyncio.create_task(commit.submit("gone"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    await commit.drain()
    assert writer.batches == []
    assert await commit.submit("next") == "next written"


@pytest.mark.parametrize("error", [None, StoreData(), StoreUnavailable()])
async def test_giving_up_during_the_write_does_not_hurt_the_others(error: Exception | None) -> None:
    writer = Writer()
    writer.gate.clear()
    writer.error = error
    commit = GroupCommit(writer)
    gone, stays = (asyncio.create_task(commit.submit(name)) for name in ("gone", "stays"))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.wait([gone])
    writer.gate.set()
    if error is None:
        assert await stays == "stays written"
    else:
        with pytest.raises(type(error)):
            await stays


async def test_whoever_gave_up_leaves_nothing_in_memory_while_a_write_hangs() -> None:
    class Item:
        pass

    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer)
    first = asyncio.create_task(commit.submit("first"))
    await asyncio.sleep(0)
    item = Item()
    trace = weakref.ref(item)
    waits = asyncio.create_task(commit.submit(item))
    await asyncio.sleep(0.01)
    waits.cancel()
    await asyncio.wait([waits])
    del item, waits
    gc.collect()
    assert trace() is None
    writer.gate.set()
    await first


async def test_draining_waits_for_all_writes() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer)
    tasks = [asyncio.create_task(commit.submit(n)) for n in range(MAX_BATCH + 1)]
    await asyncio.sleep(0)
    draining = asyncio.create_task(commit.drain())
    await asyncio.sleep(0.01)
    assert not draining.done()
    writer.gate.set()
    await draining
    await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    await commit.drain()


async def test_whoever_waits_too_long_is_told_so_written_or_not_and_the_later_ones_at_their_own_time() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer, patience=0.2)
    written, waits = (asyncio.create_task(commit.submit(name)) for name in ("written", "waits"))
    await asyncio.sleep(0)
    later = asyncio.create_task(commit.submit("later"))
    await asyncio.sleep(0.1)
    last = asyncio.create_task(commit.submit("last"))
    for task in (written, waits, later):
        with pytest.raises(TimeoutError):
            await task
    assert not last.done()
    writer.gate.set()
    assert await last == "last written"
    assert writer.batches == [["written", "waits"], ["last"]]


async def test_a_patience_that_was_not_needed_hurts_nobody_afterwards() -> None:
    writer = Writer()
    commit = GroupCommit(writer, patience=0.05)
    assert await commit.submit("a") == "a written"
    await asyncio.sleep(0.1)
    writer.gate.clear()
    slow = asyncio.create_task(commit.submit("slow"))
    with pytest.raises(TimeoutError):
        await slow


async def test_what_comes_while_few_are_written_leaves_at_once_beside_them() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer, writers=3)
    tasks = []
    for n in range(5):
        tasks.append(asyncio.create_task(commit.submit(n)))
        await asyncio.sleep(0.01)
    assert writer.batches == [[0], [1], [2]], "no more than the writers there are"
    writer.gate.set()
    await asyncio.gather(*tasks)
    assert writer.batches[3:] == [[3, 4]]


async def test_a_crowd_does_not_wait_for_the_write_before_it_and_a_few_do() -> None:
    writer = Writer()
    writer.gate.clear()
    commit = GroupCommit(writer, writers=2)
    first = list(range(-FEW, 0))
    tasks = [asyncio.create_task(commit.submit(n)) for n in first]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(commit.submit(n)) for n in range(1, CROWD)]
    await asyncio.sleep(0.01)
    assert writer.batches == [first]
    tasks += [asyncio.create_task(commit.submit(n)) for n in range(CROWD, 3 * CROWD)]
    await asyncio.sleep(0.01)
    assert writer.batches == [first, list(range(1, 3 * CROWD))]
    late = asyncio.create_task(commit.submit("late"))
    await asyncio.sleep(0.01)
    assert len(writer.batches) == 2
    writer.gate.set()
    await asyncio.gather(*tasks, late)
    assert writer.batches[2:] == [["late"]]
    await commit.drain()
