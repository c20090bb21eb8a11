"""Money that goes back, and comes again: after its sale, once, never more than the running total says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.booking import Already, Booked, Wait
from gateway.domain.delivery import Reason, Status

BEHIND = [
    (Status.RECORDED, Status.PENDING, None),
    (Status.ALREADY_RECORDED, Status.PENDING, None),
    (Status.RECORDED_ASSUMED, Status.PENDING, None),
    (Status.PENDING, Status.PENDING, Reason.WAITING_FOR_SALE),
    (Status.SKIPPED, Status.SKIPPED, Reason.SALE_NOT_RECORDED),
    (Status.REJECTED, Status.SKIPPED, Reason.SALE_NOT_RECORDED),
    (Status.DEAD, Status.SKIPPED, Reason.SALE_NOT_RECORDED),
    (Status.UNATTRIBUTED, Status.SKIPPED, Reason.SALE_NOT_RECORDED),
]


def test_every_end_of_a_sale_is_decided_for_its_refund():
    assert {row[0] for row in BEHIND} == set(Status)


@pytest.mark.parametrize(("sale", "status", "reason"), BEHIND)
@pytest.mark.parametrize("back", ["refund", "reversal"])
def test_a_refund_goes_out_only_after_its_sale_did(desk, back, sale, status, reason):
    desk.book(desk.purchase(), became=sale)
    booked = desk.book(getattr(desk, back)())
    sent = booked.dispatch
    assert (sent.status, sent.reason) == (status, reason)
    assert sent.due is (status is Status.PENDING and reason is None)
    assert (sent.is_sale, sent.payment_id) == (False, "txn_1")


@pytest.mark.parametrize("back", ["refund", "reversal"])
@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"forward_refunds": False}, Reason.REFUND_NOT_FORWARDED),
        ({"api": "payments"}, Reason.UNSUPPORTED_BY_DESTINATION),
        ({"api": "payments", "forward_refunds": False}, Reason.UNSUPPORTED_BY_DESTINATION),
        ({"forward": False}, Reason.FORWARDING_OFF),
        ({"live": False}, Reason.TEST_MODE),
        ({"currencies": ("EUR",)}, Reason.CURRENCY_NOT_ACCEPTED),
    ],
)
def test_a_refund_that_is_not_forwarded_is_booked_with_its_reason(open_desk, back, rules, reason):
    desk = open_desk(**rules)
    desk.book(desk.purchase(visitor="v"), became=Status.RECORDED)
    sent = desk.book(getattr(desk, back)()).dispatch
    assert (sent.status, sent.reason, sent.due) == (Status.SKIPPED, reason, False)


def test_a_refund_of_nothing_is_not_sent(desk):
    desk.book(desk.purchase(), became=Status.RECORDED)
    assert desk.book(desk.refund(minor=0)).dispatch.reason is Reason.ZERO_AMOUNT


def test_a_refund_of_test_money_stays_out_even_if_it_is_not_marked(desk):
    desk.book(desk.purchase(test=True))
    assert desk.book(desk.refund()).dispatch.reason is Reason.SALE_NOT_RECORDED


def test_partial_refunds_of_one_sale_are_movements_of_their_own(desk):
    desk.book(desk.purchase(), became=Status.RECORDED)
    parts = [desk.book(desk.refund(f"adj_{number}", minor=100)) for number in (1, 2)]
    assert [part.dispatch.order_id_sent for part in parts] == ["adj_1", "adj_2"]
    assert [part.dispatch.amount_minor for part in parts] == [100, 100]


@pytest.mark.parametrize("back", ["refund", "reversal"])
def test_a_refund_waits_for_its_sale_and_is_booked_without_it_in_the_end(desk, back):
    event = getattr(desk, back)()
    assert desk.decide(event) == Wait("payment:txn_1")
    booked = desk.book(event, may_wait=False)
    assert (booked.dispatch.status, booked.dispatch.reason) == (Status.SKIPPED, Reason.SALE_NOT_RECORDED)
    assert not booked.entry.attribution


def test_a_refund_with_ids_of_its_own_does_not_wait_but_is_not_sent_before_its_sale(desk):
    booked = desk.book(desk.refund(session="s"))
    assert (booked.dispatch.status, booked.dispatch.reason) == (Status.SKIPPED, Reason.SALE_NOT_RECORDED)


def test_the_sale_of_another_connection_is_not_the_sale_of_this_refund(desk):
    desk.now_with(connection="stripe").book(desk.purchase())
    assert desk.now_with(connection="paddle").decide(desk.refund()) == Wait("payment:txn_1")


# Running totals: the provider says "refunded so far".


@pytest.mark.parametrize(
    ("totals", "booked"),
    [
        ([1000], [1000]),
        ([1000, 2500, 6500], [1000, 1500, 4000]),
        ([6500, 1000], [6500, None]),
        ([1000, 1000], [1000, None]),
        ([2500, 1000, 3000], [2500, None, 500]),
        ([0], [None]),
        ([0, 500], [None, 500]),
    ],
)
def test_of_a_running_total_only_what_is_new_is_booked(desk, totals, booked):
    desk.book(desk.purchase(), became=Status.RECORDED)
    found = []
    for total in totals:
        decision = desk.decide(desk.total(total))
        if isinstance(decision, Booked):
            desk.books.learn(decision.entry, decision.dispatch.status)
            assert decision.dispatch.amount_minor == decision.entry.event.amount.minor
        found.append(decision.entry.event.amount.minor if isinstance(decision, Booked) else None)
    assert found == booked


def test_a_total_that_was_overtaken_is_already_booked_by_no_webhook_of_its_own(desk):
    desk.book(desk.purchase())
    desk.book(desk.total(3000), event_key="evt_3000")
    assert desk.decide(desk.total(1000)) == Already(None)
    assert desk.decide(desk.total(3000)) == Already("evt_3000")


@given(st.lists(st.integers(min_value=0, max_value=10**15), min_size=1, max_size=12))
def test_running_totals_in_any_order_book_the_highest_of_them(open_desk, totals):
    desk = open_desk()
    desk.book(desk.purchase(minor=10**15), became=Status.RECORDED)
    moved = 0
    for total in totals:
        decision = desk.decide(desk.total(total, tax=total // 5, net=total // 2))
        if isinstance(decision, Booked):
            desk.books.learn(decision.entry, decision.dispatch.status)
            moved += decision.entry.event.amount.minor
    parts = [entry.event for entry in desk.books.entries.values() if entry.event.cumulative]
    assert moved == sum(part.amount.minor for part in parts) == max(totals)
    assert sum(part.tax.minor for part in parts) == max(totals) // 5
    assert sum(part.net.minor for part in parts) == max(totals) // 2
    assert all(part.amount.minor > 0 for part in parts)


def test_totals_of_two_sales_and_of_two_connections_are_counted_apart(desk):
    for connection, payment in (("paddle", "txn_1"), ("paddle", "txn_2"), ("stripe", "txn_1")):
        desk.now_with(connection=connection).book(desk.purchase(payment))
        assert desk.book(desk.total(1000, of=payment)).entry.event.amount.minor == 1000


def test_totals_in_two_currencies_are_counted_apart(desk):
    desk.book(desk.purchase())
    desk.book(desk.total(1000, "USD"))
    assert desk.book(desk.total(700, "EUR")).entry.event.amount.minor == 700


def test_single_refunds_do_not_count_towards_a_running_total(desk):
    desk.book(desk.purchase())
    desk.book(desk.refund(minor=1000))
    assert desk.book(desk.total(1000)).entry.event.amount.minor == 1000


def test_a_running_total_waits_for_its_sale_like_any_refund(desk):
    assert desk.decide(desk.total(1000)) == Wait("payment:txn_1")


# Reversals give money back to us: never more than refunds took.

REVERSALS = [
    # fact, refunds (amount, where the delivery is), earlier reversals, this one, is it sent
    ("the refund was sent", [(6500, Status.RECORDED)], [], 6500, True),
    ("the refund is on its way", [(6500, Status.PENDING)], [], 6500, True),
    ("the refund was not forwarded then", [(6500, Status.SKIPPED)], [], 6500, False),
    ("Faurya refused the negative amount", [(6500, Status.REJECTED)], [], 6500, False),
    ("the refund never got through", [(6500, Status.DEAD)], [], 6500, False),
    ("the refund has not been seen", [], [], 6500, True),
    ("another refund covers it", [(2000, Status.SKIPPED), (2000, Status.RECORDED)], [], 2000, True),
    ("another refund does not cover it", [(5000, Status.SKIPPED), (1500, Status.RECORDED)], [], 5000, False),
    ("another refund covers it but for one cent", [(5000, Status.SKIPPED), (1999, Status.RECORDED)], [], 2000, False),
    ("that refund was reversed", [(2000, Status.SKIPPED), (2000, Status.RECORDED)], [(2000, None)], 2000, False),
    (
        "a reversal that was not sent takes nothing",
        [(2000, Status.SKIPPED), (2000, Status.RECORDED)],
        [(2000, Status.SKIPPED)],
        2000,
        True,
    ),
]


@pytest.mark.parametrize(
    ("refunds", "reversed_before", "minor", "is_sent"),
    [row[1:] for row in REVERSALS],
    ids=[row[0] for row in REVERSALS],
)
def test_a_reversal_is_sent_only_if_its_refund_was(desk, refunds, reversed_before, minor, is_sent):
    desk.book(desk.purchase(), became=Status.RECORDED)
    desk.book(desk.purchase("txn_other"), became=Status.RECORDED)
    desk.book(desk.refund("adj_other", of="txn_other"), became=Status.SKIPPED)
    for number, (amount, became) in enumerate(refunds):
        desk.book(desk.refund(f"adj_{number}", minor=amount), became=became)
    for number, (amount, became) in enumerate(reversed_before):
        desk.book(desk.reversal(f"rev_{number}", minor=amount), became=became)
    sent = desk.book(desk.reversal(minor=minor)).dispatch
    expected = (Status.PENDING, None) if is_sent else (Status.SKIPPED, Reason.REFUND_NOT_FORWARDED)
    assert (sent.status, sent.reason) == expected


def test_a_reversal_that_gets_its_figure_later_is_not_counted_against_itself(open_desk):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(tax=0), became=Status.RECORDED)
    for own, became in (("adj_1", Status.SKIPPED), ("adj_2", Status.RECORDED)):
        desk.book(desk.refund(own, minor=2000, tax=0), became=became)
    assert desk.book(desk.reversal(minor=2000)).dispatch.reason is Reason.WAITING_FOR_AMOUNT
    assert desk.book(desk.reversal(minor=2000, tax=0)).dispatch.due


def test_a_refund_is_sent_whatever_became_of_an_earlier_one(desk):
    desk.book(desk.purchase(), became=Status.RECORDED)
    desk.book(desk.refund("adj_1", minor=100), became=Status.REJECTED)
    assert desk.book(desk.refund("adj_2", minor=100)).dispatch.due


def test_a_reversal_of_a_sale_that_was_not_recorded_can_still_follow_it(desk):
    """`sale_not_recorded` is taken up again with the sale, for the refund and the reversal alike."""
    desk.book(desk.purchase(), became=Status.DEAD)
    refund, reversal = desk.book(desk.refund()), desk.book(desk.reversal())
    assert refund.dispatch.reason is reversal.dispatch.reason is Reason.SALE_NOT_RECORDED
