"""Every expected payment is booked or not expected any more, whatever happened meanwhile."""

import inspect
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import Unavailable, Unsupported
from gateway.domain.listed import GRACE, LOOKS
from gateway.domain.revenue import RevenueKind
from gateway.flows.watch import TOO_LATE
from gateway.store import retention, watches
from tests.properties.sweeping_walker import FAULTS, Seller, sale, selling
from tests.properties.walking import State, Step, Way, each_way, in_turn

LAST = len(LOOKS) - 1


async def its_moment_comes(seller: Seller) -> None:
    (row,) = await seller.gateway.rows("SELECT due_at FROM watches")
    seller.gateway.clock.moment = max(row["due_at"], seller.gateway.clock())


async def look(seller: Seller) -> None:
    await its_moment_comes(seller)
    await seller.works()


async def finds(seller: Seller) -> None:
    """The buyer has paid when the next look takes place, long enough ago."""
    await its_moment_comes(seller)
    seller.pays()
    await seller.works()
    assert await seller.booked() == {"p1"}


def looks_in_vain(times: int) -> Step:
    return in_turn(Seller.orders, *[look] * times)


async def due(seller: Seller) -> None:
    await seller.orders()
    seller.forward(minutes=15)


async def worker_dies(seller: Seller) -> None:
    await due(seller)
    await seller.dies("look")


async def just_paid(seller: Seller) -> None:
    await due(seller)
    seller.pays(ago=timedelta(minutes=1))
    await seller.works()
    assert await seller.booked() == set()


async def its_grace_is_over(seller: Seller) -> None:
    seller.forward(seconds=GRACE.total_seconds())
    await seller.works()
    assert await seller.booked() == {"p1"}


async def only_its_refund(seller: Seller) -> None:
    await due(seller)
    moved = {"kind": RevenueKind.REFUND, "occurred_at": seller.gateway.clock() - timedelta(minutes=10)}
    seller.found = [replace(sale("p1", **moved), key="refund:r1")]
    await seller.works()


async def webhook_comes(seller: Seller) -> None:
    await seller.webhook_comes()
    seller.found = AssertionError("nobody needs to ask")
    await look(seller)
    assert await seller.booked() == {"p1"}


async def nobody_works_for_a_day(seller: Seller) -> None:
    seller.forward(seconds=TOO_LATE.total_seconds() + 1)
    await seller.works()


async def away(seller: Seller) -> None:
    seller.found = Unavailable()
    await in_turn(due, Seller.works)(seller)


async def lost_its_find(seller: Seller) -> None:
    seller.found = Unsupported()
    await look(seller)


async def comes_back(seller: Seller) -> None:
    await seller.put_back()
    await finds(seller)


async def comes_back_late(seller: Seller) -> None:
    seller.forward(days=3)
    await seller.put_back()
    await seller.works()


async def never_comes_back(seller: Seller) -> None:
    seller.forward(days=91)
    await seller.forgets()


FOUND = Way("time", "a look finds it paid", finds, "gone")
NOT_FOUND = Way("time", "a look finds nothing", look, "after 1 looks")
WEBHOOK = Way("event", "its webhook comes", webhook_comes, "gone")
CANNOT = Way("event", "its plugin cannot look any more", lost_its_find, "gone")
BACK = [
    Way("event", "the connection is put back", comes_back, "gone"),
    Way("event", "the connection is put back days later", comes_back_late, "gone"),
]

STATES = {
    "after 0 looks": State(Seller.orders, [FOUND, NOT_FOUND, WEBHOOK, CANNOT]),
    **{
        f"after {looks} looks": State(
            looks_in_vain(looks),
            [FOUND, WEBHOOK, Way("time", "a look finds nothing", look, f"after {looks + 1} looks")],
        )
        for looks in range(1, LAST)
    },
    f"after {LAST} looks": State(
        looks_in_vain(LAST), [FOUND, WEBHOOK, Way("time", "the last look finds nothing", look, "gone")]
    ),
    "due": State(due, [FOUND, Way("time", "nobody works for a day", nobody_works_for_a_day, "gone")]),
    "being looked up": State(worker_dies, [FOUND, NOT_FOUND, WEBHOOK]),
    "after 1 looks; its provider was away": State(away, [FOUND]),
    "after 1 looks; it was just paid": State(just_paid, [Way("time", "the grace", its_grace_is_over, "gone"), WEBHOOK]),
    "after 1 looks; its refund was found alone": State(only_its_refund, [FOUND]),
    "of no connection": State(
        in_turn(Seller.orders, Seller.removed),
        [*BACK, Way("time", "retention, as the connection never comes back", never_comes_back, "gone")],
    ),
    "of no connection; a worker died in it": State(in_turn(worker_dies, Seller.removed), BACK),
}


@pytest.mark.parametrize(
    ("name", "number"), [row[:2] for row in each_way(STATES)], ids=[r[2] for r in each_way(STATES)]
)
async def test_an_expected_payment_gets_out_of(database_url: str, tmp_path: Path, name: str, number: int) -> None:
    way = STATES[name].ways[number]
    async with selling(database_url, tmp_path, lists=False) as seller:
        await STATES[name].enter(seller)
        assert await seller.watch_state() == name.partition(";")[0]
        await way.out(seller)
        assert await seller.watch_state() == way.to


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_look_that_failed_is_made_up_for_once_the_provider_is_well(
    database_url: str, tmp_path: Path, fault: Exception
) -> None:
    async with selling(database_url, tmp_path, lists=False) as seller:
        seller.found = fault
        await in_turn(due, Seller.works)(seller)
        assert (await seller.watch_state()).startswith("after ")
        await finds(seller)
        assert await seller.watch_state() == "gone"


LEFT_BY = {
    watches.watch: "after 0 looks",
    watches.claim: "being looked up",
    watches.postpone: "after 1 looks",
    watches.drop: "gone",
    watches.drop_booked: "gone",
    watches.drop_late: "gone",
    retention.forget_watches: "gone",
}
"""In which state each statement leaves a row."""


def test_the_walk_goes_through_what_every_statement_leaves_behind() -> None:
    writers = {one for _, one in inspect.getmembers(watches, inspect.iscoroutinefunction)}
    assert writers | {retention.forget_watches} == set(LEFT_BY)
    assert set(LEFT_BY.values()) <= {*STATES, "gone"}
