"""Deliveries due to Faurya: claimed under a lease, settled once, released in the right order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from lines import LEASE, MINUTE, OTHER_LEASE, book, claim, dispatch, ended, entry, rows, settle, sold
from rows import NOON

from gateway.domain.delivery import AttemptVerdict, Earlier, Reason, Status
from gateway.sdk import Attribution, RevenueKind
from gateway.store import bookings, outbox
from gateway.store.pool import Database, open_database

REFUND = RevenueKind.REFUND
LATER = NOON + MINUTE


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


async def put(database: Database, *dispatches: Any) -> None:
    async with database.transaction() as connection:
        await bookings.write(connection, "acme", NOON, "webhook", deliveries=dispatches)


async def state(database: Database) -> list[tuple[Any, ...]]:
    return await rows(database, "SELECT revenue_key, status, reason, due_at FROM outbox ORDER BY revenue_key")


async def test_a_delivery_is_due_when_nothing_is_waited_for(database: Database) -> None:
    waits = {"reason": Reason.WAITING_FOR_AMOUNT, "amount_minor": None}
    await put(database, dispatch("payment:p2", **waits), dispatch("payment:p1"), dispatch("payment:p3",
              status=Status.SKIPPED, reason=Reason.TEST_MODE))  # fmt: skip
    assert await state(database) == [
        ("payment:p1", "pending", None, NOON),
        ("payment:p2", "pending", "waiting_for_amount", None),
        ("payment:p3", "skipped", "test_mode", None),
    ]


@pytest.mark.parametrize(
    ("before", "attempted", "replaced"),
    [
        ({"reason": Reason.WAITING_FOR_AMOUNT, "amount_minor": None}, False, True),
        ({"status": Status.UNATTRIBUTED, "reason": Reason.NO_VISITOR_ID}, False, True),
        ({"status": Status.SKIPPED, "reason": Reason.TEST_MODE}, False, False),
        ({"amount_minor": 1}, True, False),
    ],
)
async def test_a_delivery_is_replaced_only_before_its_first_attempt(
    database: Database, before: dict[str, Any], attempted: bool, replaced: bool
) -> None:
    await book(database, (entry(), dispatch(**before)))
    if attempted:
        await claim(database)
    await put(database, dispatch(amount_minor=4200))
    amounts = await rows(database, "SELECT amount_minor FROM outbox")
    assert (amounts == [(4200,)]) is replaced


async def test_a_claim_takes_what_is_due_and_notes_an_attempt(database: Database) -> None:
    who = Attribution(visitor_id="anna", session_id="s1")
    line = entry(order_id="order-1", carries_order=True, subscription_id="sub_1", attribution=who)
    await book(database, (line, dispatch(order_id_sent="order-1")))
    (claimed,) = await claim(database)
    assert (claimed.site, claimed.connection, claimed.key, claimed.plugin) == (
        "acme",
        "example",
        "payment:p1",
        "example",
    )
    assert (claimed.order_id, claimed.order_id_sent, claimed.subscription_id) == ("order-1", "order-1", "sub_1")
    assert (claimed.kind, claimed.payment_id, claimed.attribution) == (RevenueKind.PURCHASE, "p1", who)
    assert (claimed.amount_minor, claimed.amount_unit, claimed.currency, claimed.api) == (
        6500,
        "minor",
        "USD",
        "revenue",
    )
    assert (claimed.number, claimed.spent, claimed.earlier) == (1, 0, ())
    assert (claimed.lease, claimed.lease_until) == (LEASE, LATER)
    assert await rows(database, "SELECT number, started_at, verdict, status_code FROM attempts") == [
        (1, NOON, None, None)
    ]
    assert await state(database) == [("payment:p1", "pending", None, LATER)]


async def test_a_claim_is_of_one_site_and_its_connections_and_no_larger_than_asked(database: Database) -> None:
    await sold(database, "payment:p1", "payment:p2", "payment:p3")
    await sold(database, "payment:q1", site="globex")
    await book(database, (entry("payment:s1", connection="gone"), dispatch("payment:s1", connection="gone")))
    assert len(await claim(database, limit=2)) == 2
    assert len(await claim(database)) == 1
    assert await claim(database) == []
    assert [one.key for one in await claim(database, site="globex")] == ["payment:q1"]


async def test_what_happened_first_is_sent_first(database: Database) -> None:
    await sold(database, "payment:b", occurred_at=NOON)
    await sold(database, "payment:a", occurred_at=NOON + MINUTE)
    await sold(database, "payment:c", occurred_at=NOON - MINUTE)
    assert [one.key for one in await claim(database)] == ["payment:c", "payment:b", "payment:a"]


async def test_a_lease_that_ended_is_claimed_again_and_knows_what_was_tried(database: Database) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    assert await claim(database, now=LATER - timedelta(seconds=1)) == []
    (second,) = await claim(database, now=LATER, lease=OTHER_LEASE)
    assert (second.number, second.earlier) == (2, (Earlier(status=None, verdict=None),))
    await settle(database, ended(Status.PENDING, number=2, lease=OTHER_LEASE, due_at=LATER, status_code=500))
    (third,) = await claim(database, now=LATER)
    assert third.earlier == (
        Earlier(status=None, verdict=None),
        Earlier(status=500, verdict=AttemptVerdict.UNCLEAR),
    )


async def test_two_claims_at_once_never_share_a_delivery(database: Database) -> None:
    await sold(database, *(f"payment:p{number}" for number in range(40)))
    batches = await asyncio.gather(*(claim(database, limit=10) for _ in range(4)))
    claimed = [one.key for batch in batches for one in batch]
    assert len(claimed) == len(set(claimed)) == 40
    assert await rows(database, "SELECT count(*), max(number) FROM attempts") == [(40, 1)]


async def test_a_result_moves_the_delivery_and_is_noted(database: Database) -> None:
    await sold(database, "payment:p1", "payment:p2")
    await claim(database)
    again = ended(Status.PENDING, key="payment:p2", spent=1, status_code=500, answer="oops")
    assert await settle(database, again, ended()) == [True, True]
    assert await state(database) == [("payment:p1", "recorded", None, None), ("payment:p2", "pending", None, LATER)]
    columns = "status, spent, recorded_at, lease"
    assert await rows(database, f"SELECT {columns} FROM outbox ORDER BY revenue_key") == [
        ("recorded", 0, NOON, None), ("pending", 1, None, None),
    ]  # fmt: skip
    assert await rows(database, "SELECT verdict, status_code, answer, milliseconds FROM attempts ORDER BY 1") == [
        ("recorded", 200, "", 5), ("unclear", 500, "oops", 5),
    ]  # fmt: skip


@pytest.mark.parametrize("was", ["pending", "dead", "rejected"])
async def test_a_late_success_settles_what_is_not_recorded(database: Database, was: str) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    await claim(database, now=LATER, lease=OTHER_LEASE)
    if was != "pending":
        await settle(database, ended(Status(was), number=2, lease=OTHER_LEASE))
    assert await settle(database, ended()) == [True]
    assert await state(database) == [("payment:p1", "recorded", None, None)]


async def test_a_late_success_never_moves_the_first_stamp(database: Database) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    await claim(database, now=LATER, lease=OTHER_LEASE)
    assert await settle(database, ended(number=2, lease=OTHER_LEASE)) == [True]
    assert await settle(database, ended(recorded_at=LATER)) == [False]
    assert await rows(database, "SELECT recorded_at FROM outbox") == [(NOON,)]
    assert await rows(database, "SELECT count(*) FROM attempts WHERE verdict = 'recorded'") == [(2,)]


@pytest.mark.parametrize("status", [Status.PENDING, Status.REJECTED, Status.DEAD, Status.SKIPPED])
async def test_any_other_late_result_is_only_noted(database: Database, status: Status) -> None:
    await sold(database, "payment:p1")
    await claim(database)
    await claim(database, now=LATER, lease=OTHER_LEASE)
    assert await settle(database, ended(status)) == [False]
    assert await state(database) == [("payment:p1", "pending", None, LATER + MINUTE)]
    assert await rows(database, "SELECT number, verdict FROM attempts ORDER BY 1") == [(1, "unclear"), (2, None)]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("late_won", [False, True])
async def test_a_success_wins_over_another_result_of_the_same_delivery_in_one_batch(
    database: Database, swapped: bool, late_won: bool
) -> None:
    await sold(database, "payment:p1", "payment:p2")
    await claim(database)
    await claim(database, now=LATER, lease=OTHER_LEASE)
    results = [
        ended(Status.RECORDED if late_won else Status.REJECTED),
        ended(Status.REJECTED if late_won else Status.RECORDED, number=2, lease=OTHER_LEASE),
        ended(key="payment:p2", number=2, lease=OTHER_LEASE),
    ]
    moved = await settle(database, *(reversed(results) if swapped else results))
    assert sum(moved) == 2
    assert {status for _, status, _, _ in await state(database)} == {"recorded"}


@pytest.mark.parametrize(
    ("late", "moved", "then"), [(Status.RECORDED, True, "recorded"), (Status.DEAD, False, "rejected")]
)
async def test_a_late_result_that_met_the_present_one_goes_by_what_that_one_left(
    database: Database, late: Status, moved: bool, then: str
) -> None:
    await sold(database, "payment:p1", "payment:p2")
    await claim(database)
    await claim(database, now=LATER, lease=OTHER_LEASE)
    async with database.transaction() as connection:
        present = ended(Status.REJECTED, number=2, lease=OTHER_LEASE)
        assert await outbox.settle(connection, [present], NOON) == [True]
        waiting = asyncio.create_task(settle(database, ended(late), ended(key="payment:p2")))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting == [moved, True]
    assert [status for _, status, _, _ in await state(database)] == [then, "recorded"]


async def a_refund(database: Database, **what: Any) -> None:
    values: dict[str, Any] = {"payment_id": "p1", "reason": Reason.WAITING_FOR_SALE, **what}
    line = entry("refund:r1", kind=REFUND, payment_id="p1")
    await book(database, (line, dispatch("refund:r1", **values)))


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (Status.RECORDED, ("pending", None, NOON)),
        (Status.ALREADY_RECORDED, ("pending", None, NOON)),
        (Status.RECORDED_ASSUMED, ("pending", None, NOON)),
        (Status.REJECTED, ("skipped", "sale_not_recorded", None)),
        (Status.DEAD, ("skipped", "sale_not_recorded", None)),
        (Status.UNATTRIBUTED, ("skipped", "sale_not_recorded", None)),
        (Status.PENDING, ("pending", "waiting_for_sale", None)),
    ],
)
async def test_a_refund_goes_where_its_sale_went(
    database: Database, status: Status, then: tuple[str, str | None, Any]
) -> None:
    await sold(database, "payment:p1", "payment:p2")
    await a_refund(database)
    await claim(database, limit=2)
    await settle(database, ended(status), ended(key="payment:p2"))
    assert ("refund:r1", *then) in await state(database)


async def test_a_refund_that_was_given_up_comes_back_when_its_sale_is_recorded(database: Database) -> None:
    await sold(database, "payment:p1")
    await a_refund(database, status=Status.SKIPPED, reason=Reason.SALE_NOT_RECORDED)
    await claim(database)
    await settle(database, ended())
    assert ("refund:r1", "pending", None, NOON) in await state(database)


@pytest.mark.parametrize(
    "what",
    [
        {"reason": Reason.WAITING_FOR_AMOUNT, "amount_minor": None},
        {"status": Status.SKIPPED, "reason": Reason.REFUND_NOT_FORWARDED},
        {"status": Status.RECORDED, "reason": None},
        {"payment_id": "p9"},
    ],
)
async def test_a_refund_that_waits_for_something_else_is_left_alone(database: Database, what: dict[str, Any]) -> None:
    await sold(database, "payment:p1")
    await a_refund(database, **what)
    before = (await state(database))[1]
    await claim(database)
    await settle(database, ended())
    assert (await state(database))[1] == before


async def test_results_of_several_sites_share_a_batch(database: Database) -> None:
    for site in ("acme", "globex"):
        await sold(database, "payment:p1", site=site)
        await claim(database, site=site)
    assert await settle(database, ended(site="globex"), ended(Status.REJECTED), ended(site="nowhere")) == [
        True, True, False,
    ]  # fmt: skip
    assert await rows(database, "SELECT site, status FROM outbox ORDER BY site") == [
        ("acme", "rejected"), ("globex", "recorded"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "streak"),
    [([], 0), ([404, 404], 2), ([404, 200, 404], 1), ([200], 0), ([404] * 12, 10), ([404, None, 404], 2)],
)
async def test_a_row_of_404_is_counted_over_answers_only(
    database: Database, codes: list[int | None], streak: int
) -> None:
    async with database.transaction() as connection:
        for number, code in enumerate(codes):
            await connection.execute(
                "INSERT INTO attempts (site, connection, revenue_key, destination, number, started_at, status_code) "
                "VALUES ('acme', 'example', 'payment:p1', 'faurya', $1, $2, $3)",
                number, NOON + number * MINUTE, code,
            )  # fmt: skip
        assert await outbox.not_found_in_a_row(connection, "acme", 10) == streak
        assert await outbox.not_found_in_a_row(connection, "globex", 10) == 0
