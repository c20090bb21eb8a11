"""Every state that a kept webhook can be in has its way out, or is an end that says why."""

from typing import Any, get_args

import pytest

from gateway.domain.errors import Malformed
from gateway.domain.messages import Ignored, IgnoredReason
from gateway.domain.revenue import RevenueKind
from gateway.flows.read import MOST_LOST
from gateway.flows.verdict import IGNORED, WAITING
from tests.properties.conftest import Walks
from tests.properties.pure_site import moved
from tests.properties.walking import State, Step, Walker, Way, constants, each_way, without_a_command, words_of_check
from tests.properties.world import LEASE, claim_and_die

PAID = moved(RevenueKind.PURCHASE, "p1", "p1", 1000)
REFUNDED = moved(RevenueKind.REFUND, "r1", "p1", 300)


def reads(reading: Any, *, again: str = "", connection: str = "live") -> Step:
    async def step(walker: Walker) -> None:
        await walker.say("e1", reading, again=again, connection=connection)
        await walker.books()

    return step


async def arrives(walker: Walker) -> None:
    await walker.say("e1", [PAID])


async def reader_died(walker: Walker) -> None:
    await arrives(walker)
    await claim_and_die(walker.gateway)


async def lease_ends(walker: Walker) -> None:
    walker.forward(seconds=LEASE.total_seconds())
    await walker.books()


async def sale_arrives(walker: Walker) -> None:
    await walker.booked(PAID)


async def wait_ends(walker: Walker) -> None:
    walker.forward(hours=24)
    await walker.books()


async def provider_is_away(walker: Walker) -> None:
    walker.company.away = True
    await arrives(walker)
    await walker.books()


async def provider_comes_back(walker: Walker) -> None:
    walker.company.away = False
    walker.forward(seconds=6)
    await walker.books()


async def provider_stays_away(walker: Walker) -> None:
    for _ in range(4):
        walker.forward(hours=6)
        await walker.books()


async def comes_back_and_repeats(walker: Walker) -> None:
    walker.company.away = False
    await reads([PAID], again="mended")(walker)


async def in_vain(walker: Walker) -> None:
    await provider_is_away(walker)
    await provider_stays_away(walker)
    walker.company.away = False


async def booked_before(walker: Walker) -> None:
    await walker.booked(PAID)
    await reads([PAID])(walker)


async def readers_die_of_it(walker: Walker) -> None:
    for _ in range(MOST_LOST):
        walker.forward(seconds=LEASE.total_seconds())
        await claim_and_die(walker.gateway)
    await lease_ends(walker)


async def plugin_is_mended_and_replays(walker: Walker) -> None:
    walker.company.readings = {body: [PAID] for body in walker.company.readings}
    await walker.replays()
    assert await walker.inbox_state() == "received: due"
    await walker.books()


REPLAY = Way("command", "replay, with a plugin that can read it", plugin_is_mended_and_replays, "booked")
ANOTHER_BODY = Way("event", "a repeat with another body", reads([PAID], again="mended"), "booked")

STATES = {
    "received: due": State(arrives, [Way("time", "the worker reads", Walker.books, "booked")]),
    "received: being read": State(
        reader_died,
        [
            Way("time", "the lease of a dead reader ends", lease_ends, "booked"),
            Way("time", "it ends every process that reads it", readers_die_of_it, "unreadable: plugin_failed"),
        ],
    ),
    "received: waiting_for_sale": State(
        reads([REFUNDED]),
        [
            Way("event", "the sale arrives", sale_arrives, "booked"),
            Way("time", "booking.wait is over", wait_ends, "booked"),
        ],
    ),
    "received: provider_unavailable": State(
        provider_is_away,
        [
            Way("time", "the next try, with the provider back", provider_comes_back, "booked"),
            Way("time", "the schedule is exhausted", provider_stays_away, "unreadable: waited_in_vain"),
            Way("event", "a repeat with another body", comes_back_and_repeats, "booked"),
        ],
    ),
    "unreadable: malformed": State(reads(Malformed("no amount")), [ANOTHER_BODY, REPLAY]),
    "unreadable: plugin_failed": State(reads(KeyError("data")), [ANOTHER_BODY, REPLAY]),
    "unreadable: waited_in_vain": State(in_vain, [ANOTHER_BODY, REPLAY]),
    "ignored: not_final": State(reads(Ignored("not_final")), [ANOTHER_BODY]),
    "ignored: not_revenue": State(reads(Ignored("not_revenue"))),
    "ignored: simulated": State(reads(Ignored("simulated"))),
    "ignored: already_booked": State(booked_before),
    "ignored: other_site": State(reads([PAID], connection="claiming")),
    "booked": State(reads([PAID])),
}


@pytest.mark.parametrize(
    ("name", "number"), [row[:2] for row in each_way(STATES)], ids=[r[2] for r in each_way(STATES)]
)
async def test_a_webhook_gets_out_of(walks: Walks, name: str, number: int) -> None:
    state = STATES[name]
    async with walks(state.basis) as walker:
        await state.enter(walker)
        assert await walker.inbox_state() == name
        await walker.is_explained("e1", name)
        if state.ways:
            way = state.ways[number]
            await way.out(walker)
            assert await walker.inbox_state() == way.to
        else:
            walker.forward(days=400)
            await walker.books()
            assert await walker.inbox_state() == name


def test_the_walk_goes_through_every_reason_that_a_webhook_is_given() -> None:
    reasons = {name.partition(": ")[2] for name in STATES}
    by_code = constants("Failed", 0) | constants("_ended", 2)
    ignored = {name.partition(": ")[2] for name in STATES if name.startswith("ignored")}
    assert ignored == set(IGNORED) >= set(get_args(IgnoredReason))
    assert reasons == by_code | ignored | {"", "due", "being read"}
    assert {name.partition(": ")[2] for name in STATES if name.startswith("received")} - {"due", "being read"} <= set(
        WAITING
    )


async def test_the_walk_goes_through_every_outcome_that_the_table_allows(walks: Walks) -> None:
    async with walks("gross") as walker:
        outcomes = {name.partition(": ")[0] for name in STATES}
        assert await words_of_check(walker.gateway, "inbox") == outcomes


def test_what_is_unreadable_has_a_command() -> None:
    assert without_a_command(STATES, "unreadable") == set()
