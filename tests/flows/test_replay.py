"""What ended badly is tried again, once, with the same key; and nothing else changes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from harness import Harness
from replaying import SHORT, applied, contents, dead, end, keys_of, left, planned, replayed, sold, told
from sending import OK, UNCLEAR, Calls, Slow, attempts, book_all_of, deliver

from gateway.domain.delivery import Answer
from gateway.flows.naming import CannotName
from gateway.flows.replay import BATCH, Done, carry_out
from gateway.sdk import Attribution, Money, RevenueKind
from gateway.store import replays
from gateway.store.pool import StoreConflict

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND
ANNA = Attribution(visitor_id="anna")
REFUSED = Answer(status=422, body="currency: unknown")
NOT_FOUND = Answer(status=404)
SOON = timedelta(seconds=7)


async def test_a_dead_delivery_is_recorded_once_with_the_same_key(still: Harness) -> None:
    await sold(still, "p1", attribution=ANNA)
    before = Calls([UNCLEAR])
    await deliver(still, before)
    still.clock.forward(SOON)
    await deliver(still, before)
    assert await still.deliveries() == {"payment:p1": ("dead", "schedule_exhausted")}
    plan = await planned(still)
    assert told(plan) == [
        ("payment:p1", "dead: schedule_exhausted, 2 attempts (2 spent)", "pending: due now, none spent")
    ]
    assert (plan.size, plan.has_problem, plan.left_alone) == (1, False, [])
    assert await applied(still, plan) == Done(deliveries=1)
    assert await still.rows("SELECT status, reason, attempts, spent, due_at, lease FROM outbox") == [
        {"status": "pending", "reason": None, "attempts": 2, "spent": 0, "due_at": still.clock(), "lease": None}
    ]
    after = Calls([OK])
    await deliver(still, after)
    assert await still.deliveries() == {"payment:p1": ("recorded", None)}
    assert len(set(keys_of(before) + keys_of(after))) == 1
    assert len(after.asked) == 1
    assert await attempts(still) == [(1, None, "unclear"), (2, None, "unclear"), (3, 200, "recorded")]


async def test_an_earlier_unclear_attempt_still_counts_for_judging(still: Harness) -> None:
    await dead(still, "p1")
    await replayed(still)
    await deliver(still, Calls([Answer(status=400, body="no")]))
    assert await still.deliveries() == {"payment:p1": ("recorded_assumed", None)}


async def test_a_replay_gets_the_whole_schedule_again(still: Harness) -> None:
    await dead(still, "p1")
    await replayed(still)
    await deliver(still, Calls([UNCLEAR]))
    assert await still.deliveries() == {"payment:p1": ("pending", None)}
    await end(still, UNCLEAR)
    assert await still.deliveries() == {"payment:p1": ("pending", None)}
    await end(still, UNCLEAR)
    assert await still.deliveries() == {"payment:p1": ("dead", "schedule_exhausted")}


async def test_a_rejected_delivery_is_sent_again(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([REFUSED]))
    plan = await planned(still, statuses=frozenset({"rejected"}))
    assert told(plan) == [("payment:p1", "rejected: refused, 1 attempt", "pending: due now")]
    await applied(still, plan)
    await deliver(still, Calls([OK]))
    assert await still.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_visitor_that_was_not_found_is_tried_once_more(payments: Harness) -> None:
    await sold(payments, "p1", attribution=ANNA)
    await end(payments, *[NOT_FOUND] * 5)
    assert await payments.deliveries() == {"payment:p1": ("rejected", "visitor_not_found")}
    await replayed(payments)
    await end(payments, NOT_FOUND)
    assert await payments.deliveries() == {"payment:p1": ("rejected", "visitor_not_found")}
    await replayed(payments)
    await deliver(payments, Calls([OK]))
    assert await payments.deliveries() == {"payment:p1": ("recorded", None)}


async def test_looking_changes_nothing(payments: Harness) -> None:
    await dead(payments, "p1", "p2", attribution=ANNA)
    await sold(payments, "p3", "p4", subscription_id="s1")
    before = await contents(payments)
    plan = await planned(payments, "p3", "anna")
    assert (plan.size, len(plan.heirs)) == (1, 1)
    assert (await planned(payments)).size == 2
    assert (await planned(payments, "p1")).size == 1
    assert await contents(payments) == before


async def test_replaying_twice_changes_nothing_the_second_time(still: Harness) -> None:
    await dead(still, "p1", "p2")
    plan = await planned(still)
    assert await applied(still, plan) == Done(deliveries=2)
    before = await contents(still)
    assert await applied(still, plan) == Done(changed=2)
    assert (await planned(still)).size == 0
    assert await contents(still) == before


async def test_what_changed_between_showing_and_doing_is_left_alone(still: Harness) -> None:
    await dead(still, "p1", "p2", "p3", "p4")
    plan = await planned(still)
    await still.database.execute("UPDATE outbox SET status = 'recorded', recorded_at = now() WHERE payment_id = 'p1'")
    await still.database.execute("UPDATE outbox SET status = 'rejected' WHERE payment_id = 'p2'")
    await still.database.execute("UPDATE ledger SET visitor_id = 'carl' WHERE payment_id = 'p3'")
    assert await applied(still, plan) == Done(deliveries=1, changed=3)
    statuses = {key: status for key, (status, _) in (await still.deliveries()).items()}
    assert statuses == {
        "payment:p1": "recorded",
        "payment:p2": "rejected",
        "payment:p3": "dead",
        "payment:p4": "pending",
    }


async def test_a_delivery_that_a_worker_holds_is_not_touched(still: Harness) -> None:
    await dead(still, "p1")
    plan = await planned(still)
    await applied(still, plan)
    slow = Slow()

    sending = asyncio.create_task(deliver(still, slow))
    await slow.under_way.wait()
    before = await contents(still)
    assert await applied(still, plan) == Done(changed=1)
    again = await planned(still, "p1")
    assert left(again) == {"payment:p1": "it is on its way"}
    assert (again.size, again.has_problem) == (0, False)
    assert await contents(still) == before
    slow.goes_on.set()
    await sending
    assert slow.asked == 1
    assert await still.deliveries() == {"payment:p1": ("recorded", None)}


async def test_what_is_recorded_is_left_alone(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([OK]))
    plan = await planned(still, "p1")
    assert left(plan) == {"payment:p1": "it is recorded in Faurya"}
    assert (plan.size, plan.has_problem, plan.is_known) == (0, False, True)


async def test_stopped_in_the_middle_it_goes_on_the_next_time(still: Harness) -> None:
    count = BATCH + 3
    await sold(still, *(f"p{number}" for number in range(count)))
    await still.database.execute("UPDATE outbox SET status = 'dead', due_at = NULL")
    plan = await planned(still)
    context, live = still.gateway.context, still.gateway.live

    doing = carry_out(context, live, "acme", plan.rows["acme"], None)
    first = await anext(doing)
    await doing.aclose()
    assert (first, first.all) == (Done(deliveries=BATCH), BATCH)
    assert await still.rows("SELECT status, count(*) FROM outbox GROUP BY 1 ORDER BY 1") == [
        {"status": "dead", "count": 3},
        {"status": "pending", "count": BATCH},
    ]
    assert await replayed(still) == Done(deliveries=3)
    calls = Calls([OK])
    await deliver(still, calls)
    assert len(set(keys_of(calls))) == len(calls.asked) == count


async def test_a_failure_inside_a_batch_leaves_nothing_half_written(
    still: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:

    await sold(still, "p1")
    await deliver(still, Calls([REFUSED]))
    before = await contents(still)

    async def broken(*_: Any) -> None:
        raise RuntimeError("the process ended here")

    plan = await planned(still, "p1", "anna")
    monkeypatch.setattr(replays, "name_visitor", broken)
    with pytest.raises(RuntimeError):
        await applied(still, plan, "anna")
    assert await contents(still) == before


async def test_a_deadlock_is_tried_again_and_given_up_after_some(
    still: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:

    await dead(still, "p1")
    plan, real, conflicts = await planned(still), replays.take_up, [2]

    async def conflicting(*arguments: Any) -> Any:
        if conflicts[0]:
            conflicts[0] -= 1
            raise StoreConflict
        return await real(*arguments)

    monkeypatch.setattr(replays, "take_up", conflicting)
    assert await applied(still, plan) == Done(deliveries=1)
    conflicts[0] = 99
    with pytest.raises(StoreConflict):
        await applied(still, plan)


# what booking would not send is not sent


async def test_a_refund_waits_for_its_sale_that_is_replayed_too(still: Harness) -> None:
    await dead(still, "p1")
    await sold(still, "p1", kind=REFUND, refund_id="r1", amount=Money(100, "USD"))
    assert (await still.deliveries())["refund:r1"] == ("skipped", "sale_not_recorded")
    plan = await planned(still, statuses=frozenset({"dead", "skipped"}))
    assert told(plan) == [
        ("payment:p1", "dead: schedule_exhausted, 2 attempts (2 spent)", "pending: due now, none spent"),
        ("refund:r1", "skipped: sale_not_recorded", "pending: waiting_for_sale"),
    ]
    assert await applied(still, plan) == Done(deliveries=2)
    assert (await still.deliveries())["refund:r1"] == ("pending", "waiting_for_sale")
    calls = Calls([OK])
    await deliver(still, calls)
    assert await still.deliveries() == {"payment:p1": ("recorded", None), "refund:r1": ("recorded", None)}
    assert len(calls.asked) == 2


async def test_a_refund_whose_sale_is_not_recorded_says_so_and_follows_it_by_itself(still: Harness) -> None:
    await dead(still, "p1")
    await sold(still, "p1", kind=REFUND, refund_id="r1", amount=Money(100, "USD"))
    plan = await planned(still, "r1")
    assert left(plan) == {
        "refund:r1": "the sale that it belongs to is not recorded in Faurya; once it is, this one follows by itself: "
        "`faurya-gateway replay --id p1`"
    }
    assert (plan.size, plan.has_problem) == (0, True)
    await replayed(still)
    await deliver(still, Calls([OK]))
    assert (await still.deliveries())["refund:r1"] == ("recorded", None)


async def test_a_rejected_refund_is_sent_again_after_its_recorded_sale(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([OK]))
    await sold(still, "p1", kind=REFUND, refund_id="r1", amount=Money(100, "USD"))
    await deliver(still, Calls([REFUSED]))
    assert told(await planned(still)) == [("refund:r1", "rejected: refused, 1 attempt", "pending: due now")]
    await replayed(still)
    await deliver(still, Calls([OK]))
    assert (await still.deliveries())["refund:r1"] == ("recorded", None)


async def test_what_the_configuration_does_not_send_today_stays(still: Harness) -> None:
    await dead(still, "p1")
    still.rewrite_config(
        SHORT.replace("environment: live, api_key: example-key-acme", "forward: false, environment: live, api_key: k")
    )
    assert await still.gateway.reload()
    plan = await planned(still)
    assert "forward: false" in left(plan)["payment:p1"]
    assert (plan.size, plan.has_problem) == (0, True)


async def test_skipped_money_is_sent_once_the_configuration_says_so(still: Harness) -> None:
    await still.happen(PURCHASE, connection="sandbox", payment_id="p1", settle=False)
    await book_all_of(still)
    assert (await planned(still)).all_rows == []
    plan = await planned(still, statuses=frozenset({"skipped"}))
    assert "test money" in left(plan)["payment:p1"]
    assert (plan.size, plan.has_problem) == (0, False)
    still.rewrite_config(SHORT.replace("forward_test: false", "forward_test: true"))
    assert await still.gateway.reload()
    await replayed(still, statuses=frozenset({"skipped"}))
    await deliver(still, Calls([OK]))
    assert await still.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_figure_that_came_after_skipping_is_taken_from_the_ledger(still: Harness) -> None:
    text = SHORT.replace("forward_test: false", "forward_test: true, amount: earnings")
    still.rewrite_config(text.replace("forward_test: true", "forward_test: false"))
    assert await still.gateway.reload()
    await still.happen(PURCHASE, connection="sandbox", payment_id="p1", settle=False)
    await book_all_of(still)
    still.rewrite_config(text)
    assert await still.gateway.reload()
    plan = await planned(still, "p1")
    assert [after for _, _, after in told(plan)] == ["pending: waiting_for_amount"]
    await still.database.execute("UPDATE ledger SET net_minor = 4000")
    await replayed(still, "p1")
    assert await still.rows("SELECT status, reason, amount_minor, due_at FROM outbox") == [
        {"status": "pending", "reason": None, "amount_minor": 4000, "due_at": still.clock()}
    ]


async def test_money_of_a_connection_that_is_gone_is_listed_and_stays(still: Harness) -> None:
    await dead(still, "p1")
    await still.database.execute("UPDATE outbox SET connection = 'gone'")
    await still.database.execute("UPDATE ledger SET connection = 'gone'")
    plan = await planned(still)
    assert left(plan) == {"payment:p1": "the connection acme/gone is not configured any more, or its plugin is missing"}
    assert (plan.size, plan.has_problem) == (0, True)


async def test_money_of_a_site_that_is_gone_is_listed_and_stays(still: Harness) -> None:
    await dead(still, "p1")
    for table in ("outbox", "ledger", "inbox", "attempts"):
        await still.database.execute(f"UPDATE {table} SET site = 'oldco'")
    await still.database.execute("UPDATE inbox SET outcome = 'unreadable', reason = 'malformed'")
    plan = await planned(still)
    assert list(plan.rows) == ["oldco"]
    assert (plan.size, len(plan.left_alone), plan.has_problem) == (0, 2, True)
    assert {"oldco/example" in row.after for row in plan.left_alone} == {True}


async def test_a_replay_that_may_count_twice_says_so(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([REFUSED]))
    await dead(still, "p2")
    plan = await planned(still)
    assert {row.delivery.entry.event.key: row.may_double for row in plan.deliveries} == {
        "payment:p1": False,
        "payment:p2": True,
    }


async def test_the_payments_api_refuses_duplicates_so_nothing_is_warned_of(payments: Harness) -> None:
    await dead(payments, "p1", attribution=ANNA)
    assert [row.may_double for row in (await planned(payments)).deliveries] == [False]


# narrowing


async def test_since_and_site_narrow_what_is_looked_at(still: Harness) -> None:
    await dead(still, "p1")
    later = still.clock()
    await dead(still, "p2")
    assert [key for key, *_ in told(await planned(still, since=later))] == ["payment:p2"]
    assert [key for key, *_ in told(await planned(still))] == ["payment:p1", "payment:p2"]
    assert (await planned(still, sites=["globex"])).all_rows == []
    assert (await planned(still, "p1", since=later)).all_rows == []
    assert [key for key, *_ in told(await planned(still, "p1", statuses=frozenset({"dead"})))] == ["payment:p1"]
    assert (await planned(still, "p1", statuses=frozenset({"rejected"}))).all_rows == []


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("p1", {"payment:p1", "refund:r1"}),
        ("payment:p1", {"payment:p1"}),
        ("r1", {"refund:r1"}),
        ("refund:r1", {"refund:r1"}),
        ("evt_sale", {"payment:p1"}),
        ("evt_refund", {"refund:r1"}),
        ("order_1", {"payment:p1", "refund:r1"}),
        ("anna", {"payment:p1", "refund:r1"}),
        ("  p1  ", {"payment:p1", "refund:r1"}),
    ],
)
async def test_every_id_that_trace_knows_names_what_is_replayed(still: Harness, query: str, keys: set[str]) -> None:
    await still.happen(
        PURCHASE, payment_id="p1", event_id="evt_sale", reference="order_1", attribution=ANNA, settle=False
    )
    await book_all_of(still)
    await deliver(still, Calls([OK]))
    await still.happen(REFUND, payment_id="p1", refund_id="r1", event_id="evt_refund", settle=False)
    await book_all_of(still)
    await deliver(still, Calls([OK]))
    plan = await planned(still, query)
    assert set(left(plan)) == keys


@pytest.mark.parametrize(
    "query", ["", "no-such-id", "nul\0", "\ud800", "x" * 100_000, "🦄", "'; DROP TABLE outbox; --"]
)
async def test_an_unknown_id_is_a_problem(still: Harness, query: str) -> None:
    await dead(still, "p1")
    plan = await planned(still, query)
    assert (plan.is_known, plan.has_problem, plan.all_rows) == (False, True, [])
    with pytest.raises(CannotName, match="no site of this gateway knows this id"):
        await planned(still, query, "anna")


async def test_a_held_site_is_named(still: Harness) -> None:
    await dead(still, "p1")
    await still.database.execute(
        "INSERT INTO holds (site, destination, since, reason) VALUES ('acme', 'faurya', now(), 'bad_key')"
    )
    assert set((await planned(still)).held) == {"acme"}
