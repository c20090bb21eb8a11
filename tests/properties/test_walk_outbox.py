"""Every state that a delivery can be in has its way out, or is an end that says why."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sending import UNCLEAR, Died, deliver

from gateway.domain.delivery import Answer, OutgoingRequest, Reason, Status
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind
from tests.properties.conftest import Walks
from tests.properties.pure_site import moved, who
from tests.properties.walking import OK, State, Step, Walker, Way, each_way, in_turn, without_a_command, words_of_check
from tests.properties.world import LEASE, probe_now

SALE = moved(RevenueKind.PURCHASE, "p1", "p1", 1000, subscription_id="sub1")
NAMED = replace(SALE, attribution=who(1))
RENEWAL = moved(RevenueKind.RENEWAL, "p2", "p2", 1000, subscription_id="sub1", attribution=who(1))
REFUND = moved(RevenueKind.REFUND, "r1", "p1", 300)
TAXED = moved(RevenueKind.REFUND, "r1", "p1", 300, tax=30)
BEHIND = "refund:r1"


def booked(*events: RevenueEvent, site: str = "acme", connection: str = "live") -> Step:
    async def step(walker: Walker) -> None:
        await walker.booked(*events, site=site, connection=connection)

    return step


def delivered(*answers: Answer, site: str = "acme") -> Step:
    async def step(walker: Walker) -> None:
        await walker.delivers(*answers, site=site)

    return step


def replayed(query: str | None = None, visitor: str | None = None) -> Step:
    async def step(walker: Walker) -> None:
        await walker.replays(query, visitor)

    return step


def later(step: Step, **by: float) -> Step:
    async def then(walker: Walker) -> None:
        walker.forward(**by)
        await step(walker)

    return then


async def worker_dies_around_the_call(walker: Walker) -> None:
    await walker.booked(SALE)

    async def send(request: OutgoingRequest) -> Answer:
        raise Died

    await deliver(walker.gateway, send)


async def reload_with_a_good_key(walker: Walker) -> None:
    assert await walker.gateway.gateway.reload()
    await probe_now(walker.gateway)
    await walker.delivers()


async def nobody_knows_the_visitor(walker: Walker) -> None:
    await walker.booked(NAMED, site="globex")
    for hours in (1, 2, 7, 25, 0):
        await walker.delivers(Answer(status=404), site="globex")
        walker.forward(hours=hours)


async def faurya_is_broken_for_days(walker: Walker) -> None:
    await walker.booked(SALE)
    for _ in range(5):
        await walker.delivers(Answer(status=500))
        walker.forward(hours=7)


async def refund_waited_in_vain(walker: Walker) -> None:
    await walker.say("e1", [REFUND])
    await walker.books()
    walker.forward(hours=24)
    await walker.books()


SENT = delivered()
REPLAY = Way("command", "replay", replayed(), "pending: due")
NO_MONEY = replace(SALE, amount=Money(0, "USD"))

STATES = {
    "pending: due": State(booked(SALE), [Way("time", "the worker sends it", SENT, "recorded")]),
    "pending: being sent": State(
        worker_dies_around_the_call,
        [Way("time", "the lease of a dead worker ends", later(SENT, seconds=LEASE.total_seconds()), "recorded")],
    ),
    "pending: again later": State(
        in_turn(booked(SALE), delivered(UNCLEAR)), [Way("time", "the schedule", later(SENT, seconds=7), "recorded")]
    ),
    "pending: held": State(
        in_turn(booked(SALE), delivered(Answer(status=401))),
        [
            Way("time", "the next probe", later(SENT, minutes=7), "recorded"),
            Way("event", "a reload with a good key", reload_with_a_good_key, "recorded"),
            Way("command", "holds lift", Walker.lifts, "pending: due"),
        ],
    ),
    "pending: waiting_for_sale": State(
        booked(SALE, REFUND),
        [
            Way("event", "the sale is recorded", SENT, "recorded"),
            Way("event", "the sale is refused", delivered(Answer(status=422)), "skipped: sale_not_recorded"),
        ],
        key=BEHIND,
    ),
    "pending: waiting_for_sale, whose figure is not known": State(
        booked(SALE, TAXED),
        [
            Way(
                "event",
                "a late figure makes the sale due",
                in_turn(booked(replace(SALE, tax=Money(100, "USD"))), SENT),
                "recorded",
            ),
            Way(
                "event",
                "a late figure shows that there is nothing to send",
                booked(replace(SALE, tax=Money(1000, "USD"))),
                "skipped: sale_not_recorded",
            ),
        ],
        key=BEHIND,
        basis="net_of_tax",
    ),
    "pending: waiting_for_amount": State(
        booked(SALE),
        [Way("event", "the figure arrives", booked(replace(SALE, tax=Money(100, "USD"))), "pending: due")],
        basis="net_of_tax",
    ),
    "unattributed: no_visitor_id": State(
        booked(SALE, site="globex"),
        [
            Way("event", "a later webhook of the sale has the ids", booked(NAMED, site="globex"), "pending: due"),
            Way("event", "a sale of the same subscription has them", booked(RENEWAL, site="globex"), "pending: due"),
            Way("command", "replay --attribute", replayed("p1", "anna"), "pending: due"),
        ],
    ),
    "rejected: refused": State(in_turn(booked(SALE), delivered(Answer(status=422))), [REPLAY]),
    "rejected: visitor_not_found": State(nobody_knows_the_visitor, [REPLAY]),
    "dead: schedule_exhausted": State(faurya_is_broken_for_days, [REPLAY]),
    "skipped: sale_not_recorded": State(
        refund_waited_in_vain,
        [Way("event", "the sale arrives and is recorded", in_turn(booked(SALE), SENT), "recorded")],
        key=BEHIND,
    ),
    "skipped: sale_not_recorded, as Faurya refused the sale": State(
        in_turn(booked(SALE, REFUND), delivered(Answer(status=422))),
        [
            Way("command", "replay of both", replayed("p1"), "pending: waiting_for_sale"),
            Way("command", "replay of the sale, which is then recorded", in_turn(replayed(), SENT, SENT), "recorded"),
        ],
        key=BEHIND,
    ),
    "recorded": State(in_turn(booked(SALE), SENT)),
    "already_recorded": State(
        in_turn(booked(SALE), delivered(UNCLEAR), later(delivered(Answer(status=409)), seconds=7))
    ),
    "already_recorded: not_by_this_gateway": State(in_turn(booked(SALE), delivered(Answer(status=409)))),
    "recorded_assumed": State(
        in_turn(booked(SALE), delivered(UNCLEAR), later(delivered(Answer(status=400)), seconds=7))
    ),
    "skipped: test_mode": State(booked(SALE, connection="test")),
    "skipped: zero_amount": State(booked(NO_MONEY)),
    "skipped: refund_not_forwarded": State(booked(SALE, REFUND, connection="live"), key=BEHIND),
    "skipped: currency_not_accepted": State(booked(replace(SALE, amount=Money(5, "EUR")))),
    "skipped: forwarding_off": State(booked(SALE, connection="elsewhere")),
    "skipped: unsupported_by_destination": State(booked(NAMED, REFUND, site="globex"), key=BEHIND),
}
CONFIGURED = {
    "skipped: refund_not_forwarded": ("forward_refunds: true", "forward_refunds: false"),
    "skipped: currency_not_accepted": ("forward_test: false", "forward_test: false, currencies: [USD]"),
}
"""What the configuration says where a state needs it."""


@pytest.mark.parametrize(
    ("name", "number"), [row[:2] for row in each_way(STATES)], ids=[r[2] for r in each_way(STATES)]
)
async def test_a_delivery_gets_out_of(walks: Walks, name: str, number: int) -> None:
    state = STATES[name]
    async with walks(state.basis, *CONFIGURED.get(name, ())) as walker:
        await state.enter(walker)
        assert await walker.outbox_state(state.key) == name.partition(",")[0]
        await walker.is_explained(state.key.partition(":")[2], name)
        if state.ways:
            way = state.ways[number]
            await way.out(walker)
            assert await walker.outbox_state(state.key) == way.to
        else:
            await _is_at_rest(walker, state.key)


async def _is_at_rest(walker: Walker, key: str) -> None:
    """An end: no time takes it out, and nothing is asked of Faurya any more."""
    before = await walker.outbox_state(key)
    (row,) = await walker.gateway.rows("SELECT due_at, lease, attempts FROM outbox WHERE revenue_key = $1", key)
    assert (row["due_at"], row["lease"]) == (None, None)
    walker.gateway.clock.forward(timedelta(days=400))
    for site in ("acme", "globex"):
        await walker.books(site)
        await walker.delivers(OK, site=site)
    assert await walker.outbox_state(key) == before
    (after,) = await walker.gateway.rows("SELECT due_at, lease, attempts FROM outbox WHERE revenue_key = $1", key)
    assert after == row


def test_the_walk_goes_through_every_status_and_every_reason() -> None:
    parts = [name.partition(",")[0].partition(": ") for name in STATES]
    assert {status for status, _, _ in parts} == {status.value for status in Status}
    assert {reason for _, _, reason in parts} - {""} == {reason.value for reason in Reason} | {
        "due", "being sent", "again later", "held",
    }  # fmt: skip


async def test_the_walk_goes_through_every_status_that_the_table_allows(walks: Walks) -> None:
    async with walks("gross") as walker:
        assert await words_of_check(walker.gateway, "outbox") == {name.partition(":")[0] for name in STATES}


def test_what_was_not_recorded_for_a_fault_has_a_command() -> None:
    assert without_a_command(STATES, "rejected", "dead", "unattributed") == set()
