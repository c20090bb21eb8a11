"""What a sale becomes: one line, one delivery, its order id sent once, and never test money as live money."""

from datetime import timedelta

import pytest

from gateway.domain.booking import Already, Booked, in_order
from gateway.domain.books import payment_ref, refs_of, subscription_ref
from gateway.domain.delivery import Reason, Status
from gateway.domain.revenue import RevenueKind

V = {"visitor": "visitor_1"}


def test_a_purchase_is_booked_and_due_at_once(desk):
    booked = desk.book(desk.purchase(reference="order-1", **V), event_key="evt_7")
    assert (booked.entry.connection, booked.entry.plugin) == ("paddle", "paddle")
    assert (booked.entry.event_key, booked.entry.booked_at) == ("evt_7", desk.now)
    assert booked.entry.order_id == "order-1"
    assert booked.fills is False
    sent = booked.dispatch
    assert (sent.connection, sent.key, sent.payment_id) == ("paddle", "payment:txn_1", "txn_1")
    assert (sent.amount_minor, sent.currency, sent.amount_unit) == (6500, "USD", "minor")
    assert (sent.status, sent.reason, sent.due, sent.is_sale) == (Status.PENDING, None, True, True)


def test_the_delivery_is_frozen_under_the_rules_of_its_day(open_desk):
    desk = open_desk(api="payments", basis="net_of_tax", amount_unit="major", currencies=("EUR",))
    sent = desk.book(desk.purchase(minor=11900, currency="EUR", tax=1900, **V)).dispatch
    assert (sent.api, sent.basis, sent.amount_unit) == ("payments", "net_of_tax", "major")
    assert (sent.amount_minor, sent.currency, sent.status) == (10000, "EUR", Status.PENDING)


def test_the_same_movement_from_another_webhook_is_already_booked(desk):
    """`completed`, a late `updated` and `revised` have event ids of their own; the money moved once."""
    desk.book(desk.purchase(), event_key="evt_completed")
    again = desk.decide(desk.purchase(), event_key="evt_updated")
    assert again == Already("evt_completed")


def test_a_late_event_never_changes_a_booked_amount(desk):
    desk.book(desk.purchase(minor=6500))
    assert desk.decide(desk.purchase(minor=9900)) == Already("evt_1")
    assert desk.decide(desk.purchase(minor=6500, currency="GBP")) == Already("evt_1")


def test_the_same_key_at_another_connection_is_other_money(desk):
    desk.book(desk.purchase())
    other = desk.now_with(connection="stripe").book(desk.purchase())
    assert (other.entry.connection, other.fills) == ("stripe", False)


@pytest.mark.parametrize(
    ("event", "refs"),
    [
        (lambda desk: desk.purchase(), ("payment:txn_1",)),
        (lambda desk: desk.renewal(), ("payment:txn_2", "subscription:sub_1")),
        (lambda desk: desk.refund(), ("payment:txn_1",)),
    ],
)
def test_an_event_is_referred_to_by_its_payment_and_its_subscription(desk, event, refs):
    assert refs_of(event(desk)) == refs
    assert payment_ref("txn_1") == "payment:txn_1"
    assert subscription_ref("sub_1") == "subscription:sub_1"


SKIPS = [
    # fact, rules, purchase, reason
    ("sandbox money stays out", {"live": False}, {}, Reason.TEST_MODE),
    ("an event marked test on a live connection stays out", {}, {"test": True}, Reason.TEST_MODE),
    ("natively connected providers are not forwarded", {"forward": False}, {}, Reason.FORWARDING_OFF),
    ("zero is not sent", {}, {"minor": 0}, Reason.ZERO_AMOUNT),
    ("a negative total is not sent", {}, {"minor": -500}, Reason.ZERO_AMOUNT),
    ("nothing left after tax", {"basis": "net_of_tax"}, {"minor": 500, "tax": 500}, Reason.ZERO_AMOUNT),
    ("nothing left after the fee", {"basis": "earnings"}, {"minor": 50, "net": -3}, Reason.ZERO_AMOUNT),
    ("zero does not wait for its earnings", {"basis": "earnings"}, {"minor": 0}, Reason.ZERO_AMOUNT),
    ("a currency that is not listed", {"currencies": ("EUR",)}, {}, Reason.CURRENCY_NOT_ACCEPTED),
    ("no currency is listed", {"currencies": ()}, {}, Reason.CURRENCY_NOT_ACCEPTED),
    ("test mode comes first", {"live": False, "forward": False}, {"minor": 0}, Reason.TEST_MODE),
    ("zero without a visitor is zero", {"api": "payments"}, {"minor": 0}, Reason.ZERO_AMOUNT),
    ("sandbox without a visitor is sandbox", {"api": "payments", "live": False}, {}, Reason.TEST_MODE),
]


@pytest.mark.parametrize(("rules", "fields", "reason"), [row[1:] for row in SKIPS], ids=[row[0] for row in SKIPS])
def test_a_sale_that_is_not_sent_is_booked_with_its_reason(open_desk, rules, fields, reason):
    desk = open_desk(**rules)
    booked = desk.book(desk.purchase(**fields))
    assert (booked.dispatch.status, booked.dispatch.reason) == (Status.SKIPPED, reason)
    assert booked.dispatch.due is False
    assert booked.entry.event.amount.minor == fields.get("minor", 6500)


@pytest.mark.parametrize(
    ("live", "marked", "forward_test", "is_test", "is_sent"),
    [
        (True, False, False, False, True),
        (True, True, False, True, False),
        (False, False, False, True, False),
        (False, True, False, True, False),
        (True, False, True, False, True),
        (True, True, True, True, True),
        (False, False, True, True, True),
        (False, True, True, True, True),
    ],
)
def test_money_is_test_money_when_the_event_or_the_environment_says_so(
    open_desk, live, marked, forward_test, is_test, is_sent
):
    desk = open_desk(live=live, forward_test=forward_test)
    booked = desk.book(desk.purchase(test=marked))
    assert booked.entry.test is is_test
    assert booked.dispatch.due is is_sent


@pytest.mark.parametrize(
    ("accepted", "currency"), [(None, "USD"), (None, "JPY"), (("USD",), "USD"), (("EUR", "USD"), "USD")]
)
def test_accepted_currencies_are_sent(open_desk, accepted, currency):
    desk = open_desk(currencies=accepted)
    assert desk.book(desk.purchase(currency=currency)).dispatch.due


@pytest.mark.parametrize(
    ("ids", "status", "reason"),
    [
        ({}, Status.UNATTRIBUTED, Reason.NO_VISITOR_ID),
        ({"session": "s", "token": "t"}, Status.UNATTRIBUTED, Reason.NO_VISITOR_ID),
        ({"visitor": "v"}, Status.PENDING, None),
    ],
)
def test_the_payments_api_gets_only_sales_of_a_known_visitor(open_desk, ids, status, reason):
    desk = open_desk(api="payments")
    sent = desk.book(desk.purchase(**ids)).dispatch
    assert (sent.status, sent.reason, sent.due) == (status, reason, status is Status.PENDING)


@pytest.mark.parametrize("kind", ["purchase", "renewal"])
def test_a_site_that_forwards_no_refunds_still_gets_its_sales(open_desk, kind):
    desk = open_desk(forward_refunds=False)
    assert desk.book(getattr(desk, kind)(visitor="v")).dispatch.due


@pytest.mark.parametrize("basis", ["gross", "net_of_tax", "earnings"])
def test_the_smallest_amount_is_sent(open_desk, basis):
    desk = open_desk(basis=basis)
    sent = desk.book(desk.purchase(minor=1, tax=0, net=1)).dispatch
    assert (sent.amount_minor, sent.due) == (1, True)


def test_the_revenue_api_gets_sales_of_nobody_too(desk):
    assert desk.book(desk.purchase()).dispatch.due


def test_an_order_id_is_sent_by_the_first_purchase_only(desk):
    """Paddle copies it to every renewal and charge of the subscription."""
    copied = {"reference": "order-1", "subscription_id": "sub_1"}
    sent = [
        desk.book(event).dispatch.order_id_sent
        for event in (
            desk.purchase("txn_1", **copied),
            desk.renewal("txn_2", **copied),
            desk.purchase("txn_3", **copied),
            desk.refund("adj_1", of="txn_1", reference="order-1"),
            desk.reversal("adj_2", of="txn_1", reference="order-1"),
        )
    ]
    assert sent == ["order-1", "txn_2", "txn_3", "adj_1", "adj_2"]


def test_an_order_id_is_sent_once_over_all_connections_of_the_site(desk):
    first = desk.book(desk.purchase("txn_1", reference="1001"))
    second = desk.now_with(connection="stripe").book(desk.purchase("pi_1", reference="1001"))
    assert (first.dispatch.order_id_sent, second.dispatch.order_id_sent) == ("1001", "pi_1")
    assert (first.entry.carries_order, second.entry.carries_order) == (True, False)
    assert second.entry.order_id == "1001"


def test_an_order_id_that_the_ledger_saw_before_is_not_sent_again(desk):
    desk.books.carried.add("order-1")
    assert desk.book(desk.purchase(reference="order-1")).dispatch.order_id_sent == "txn_1"


def test_a_renewal_never_sends_an_order_id_even_if_it_is_booked_first(desk):
    renewal = desk.book(desk.renewal(reference="order-1", **V))
    purchase = desk.book(desk.purchase(reference="order-1", subscription_id="sub_1", **V))
    assert renewal.dispatch.order_id_sent == "txn_2"
    assert purchase.dispatch.order_id_sent == "order-1"


def test_an_inherited_order_id_is_kept_but_not_sent(desk):
    """Only an id that came with the sale is looked up as sent before; another would be sent twice."""
    desk.book(desk.renewal(reference="order-1", **V))
    charge = desk.book(desk.purchase("txn_3", subscription_id="sub_1"))
    assert charge.entry.order_id == "order-1"
    assert charge.entry.carries_order is False
    assert charge.dispatch.order_id_sent == "txn_3"


def test_without_an_order_id_the_payment_id_is_sent(desk):
    booked = desk.book(desk.purchase())
    assert (booked.entry.order_id, booked.dispatch.order_id_sent) == (None, "txn_1")


def test_our_own_order_id_beats_what_the_event_says(desk):
    desk.knows_checkout("ours", "txn_1")
    booked = desk.book(desk.purchase(checkout_id="txn_1", reference="theirs"))
    assert (booked.entry.order_id, booked.dispatch.order_id_sent) == ("ours", "ours")


def test_a_refund_belongs_to_the_order_of_its_sale(desk):
    desk.book(desk.purchase(reference="order-1"))
    assert desk.book(desk.refund()).entry.order_id == "order-1"


def test_a_renewal_belongs_to_the_order_of_its_subscription(desk):
    desk.book(desk.purchase(reference="order-1", subscription_id="sub_1", **V))
    assert desk.book(desk.renewal()).entry.order_id == "order-1"


def test_events_are_put_in_the_order_in_which_they_refer_to_each_other(desk):
    def later(hours):
        return {"occurred_at": desk.now + timedelta(hours=hours)}

    reversal, refund = desk.reversal(**later(0)), desk.refund(**later(1))
    renewal, second = desk.renewal(**later(2)), desk.purchase("txn_b", **later(4))
    first, tied = desk.purchase("txn_c", **later(3)), desk.purchase("txn_a", **later(4))
    events = [reversal, refund, renewal, second, first, tied]
    assert in_order(events) == [first, tied, second, renewal, refund, reversal]
    assert [event.kind for event in in_order(events)][-2:] == [RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL]


def test_books_that_learn_a_filled_line_again_do_not_count_it_twice(desk):
    desk.book(desk.purchase())
    part = desk.book(desk.total(2000))
    desk.books.learn(part.entry, Status.RECORDED)
    more = desk.decide(desk.total(3000))
    assert isinstance(more, Booked)
    assert more.entry.event.amount.minor == 1000
