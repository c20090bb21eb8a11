"""What becomes of a delivery that is taken up again, by the rules of today."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.delivery import Reason, Status
from gateway.domain.replay import Decision, Ended, LeftAlone, TakenUp, sales_first, take_up

ANNA, BERT = Attribution(visitor_id="anna"), Attribution(visitor_id="bert")


def ended(desk: Any, event: Any, status: Status, reason: Reason | None = None, **what: Any) -> Ended:
    """Book the event; its delivery stands like this now."""
    booked = desk.book(event, became=status)
    values = {"attempts": 1, "spent": 1, "basis": "gross", "amount_minor": event.amount.minor, "is_unclear": False}
    return Ended(entry=booked.entry, status=status, reason=reason, **{**values, **what})


def again(desk: Any, delivery: Ended, visitor: Attribution | None = None) -> Decision:
    return take_up(delivery, desk.rules, desk.books, visitor)


@pytest.mark.parametrize("status", [Status.DEAD, Status.REJECTED, Status.SKIPPED])
def test_a_sale_that_ended_is_due_again(desk: Any, status: Status) -> None:
    delivery = ended(desk, desk.purchase(), status)
    assert again(desk, delivery) == TakenUp(
        delivery=delivery, entry=delivery.entry, reason=None, amount_minor=6500, may_double=False
    )
    assert desk.books.statuses["paddle", "payment:txn_1"] is Status.PENDING


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status.RECORDED, "recorded"),
        (Status.ALREADY_RECORDED, "recorded"),
        (Status.RECORDED_ASSUMED, "recorded"),
        (Status.PENDING, "on_its_way"),
    ],
)
@pytest.mark.parametrize(("visitor", "is_problem"), [(None, False), (ANNA, False), (BERT, True)])
def test_what_is_recorded_or_on_its_way_stays(
    desk: Any, status: Status, why: Any, visitor: Attribution | None, is_problem: bool
) -> None:
    delivery = ended(desk, desk.purchase(visitor="anna"), status)
    assert again(desk, delivery, visitor) == LeftAlone(delivery=delivery, why=why, is_problem=is_problem)


def test_the_frozen_figure_stays_and_a_missing_one_comes_from_the_ledger(desk: Any) -> None:
    frozen = ended(desk, desk.purchase(), Status.DEAD, amount_minor=4000)
    later = ended(desk, desk.purchase("txn_2", net=5000), Status.SKIPPED, amount_minor=None, basis="earnings")
    never = ended(desk, desk.purchase("txn_3"), Status.SKIPPED, amount_minor=None, basis="earnings")
    taken = [again(desk, delivery) for delivery in (frozen, later, never)]
    assert [(one.amount_minor, one.reason) for one in taken if isinstance(one, TakenUp)] == [
        (4000, None),
        (5000, None),
        (None, Reason.WAITING_FOR_AMOUNT),
    ]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"forward": False}, Reason.FORWARDING_OFF),
        ({"live": False}, None),
        ({"currencies": ("EUR",)}, Reason.CURRENCY_NOT_ACCEPTED),
    ],
)
def test_the_rules_of_today_decide(desk: Any, rules: dict[str, Any], reason: Reason | None) -> None:
    delivery = ended(desk, desk.purchase(), Status.DEAD)
    decision = again(desk.now_with(**rules), delivery)
    if reason is None:  # test money is what was booked as such
        assert isinstance(decision, TakenUp)
    else:
        assert decision == LeftAlone(delivery=delivery, why="not_sent_today", after=reason)


def test_what_is_skipped_for_the_same_reason_is_no_problem(desk: Any) -> None:
    delivery = ended(desk, desk.purchase(), Status.SKIPPED, Reason.FORWARDING_OFF)
    decision = again(desk.now_with(forward=False), delivery)
    assert isinstance(decision, LeftAlone)
    assert not decision.is_problem


def test_a_refund_stands_behind_its_sale(desk: Any) -> None:
    sale = ended(desk, desk.purchase(), Status.DEAD)
    refund = ended(desk, desk.refund(), Status.SKIPPED, Reason.SALE_NOT_RECORDED)
    assert again(desk, refund) == LeftAlone(delivery=refund, why="sale_first", after=Reason.SALE_NOT_RECORDED)
    assert sales_first([refund, sale]) == [sale, refund]
    again(desk, sale)
    waits = again(desk, refund)
    assert isinstance(waits, TakenUp)
    assert waits.reason is Reason.WAITING_FOR_SALE
    desk.now_is(desk.purchase(), Status.RECORDED)
    due = again(desk, refund)
    assert isinstance(due, TakenUp)
    assert due.reason is None


def test_without_its_connection_nothing_is_decided(desk: Any) -> None:
    delivery = ended(desk, desk.purchase(), Status.DEAD)
    assert take_up(delivery, None, desk.books, None) == LeftAlone(delivery=delivery, why="gone")


@pytest.mark.parametrize(("api", "may_double"), [("revenue", True), ("payments", False)])
def test_only_the_revenue_api_may_count_twice(desk: Any, api: str, may_double: bool) -> None:
    delivery = ended(desk.now_with(api=api), desk.purchase(visitor="anna"), Status.DEAD, is_unclear=True)
    decision = again(desk, delivery)
    assert isinstance(decision, TakenUp)
    assert decision.may_double is may_double


def test_a_visitor_takes_the_place_of_all_ids(desk: Any) -> None:
    desk.now_with(api="payments")
    delivery = ended(desk, desk.purchase(session="s", token="t"), Status.UNATTRIBUTED, Reason.NO_VISITOR_ID)
    assert again(desk, delivery) == LeftAlone(delivery=delivery, why="no_visitor", after=Reason.NO_VISITOR_ID)
    named = again(desk, delivery, ANNA)
    assert isinstance(named, TakenUp)
    assert named.is_named
    assert (named.entry.attribution, named.entry.attribution_source) == (ANNA, AttributionSource.OPERATOR)
    assert named.entry.event.attribution == ANNA


def test_the_same_visitor_changes_nothing_about_whose_it_is(desk: Any) -> None:
    delivery = ended(desk, desk.purchase(visitor="anna", session="s"), Status.DEAD)
    same = again(desk, delivery, ANNA)
    assert isinstance(same, TakenUp)
    assert not same.is_named
    assert same.entry == delivery.entry


def test_a_sale_that_was_never_tried_is_named_where_it_is(desk: Any) -> None:
    delivery = ended(
        desk,
        desk.purchase(),
        Status.PENDING,
        Reason.WAITING_FOR_AMOUNT,
        attempts=0,
        amount_minor=None,
        basis="earnings",
    )
    named = again(desk, delivery, ANNA)
    assert isinstance(named, TakenUp)
    assert (named.reason, named.amount_minor, named.is_named) == (Reason.WAITING_FOR_AMOUNT, None, True)
    tried = replace(delivery, attempts=1)
    assert again(desk, tried, ANNA) == LeftAlone(delivery=tried, why="on_its_way")
