"""Whatever happened to a connection's sweep, its list is read to the end in the end, and what it has is booked."""

import inspect
from pathlib import Path

import pytest

from gateway.domain.errors import Rejected, Unavailable
from gateway.flows.sweep import PATIENCE
from gateway.flows.turn import LOOK_BACK
from gateway.store import sweep_agenda, sweeps
from tests.properties.sweeping_walker import FAULTS, Seller, selling
from tests.properties.walking import State, Step, Way, each_way, in_turn


def later(**by: float) -> Step:
    async def works_then(seller: Seller) -> None:
        seller.forward(**by)
        await seller.works()

    return works_then


def troubled(cursor: str | None, *faults: Exception) -> Step:
    async def step(seller: Seller) -> None:
        seller.troubles[cursor] = list(faults)

    return step


def dies(at: str | None) -> Step:
    async def step(seller: Seller) -> None:
        await seller.dies(at)

    return step


async def nothing(_seller: Seller) -> None:
    pass


async def begun(seller: Seller) -> None:
    await seller.works()


async def due(seller: Seller) -> None:
    await seller.works()
    seller.forward(hours=1)


async def lists_nothing(seller: Seller) -> None:
    seller.lists = False
    await in_turn(due, Seller.works)(seller)


async def learns_to_list(seller: Seller) -> None:
    seller.lists = True
    await later(hours=1)(seller)


async def page_never_comes(seller: Seller) -> None:
    seller.troubles["b"] = [Unavailable() for _ in range(PATIENCE)]
    for _ in range(PATIENCE):
        await later(hours=1)(seller)


async def comes_back(seller: Seller) -> None:
    await seller.put_back()
    await later(hours=1)(seller)


async def comes_back_late(seller: Seller) -> None:
    """Not so late that its money is left to a person."""
    seller.forward(seconds=LOOK_BACK.total_seconds() - 3600)
    await seller.put_back()
    await seller.works()


async def dies_once_its_page_is_refused(seller: Seller) -> None:
    seller.forward(minutes=1)
    seller.troubles["b"] = [Rejected()]
    await seller.dies(None)


FAILS_AT_ITS_PAGE = in_turn(due, troubled("b", Unavailable()), Seller.works)
BACK = [
    Way("event", "it is put back", comes_back, "at rest"),
    Way("event", "it is put back days later", comes_back_late, "at rest"),
]

STATES = {
    "not begun": State(
        nothing, [Way("time", "the worker sees it, and reads an hour later", in_turn(begun, later(hours=1)), "at rest")]
    ),
    "at rest": State(begun, [Way("time", "the next hour", later(hours=1), "at rest")]),
    "due": State(due, [Way("time", "the worker reads", Seller.works, "at rest")]),
    "being read": State(
        in_turn(due, dies(None)), [Way("time", "a dead worker's lease ends", later(minutes=2), "at rest")]),
    "being read, at a page": State(
        in_turn(due, dies("b")), [Way("time", "a dead worker's lease ends", later(minutes=2), "at rest")]
    ),
    "being read; its old page was refused": State(
        in_turn(FAILS_AT_ITS_PAGE, dies_once_its_page_is_refused),
        [Way("time", "a dead worker's lease ends", later(minutes=2), "at rest")],
    ),
    "broken off, at a page": State(
        in_turn(due, Seller.stops_after_a_page), [Way("time", "the next turn goes on", Seller.works, "at rest")]
    ),
    "failing": State(
        in_turn(due, troubled(None, Unavailable()), Seller.works),
        [Way("time", "the next try", later(minutes=1), "at rest")],
    ),
    "failing, at a page": State(
        FAILS_AT_ITS_PAGE,
        [
            Way("time", "the next try goes on at the page", later(minutes=1), "at rest"),
            Way("time", "its page is refused, and the list read again",
                in_turn(troubled("b", Rejected()), later(minutes=1)), "at rest"),
            Way("time", "its page never comes and is given up", page_never_comes, "failing"),
            Way("time", "its page never came, and the list is read again", in_turn(page_never_comes, later(hours=1)),
                "at rest"),
        ],
    ),
    "lists nothing": State(lists_nothing, [Way("event", "its plugin learns to list", learns_to_list, "at rest")]),
    "of no connection": State(in_turn(begun, Seller.removed), BACK),
    "of no connection; a worker died in it": State(in_turn(due, dies("b"), Seller.removed), BACK),
    "of no connection; it was failing": State(in_turn(FAILS_AT_ITS_PAGE, Seller.removed), BACK),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "number"), [row[:2] for row in each_way(STATES)], ids=[r[2] for r in each_way(STATES)]
)
async def test_a_sweep_gets_out_of(database_url: str, tmp_path: Path, name: str, number: int) -> None:
    way = STATES[name].ways[number]
    async with selling(database_url, tmp_path) as seller:
        await STATES[name].enter(seller)
        assert await seller.sweep_state() == name.partition(";")[0]
        await way.out(seller)
        assert await seller.sweep_state() == way.to
        assert await seller.booked() == ({"p1", "p2"} if way.to == "at rest" else {"p1"})


@pytest.mark.parametrize("cursor", [None, "b"])
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_sweep_that_failed_is_made_up_for_once_the_provider_is_well(
    database_url: str, tmp_path: Path, fault: Exception, cursor: str | None
) -> None:
    async with selling(database_url, tmp_path) as seller:
        await in_turn(due, troubled(cursor, fault), Seller.works)(seller)
        assert (await seller.sweep_state()).startswith("failing")
        await later(minutes=9)(seller)
        assert (await seller.sweep_state(), await seller.booked()) == ("at rest", {"p1", "p2"})


LEFT_BY = {
    "begin": "at rest",
    "claim": "being read",
    "count": "being read",
    "turn_page": "being read, at a page",
    "start_over": "being read; its old page was refused",
    "give_back": "broken off, at a page",
    "fail": "failing, at a page",
    "unsupported": "lists nothing",
    "finish": "at rest",
}
"""In which state each statement leaves a row."""


def test_the_walk_goes_through_what_every_statement_leaves_behind() -> None:
    writers = {name for name, _ in inspect.getmembers(sweeps, inspect.iscoroutinefunction)} - {"find"}
    writers |= {name for name, _ in inspect.getmembers(sweep_agenda, inspect.iscoroutinefunction)} - {"read"}
    assert writers == set(LEFT_BY)
    assert set(LEFT_BY.values()) <= set(STATES)
