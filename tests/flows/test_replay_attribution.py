"""An operator says whose sale it was."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from harness import Harness
from replaying import applied, contents, dead, end, left, planned, replayed, sold, told
from sending import OK, UNCLEAR, Calls, book_all_of, deliver

from gateway.domain.delivery import Answer
from gateway.flows.naming import CannotName
from gateway.flows.replay import Done
from gateway.sdk import Attribution, Money, RevenueKind
from gateway.store import replays
from gateway.store.pool import StoreConflict

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND
ANNA = Attribution(visitor_id="anna")
REFUSED = Answer(status=422, body="currency: unknown")
NOT_FOUND = Answer(status=404)
SOON = timedelta(seconds=7)


async def test_an_unattributed_sale_gets_its_visitor_and_is_sent(payments: Harness) -> None:
    await sold(payments, "p1")
    assert await payments.deliveries() == {"payment:p1": ("unattributed", "no_visitor_id")}
    without = await planned(payments, "p1")
    assert left(without) == {
        "payment:p1": "Faurya's payments API needs a visitor id: "
        "`faurya-gateway replay --id payment:p1 --attribute VISITOR_ID`"
    }
    assert without.has_problem
    plan = await planned(payments, "p1", "anna")
    assert told(plan) == [("payment:p1", "unattributed: no_visitor_id", "pending: due now, visitor anna")]
    assert await applied(payments, plan, "anna") == Done(deliveries=1)
    assert await payments.rows("SELECT visitor_id, attribution_source FROM ledger") == [
        {"visitor_id": "anna", "attribution_source": "operator"}
    ]
    calls = Calls([OK])
    await deliver(payments, calls)
    assert b'"faurya_visitor_id":"anna"' in calls.asked[0].body
    assert await payments.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_deadlock_while_looking_is_looked_past(payments: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await sold(payments, "p1")
    real, conflicts = replays.name_visitor, [2]

    async def conflicting(*arguments: Any) -> Any:
        if conflicts[0]:
            conflicts[0] -= 1
            raise StoreConflict
        return await real(*arguments)

    monkeypatch.setattr(replays, "name_visitor", conflicting)
    assert (await planned(payments, "p1", "anna")).size == 1


async def test_attributing_twice_is_fine(payments: Harness) -> None:
    await sold(payments, "p1")
    await replayed(payments, "p1", "anna")
    again = await planned(payments, "p1", "anna")
    assert (left(again), again.size, again.has_problem) == ({"payment:p1": "it is on its way"}, 0, False)
    await deliver(payments, Calls([OK]))
    again = await planned(payments, "p1", "anna")
    assert (left(again), again.size, again.has_problem) == ({"payment:p1": "it is recorded in Faurya"}, 0, False)


async def test_renewals_of_the_subscription_inherit_the_visitor(payments: Harness) -> None:
    await sold(payments, "p1", "p2", subscription_id="s1")
    await sold(payments, "p3")
    plan = await planned(payments, "p1", "anna")
    assert [(row.now.entry.event.key, row.after) for row in plan.heirs] == [("payment:p2", "pending, visitor anna")]
    await applied(payments, plan, "anna")
    assert await payments.rows("SELECT revenue_key, visitor_id, attribution_source FROM ledger ORDER BY 1") == [
        {"revenue_key": "payment:p1", "visitor_id": "anna", "attribution_source": "operator"},
        {"revenue_key": "payment:p2", "visitor_id": "anna", "attribution_source": "subscription"},
        {"revenue_key": "payment:p3", "visitor_id": None, "attribution_source": "none"},
    ]
    await deliver(payments, Calls([OK]))
    statuses = {key: status for key, (status, _) in (await payments.deliveries()).items()}
    assert statuses == {"payment:p1": "recorded", "payment:p2": "recorded", "payment:p3": "unattributed"}


async def test_with_the_revenue_api_a_sale_is_attributed_before_it_is_recorded(still: Harness) -> None:
    await sold(still, "p1", attribution=Attribution(session_id="s"))
    await end(still, REFUSED)
    await sold(still, "p1", kind=REFUND, refund_id="r1", amount=Money(100, "USD"))
    plan = await planned(still, "p1", "anna")
    assert told(plan) == [("payment:p1", "rejected: refused, 1 attempt", "pending: due now, visitor anna")]
    assert left(plan) == {}
    await applied(still, plan, "anna")
    calls = Calls([OK])
    await deliver(still, calls)
    assert b'"attribution":{"faVisitorId":"anna","faSessionId":null,"faAttributionToken":null}' in calls.asked[0].body
    assert await still.rows(
        "SELECT revenue_key, visitor_id, session_id, attribution_source FROM ledger ORDER BY 1"
    ) == [
        {"revenue_key": "payment:p1", "visitor_id": "anna", "session_id": None, "attribution_source": "operator"},
        {"revenue_key": "refund:r1", "visitor_id": "anna", "session_id": None, "attribution_source": "payment"},
    ]


async def test_a_refund_without_a_visitor_inherits_its_sales(still: Harness) -> None:
    await sold(still, "p1")
    await end(still, REFUSED)
    await sold(still, "p1", kind=REFUND, refund_id="r1", amount=Money(100, "USD"))
    plan = await planned(still, "p1", "anna")
    assert [(row.now.entry.event.key, row.after) for row in plan.heirs] == [
        ("refund:r1", "skipped: sale_not_recorded, visitor anna")
    ]
    await applied(still, plan, "anna")
    calls = Calls([OK])
    await deliver(still, calls)
    assert [b'"faVisitorId":"anna"' in request.body for request in calls.asked] == [True, True]


async def test_a_sale_that_nobody_tried_to_send_is_attributed_where_it_is(still: Harness) -> None:
    await sold(still, "p1")
    due = await still.rows("SELECT due_at FROM outbox")
    still.clock.forward(timedelta(minutes=1))
    plan = await planned(still, "p1", "anna")
    assert told(plan) == [("payment:p1", "pending", "pending: due now, visitor anna")]
    assert await applied(still, plan, "anna") == Done(deliveries=1)
    assert await still.rows("SELECT due_at FROM outbox") == due
    calls = Calls([OK])
    await deliver(still, calls)
    assert b'"faVisitorId":"anna"' in calls.asked[0].body


async def test_a_recorded_sale_cannot_be_attributed_afterwards(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([OK]))
    before = await contents(still)
    plan = await planned(still, "p1", "anna")
    assert left(plan) == {
        "payment:p1": "it is recorded in Faurya already, and Faurya cannot give a recorded sale a visitor afterwards"
    }
    assert (plan.size, plan.has_problem) == (0, True)
    assert await applied(still, plan, "anna") == Done()
    assert await contents(still) == before


async def test_a_sale_under_way_cannot_be_attributed(still: Harness) -> None:
    await sold(still, "p1")
    await deliver(still, Calls([UNCLEAR]))
    plan = await planned(still, "p1", "anna")
    assert left(plan)["payment:p1"].startswith("it was tried already and is on its way")
    assert plan.has_problem


async def test_another_visitor_takes_the_place_of_one_that_faurya_does_not_know(payments: Harness) -> None:
    await sold(payments, "p1", attribution=ANNA)
    await end(payments, *[NOT_FOUND] * 5)
    await replayed(payments, "p1", "bert")
    calls = Calls([OK])
    await deliver(payments, calls)
    assert b'"faurya_visitor_id":"bert"' in calls.asked[0].body


async def test_a_skipped_sale_is_not_attributed(payments: Harness) -> None:
    await payments.happen(PURCHASE, connection="sandbox", payment_id="p1", settle=False)
    await book_all_of(payments)
    plan = await planned(payments, "p1", "anna")
    assert "test money" in left(plan)["payment:p1"]
    assert plan.size == 0


async def test_a_refund_cannot_be_attributed(still: Harness) -> None:
    await sold(still, "p1")
    await sold(still, "p1", kind=REFUND, refund_id="r1")
    with pytest.raises(CannotName, match="refund:r1 is a refund, and takes its visitor from its sale: `faurya-gateway "
                                         "replay --id p1 --attribute VISITOR_ID`"):  # fmt: skip
        await planned(still, "r1", "anna")


async def test_an_id_without_a_sale_has_nothing_to_attribute(still: Harness) -> None:
    await still.happen(PURCHASE, payment_id="p1", event_id="evt_1", settle=False)
    with pytest.raises(CannotName, match="no sale is booked"):
        await planned(still, "evt_1", "anna")


async def test_an_id_of_two_sites_must_be_narrowed(still: Harness) -> None:
    await sold(still, "p1")
    await still.happen(PURCHASE, site="globex", payment_id="p1", settle=False)
    await book_all_of(still, "globex")
    with pytest.raises(CannotName, match="known at acme, globex: choose with --site"):
        await planned(still, "p1", "anna")
    assert (await planned(still, "p1", "anna", sites=["globex"])).size == 1


async def test_every_row_is_json(payments: Harness) -> None:

    await dead(payments, "p1", attribution=ANNA)
    await sold(payments, "p2", "p3", subscription_id="s1")
    content = orjson.loads(orjson.dumps((await planned(payments, "p2", "bert")).as_json()))
    assert (content["known"], content["partial"], content["held"]) == (True, False, {})
    assert content["deliveries"] == [
        {
            "site": "acme", "connection": "example", "key": "payment:p2", "kind": "purchase", "payment_id": "p2",
            "amount_minor": 4900, "currency": "USD", "may_double_count": False,
            "before": {"status": "unattributed", "reason": "no_visitor_id", "spent": 0, "attempts": 0,
                       "visitor_id": None, "attribution_source": "none"},
            "after": {"status": "pending", "reason": None, "spent": 0, "attempts": 0, "visitor_id": "bert",
                      "attribution_source": "operator"},
        }
    ]  # fmt: skip
    assert content["inherits"][0]["after"]["visitor_id"] == "bert"
    (alone,) = (await planned(payments, "p2")).as_json()["left_alone"]
    assert (alone["why"], alone["is_problem"]) == ("no_visitor", True)
