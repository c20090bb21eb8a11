"""Every hold ends, every checkout gets somewhere, and no table with leases is missing from the walk."""

from typing import Any

import orjson
import pytest
from harness import START

from gateway.domain.delivery import Answer, HoldReason
from gateway.domain.revenue import RevenueKind
from gateway.flows.holding import put_on_hold
from gateway.flows.verdict import HOLDS
from gateway.worker import MENDABLE
from tests.properties.conftest import Walks
from tests.properties.pure_site import moved
from tests.properties.walking import Walker, words_of_check
from tests.properties.world import LEASE, probe_now

SALE = moved(RevenueKind.PURCHASE, "p1", "p1", 1000)
BEGUN_BY = {
    HoldReason.BAD_KEY: Answer(status=401),
    HoldReason.QUOTA: Answer(status=429),
    HoldReason.NOT_IMPLEMENTED: Answer(status=501),
    HoldReason.REDIRECTED: Answer(status=302),
    HoldReason.VISITORS_NOT_FOUND: None,
    HoldReason.UNAVAILABLE: None,
    HoldReason.OPERATOR: None,
}
"""The answer of Faurya that holds a site; None: several in a row, or a person."""

PROBED = [reason for reason in HoldReason if reason is not HoldReason.OPERATOR]


async def held(walker: Walker, reason: HoldReason) -> None:
    """A sale is due and its site is on hold."""
    await walker.booked(SALE)
    answer = BEGUN_BY[reason]
    if answer is not None:
        await walker.delivers(answer)
    elif reason is HoldReason.OPERATOR:
        context = walker.gateway.gateway.context
        await put_on_hold(
            context.database, ["acme"], "acme", now=START, note="Faurya moves", redaction=context.redaction
        )
    else:
        await walker.sql(
            "INSERT INTO holds (site, destination, since, until, reason) VALUES ('acme', 'faurya', $1, $2, $3)",
            START, START.replace(hour=13), reason.value,
        )  # fmt: skip
    assert await walker.hold_state() == reason.value
    assert await walker.outbox_state("payment:p1") == "pending: held"
    await walker.is_explained("p1", f"held: {reason.value}")


@pytest.mark.parametrize("reason", PROBED)
async def test_a_hold_is_lifted_by_a_probe_that_works(walks: Walks, reason: HoldReason) -> None:
    async with walks() as walker:
        await held(walker, reason)
        await walker.delivers()
        assert await walker.outbox_state("payment:p1") == "pending: held"
        walker.forward(hours=5)
        await walker.delivers()
        assert await walker.hold_state() is None
        assert await walker.outbox_state("payment:p1") == "recorded"


@pytest.mark.parametrize("reason", PROBED)
async def test_a_hold_whose_prober_died_is_probed_by_another_after_its_lease(walks: Walks, reason: HoldReason) -> None:
    async with walks() as walker:
        await held(walker, reason)
        walker.forward(hours=5)
        await walker.sql("UPDATE holds SET probe_until = $1", walker.gateway.clock() + LEASE)
        await walker.delivers()
        assert await walker.hold_state() == f"{reason.value}, being probed"
        walker.forward(seconds=LEASE.total_seconds())
        await walker.delivers()
        assert (await walker.hold_state(), await walker.outbox_state("payment:p1")) == (None, "recorded")


@pytest.mark.parametrize("reason", MENDABLE)
async def test_a_hold_that_the_configuration_can_end_is_probed_right_after_a_reload(walks: Walks, reason: str) -> None:
    async with walks() as walker:
        await held(walker, HoldReason(reason))
        assert await walker.gateway.gateway.reload()
        await probe_now(walker.gateway)
        await walker.delivers()
        assert (await walker.hold_state(), await walker.outbox_state("payment:p1")) == (None, "recorded")


@pytest.mark.parametrize("reason", PROBED)
async def test_a_hold_with_nothing_to_send_ends_with_the_first_delivery_that_is_due(
    walks: Walks, reason: HoldReason
) -> None:
    async with walks() as walker:
        await held(walker, reason)
        await walker.sql("DELETE FROM outbox")
        await walker.sql("DELETE FROM ledger")
        walker.forward(days=30)
        await walker.delivers()
        assert await walker.hold_state() == reason.value
        await walker.booked(moved(RevenueKind.PURCHASE, "p2", "p2", 1000))
        await walker.delivers()
        assert (await walker.hold_state(), await walker.outbox_state("payment:p2")) == (None, "recorded")


@pytest.mark.parametrize("reason", HoldReason)
async def test_any_hold_ends_with_the_person_who_lifts_it(walks: Walks, reason: HoldReason) -> None:
    async with walks() as walker:
        await held(walker, reason)
        await walker.lifts()
        await walker.delivers()
        assert (await walker.hold_state(), await walker.outbox_state("payment:p1")) == (None, "recorded")


async def test_an_operators_hold_ends_with_nothing_else(walks: Walks) -> None:
    async with walks() as walker:
        await held(walker, HoldReason.OPERATOR)
        walker.forward(days=30)
        await probe_now(walker.gateway)
        await walker.delivers()
        assert await walker.hold_state() == "operator"


def test_the_walk_goes_through_every_reason_of_a_hold() -> None:
    assert set(BEGUN_BY) == set(HoldReason)
    assert {reason.value for reason in HoldReason} == set(HOLDS)


# Checkouts.


async def order(walker: Walker, status: int = 201, **headers: str) -> dict[str, Any]:
    url = f"{walker.gateway.url}/checkouts/acme"
    async with walker.gateway.http.post(url, json={"plan": "pro"}, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        found: dict[str, Any] = orjson.loads(await answer.read())
    return found


async def state_of_checkout(walker: Walker) -> str:
    (row,) = await walker.gateway.rows("SELECT state FROM checkouts")
    return str(row["state"])


async def creator_died(walker: Walker, **headers: str) -> str:
    found = await order(walker, **headers)
    await walker.sql(
        "UPDATE checkouts SET state = 'creating', url = NULL, checkout_id = NULL, lease = gen_random_uuid(), "
        "lease_until = $1",
        walker.gateway.clock() + LEASE,
    )
    return str(found["orderId"])


async def test_a_checkout_whose_creator_died_is_created_by_the_next_request_with_its_key(walks: Walks) -> None:
    key = {"Idempotency-Key": "one"}
    async with walks() as walker:
        order_id = await creator_died(walker, **key)
        assert (await order(walker, 409, **key))["code"] == "idempotency_in_progress"
        walker.forward(seconds=LEASE.total_seconds())
        assert (await order(walker, **key))["orderId"] == order_id
        assert await state_of_checkout(walker) == "created"


async def test_a_checkout_whose_creator_died_without_a_key_is_named_by_the_webhook_of_its_sale(walks: Walks) -> None:
    """Nobody asks for it again; if the buyer pays all the same, its order id claims the money."""
    async with walks() as walker:
        order_id = await creator_died(walker)
        await walker.sql("UPDATE checkouts SET connection = 'own'")
        sale = moved(RevenueKind.PURCHASE, "p1", "p1", 1000, reference=order_id, checkout_id="chk_lost")
        await walker.say("e1", [sale], connection="own")
        await walker.books()
        assert await walker.inbox_state() == "booked"
        assert [row["order_id"] for row in await walker.gateway.rows("SELECT order_id FROM ledger")] == [order_id]


async def test_a_checkout_that_failed_is_tried_again_by_the_next_request_with_its_key(walks: Walks) -> None:
    key = {"Idempotency-Key": "one"}
    async with walks() as walker:
        order_id = (await order(walker, **key))["orderId"]
        await walker.sql("UPDATE checkouts SET state = 'failed', url = NULL, checkout_id = NULL, problem = 'refused'")
        await walker.is_explained(order_id, "failed")
        assert (await order(walker, **key))["orderId"] == order_id
        assert await state_of_checkout(walker) == "created"


async def test_the_walk_goes_through_every_state_that_a_checkout_may_have(walks: Walks) -> None:
    async with walks() as walker:
        assert await words_of_check(walker.gateway, "checkouts") == {"creating", "created", "failed"}


# Everything else that somebody may hold.

WALKED = {"inbox", "outbox", "holds", "checkouts", "sweeps", "watches"}


async def test_no_table_with_a_lease_or_a_due_time_is_left_out_of_the_walk(walks: Walks) -> None:
    async with walks() as walker:
        rows = await walker.gateway.rows(
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND column_name IN ('lease', 'lease_until', 'due_at', 'probe_until')"
        )
        assert {row["table_name"] for row in rows} == WALKED
