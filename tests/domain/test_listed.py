"""What a listed movement is, how the counts add up, and when what is looked at again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.attribution import AttributionSource
from gateway.domain.booking import Entry
from gateway.domain.books import Books, Rules
from gateway.domain.delivery import Status
from gateway.domain.listed import (
    EDGE,
    GRACE,
    KEPT,
    LOOKS,
    Judged,
    Result,
    Tally,
    Window,
    judge,
    next_look,
    next_watermark,
    wait_after,
)
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WINDOW = Window(begins=NOW - 24 * HOUR, until=NOW - GRACE, wait=6 * HOUR)
RULES = Rules(
    connection="example",
    plugin="example",
    live=True,
    claims="all",
    forward=True,
    api="revenue",
    basis="gross",
    amount_unit="minor",
    forward_refunds=True,
    forward_test=False,
    currencies=None,
)


def event(key: str = "payment:p1", **what: object) -> RevenueEvent:
    values: dict[str, object] = {
        "kind": RevenueKind.PURCHASE,
        "payment_id": "p1",
        "amount": Money(1000, "USD"),
        "occurred_at": NOW - HOUR,
    }
    return RevenueEvent(key=key, **{**values, **what})  # type: ignore[arg-type]


def refund(**what: object) -> RevenueEvent:
    return event("refund:r1", kind=RevenueKind.REFUND, **what)


def booked(of: RevenueEvent) -> Books:
    books = Books()
    entry = Entry(
        connection="example",
        plugin="example",
        event=of,
        test=of.test,
        order_id=None,
        carries_order=False,
        attribution=of.attribution,
        attribution_source=AttributionSource.NONE,
        event_key="evt_1",
        booked_at=NOW,
    )
    books.learn(entry, Status.RECORDED)
    return books


@pytest.mark.parametrize(
    ("listed", "books", "result"),
    [
        (event(), Books(), Result.BOOKED),
        (event(), booked(event()), Result.ALREADY),
        (event(amount=Money(999, "USD")), booked(event()), Result.DIFFERS),
        (event(amount=Money(1000, "EUR")), booked(event()), Result.DIFFERS),
        (event(occurred_at=WINDOW.begins), Books(), Result.BOOKED),
        (event(occurred_at=WINDOW.begins - EDGE), Books(), Result.BEFORE),
        (event(occurred_at=WINDOW.begins - EDGE), booked(event()), Result.ALREADY),
        (event(occurred_at=WINDOW.until), Books(), Result.BOOKED),
        (event(occurred_at=WINDOW.until + EDGE), Books(), Result.YOUNG),
        (event(occurred_at=WINDOW.until + EDGE), booked(event()), Result.ALREADY),
        (event(tax=Money(100, "USD")), booked(event()), Result.ALREADY),
        (refund(), Books(), Result.WAITING),
        (refund(), booked(event()), Result.BOOKED),
        (refund(occurred_at=NOW - 6 * HOUR), Books(), Result.WAITING),  # the webhook goes first
        (refund(occurred_at=NOW - 6 * HOUR - GRACE), Books(), Result.BOOKED),
    ],
)
def test_a_listed_movement_is_one_of_these(listed: RevenueEvent, books: Books, result: Result) -> None:
    assert judge(listed, RULES, books, WINDOW, NOW).result is result


def test_money_of_another_site_brings_the_names_that_its_refunds_use() -> None:
    rules = replace(RULES, claims=("price_ours",))
    judged = judge(event(subscription_id="s1"), rules, Books(), WINDOW, NOW)
    assert (judged.result, judged.refs) == (Result.OTHER_SITE, ("payment:p1", "subscription:s1"))


def test_a_movement_counts_once_however_often_it_is_listed() -> None:
    tally = Tally()
    assert tally.add(Judged(event=event(), result=Result.BOOKED, test=True))
    assert not tally.add(Judged(event=event(), result=Result.ALREADY, test=True))
    assert (tally.listed, tally.test, tally.counts[Result.BOOKED], tally.counts[Result.ALREADY]) == (1, 1, 1, 0)


def test_what_waited_counts_for_what_it_became() -> None:
    tally = Tally()
    assert tally.add(Judged(event=refund(), result=Result.WAITING))
    assert not tally.add(Judged(event=refund(), result=Result.WAITING))
    assert tally.add(Judged(event=refund(), result=Result.BOOKED))
    assert (tally.listed, tally.counts[Result.WAITING], tally.counts[Result.BOOKED]) == (1, 0, 1)


def test_a_few_differences_are_told_by_name() -> None:
    tally = Tally()
    for number in range(KEPT + 5):
        one = Judged(event=event(f"payment:{number}"), result=Result.DIFFERS, in_ledger=Money(5, "USD"))
        tally.add(one)
    assert (tally.counts[Result.DIFFERS], len(tally.differences)) == (KEPT + 5, KEPT)
    assert tally.differences[0] == ("payment:0", "0.05 USD", "10.00 USD")


def test_the_watermark_stays_before_what_must_be_seen_again() -> None:
    tally = Tally()
    tally.look_again([])
    assert next_watermark(NOW, tally.earliest) == NOW
    tally.look_again([event(occurred_at=NOW - MINUTE), event(occurred_at=NOW - HOUR)])
    tally.look_again([event(occurred_at=NOW - MINUTE)])
    assert next_watermark(NOW, tally.earliest) == NOW - HOUR - EDGE
    assert next_watermark(NOW, NOW + HOUR) == NOW


def test_waits_grow_up_to_an_hour_unless_the_provider_asks_for_more() -> None:
    assert [wait_after(failures, None) // MINUTE for failures in (1, 2, 3, 6, 7, 8, 1000)] == [1, 2, 4, 32, 60, 60, 60]
    assert wait_after(1, timedelta(seconds=7)) == MINUTE
    assert wait_after(8, 2 * HOUR) == 2 * HOUR


def test_the_looks_take_place_at_their_time_after_the_checkout() -> None:
    moment, looks = LOOKS[0], 1
    moments = [moment]
    while (pause := next_look(looks)) is not None:
        moment, looks = moment + pause, looks + 1
        moments.append(moment)
    assert tuple(moments) == LOOKS


@pytest.mark.parametrize(("live", "marked", "test"), [(True, False, False), (True, True, True), (False, False, True)])
def test_money_of_a_sandbox_is_test_money(live: bool, marked: bool, test: bool) -> None:
    assert judge(event(test=marked), replace(RULES, live=live), Books(), WINDOW, NOW).test is test
