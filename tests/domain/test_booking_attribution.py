"""Which visitor a movement belongs to, who waits for whom, and what a late webhook may still bring."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.attribution import NOBODY, Attribution, AttributionSource
from gateway.domain.booking import Already, Booked, Wait
from gateway.domain.delivery import Reason, Status

CHECKOUT, WEBHOOK = AttributionSource.CHECKOUT, AttributionSource.WEBHOOK
PAYMENT, SUBSCRIPTION = AttributionSource.PAYMENT, AttributionSource.SUBSCRIPTION
NONE = AttributionSource.NONE


def ids(visitor=None, session=None, token=None):
    return Attribution(visitor_id=visitor, session_id=session, token=token)


SALES = [
    # fact, our checkout's ids, the webhook's ids, source, ids
    ("our own row comes first", {"visitor_id": "c"}, {"visitor": "w"}, CHECKOUT, ids("c")),
    ("nothing in our row", {}, {"visitor": "w", "session": "s"}, WEBHOOK, ids("w", "s")),
    ("a visitor beats a session", {"session_id": "cs"}, {"visitor": "w"}, WEBHOOK, ids("w")),
    ("sources are not mixed", {"visitor_id": "c"}, {"session": "ws", "token": "wt"}, CHECKOUT, ids("c")),
    ("without any visitor the first with anything", {"token": "ct"}, {"session": "ws"}, CHECKOUT, ids(token="ct")),
    ("only the webhook has anything", {}, {"token": "wt"}, WEBHOOK, ids(token="wt")),
    ("nobody", {}, {}, NONE, NOBODY),
]


@pytest.mark.parametrize(("row", "webhook", "source", "who"), [r[1:] for r in SALES], ids=[r[0] for r in SALES])
def test_a_sale_of_our_checkout_belongs_to_the_visitor_who_began_it(desk, row, webhook, source, who):
    desk.knows_checkout("order-1", "txn_1", **row)
    entry = desk.book(desk.purchase(checkout_id="txn_1", **webhook)).entry
    assert (entry.attribution_source, entry.attribution) == (source, who)


UNPROVEN = [
    # fact, our checkout (order id, provider's id, connection), the sale
    (
        "an order id in the custom data of another checkout",
        ("order-1", "txn_0", "paddle"),
        {"checkout_id": "txn_1", "reference": "order-1"},
    ),
    (
        "the provider's id was never noted",
        ("order-1", None, "paddle"),
        {"checkout_id": "txn_1", "reference": "order-1"},
    ),
    ("the provider names no checkout", ("order-1", "txn_1", "paddle"), {"reference": "order-1"}),
    ("the same id at another connection", ("order-1", "txn_1", "stripe"), {"checkout_id": "txn_1"}),
]


@pytest.mark.parametrize(("checkout", "fields"), [row[1:] for row in UNPROVEN], ids=[row[0] for row in UNPROVEN])
def test_our_row_is_believed_only_by_the_provider_s_id_of_it(desk, checkout, fields):
    """An order id is what any browser can write; with it somebody could sell under another visitor's name."""
    desk.knows_checkout(*checkout, visitor_id="victim")
    nobody = desk.book(desk.purchase(**fields)).entry
    assert (nobody.attribution_source, nobody.attribution) == (NONE, NOBODY)


def test_a_crashed_checkout_is_attributed_by_the_ids_that_travelled_inside(open_desk):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", None, visitor_id="visitor_1")
    booked = desk.book(desk.purchase(checkout_id="txn_1", reference="order-1", visitor="visitor_1"))
    assert (booked.entry.attribution_source, booked.entry.attribution) == (WEBHOOK, ids("visitor_1"))
    assert booked.dispatch.order_id_sent == "order-1"


# Renewals.


def test_a_renewal_of_a_subscription_that_our_checkout_began_belongs_to_that_checkout(desk):
    desk.knows_checkout("order-1", "txn_1", visitor_id="c", session_id="s")
    desk.book(desk.purchase(checkout_id="txn_1", subscription_id="sub_1"))
    entry = desk.book(desk.renewal(checkout_id="txn_2", visitor="w")).entry
    assert (entry.attribution_source, entry.attribution) == (CHECKOUT, ids("c", "s"))


@pytest.mark.parametrize(
    ("first", "later", "source", "who"),
    [
        ({"visitor": "f"}, {}, SUBSCRIPTION, ids("f")),
        ({"visitor": "f"}, {"visitor": "w"}, WEBHOOK, ids("w")),
        ({"visitor": "f", "session": "fs"}, {"token": "wt"}, SUBSCRIPTION, ids("f", "fs")),
        ({"session": "fs"}, {"token": "wt"}, WEBHOOK, ids(token="wt")),
        ({}, {}, NONE, NOBODY),
    ],
)
@pytest.mark.parametrize("kind", ["renewal", "purchase"])
def test_a_later_payment_inherits_from_the_first_booking_of_its_subscription(desk, kind, first, later, source, who):
    desk.book(desk.purchase(subscription_id="sub_1", **first))
    entry = desk.book(getattr(desk, kind)("txn_2", subscription_id="sub_1", **later)).entry
    assert (entry.attribution_source, entry.attribution) == (source, who)


def test_the_first_booking_of_a_subscription_is_the_earliest(desk):
    first = desk.book(desk.purchase("txn_1", subscription_id="sub_1", visitor="first"))
    desk.book(desk.renewal("txn_2", visitor="second"))
    desk.books.learn(first.entry, Status.RECORDED)
    assert desk.book(desk.renewal("txn_3")).entry.attribution == ids("first")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_bookings_of_one_batch_the_money_that_moved_first_is_the_first(desk, order):
    """The database gives rows of the same moment in any order."""
    sales = [desk.purchase("txn_1", subscription_id="sub_1", visitor="old"), desk.renewal("txn_2", visitor="new")]
    sales[1] = replace(sales[1], occurred_at=sales[0].occurred_at + timedelta(days=30))
    lines = [replace(desk.book(sale).entry, booked_at=desk.now) for sale in sales]
    lines[0] = replace(lines[0], booked_at=lines[1].booked_at)
    desk.books.firsts.clear()
    for position in order:
        desk.books.learn(lines[position], Status.RECORDED)
    assert desk.book(desk.renewal("txn_3")).entry.attribution == ids("old")


def test_the_subscription_of_another_connection_gives_nothing(desk):
    desk.now_with(connection="stripe").book(desk.purchase(subscription_id="sub_1", visitor="f"))
    assert desk.now_with(connection="paddle").decide(desk.renewal()) == Wait("subscription:sub_1")


WAITING = [
    # fact, event, what it waits for
    ("a renewal without ids waits for its subscription", lambda desk: desk.renewal(), "subscription:sub_1"),
    ("a renewal with a session does not", lambda desk: desk.renewal(session="s"), None),
    ("a renewal without a subscription has nothing to wait for", lambda desk: desk.renewal(subscription_id=None), None),
    ("a purchase waits for nothing", lambda desk: desk.purchase(subscription_id="sub_1"), None),
    ("a refund without ids waits for its sale", lambda desk: desk.refund(), "payment:txn_1"),
    ("a refund waits for its sale first", lambda desk: desk.refund(subscription_id="sub_1"), "payment:txn_1"),
    ("a refund with a token does not wait", lambda desk: desk.refund(token="t"), None),
]


@pytest.mark.parametrize(("event", "waits_for"), [row[1:] for row in WAITING], ids=[row[0] for row in WAITING])
def test_who_waits_for_whom(desk, event, waits_for):
    decision = desk.decide(event(desk))
    if waits_for:
        assert decision == Wait(waits_for)
    else:
        assert isinstance(decision, Booked)
    in_the_end = desk.decide(event(desk), may_wait=False)
    assert isinstance(in_the_end, Booked)


def test_a_renewal_of_our_checkout_does_not_wait(desk):
    desk.knows_checkout("order-1", "chk_1", visitor_id="c")
    entry = desk.book(desk.renewal(checkout_id="chk_1")).entry
    assert (entry.attribution_source, entry.attribution) == (CHECKOUT, ids("c"))


def test_a_renewal_waits_until_its_subscription_is_booked(desk):
    assert desk.decide(desk.renewal()) == Wait("subscription:sub_1")
    desk.book(desk.purchase(subscription_id="sub_1", visitor="f"))
    assert desk.book(desk.renewal()).entry.attribution == ids("f")


def test_a_renewal_that_waited_in_vain_is_booked_as_nobody_s_and_sent(desk):
    booked = desk.book(desk.renewal(), may_wait=False)
    assert (booked.entry.attribution_source, booked.dispatch.due) == (NONE, True)


# Refunds.


@pytest.mark.parametrize(
    ("sale", "refund", "source", "who"),
    [
        ({"visitor": "v", "session": "s"}, {}, PAYMENT, ids("v", "s")),
        ({"visitor": "v"}, {"visitor": "w"}, WEBHOOK, ids("w")),
        ({"visitor": "v"}, {"token": "wt"}, PAYMENT, ids("v")),
        ({"session": "s"}, {}, PAYMENT, ids(session="s")),
        ({}, {}, NONE, NOBODY),
    ],
)
@pytest.mark.parametrize("back", ["refund", "reversal"])
def test_a_refund_inherits_from_its_sale(desk, back, sale, refund, source, who):
    desk.book(desk.purchase(**sale))
    entry = desk.book(getattr(desk, back)(**refund)).entry
    assert (entry.attribution_source, entry.attribution) == (source, who)


def test_a_refund_trusts_its_sale_before_its_subscription(desk):
    desk.book(desk.purchase("txn_1", subscription_id="sub_1", visitor="first"))
    desk.book(desk.renewal("txn_2", visitor="second"))
    entry = desk.book(desk.refund(of="txn_2", subscription_id="sub_1")).entry
    assert (entry.attribution_source, entry.attribution) == (PAYMENT, ids("second"))


def test_a_refund_whose_sale_has_no_visitor_takes_its_subscription_s(desk):
    desk.book(desk.purchase("txn_1", subscription_id="sub_1", visitor="first"))
    desk.book(desk.purchase("txn_2", session="s"))
    entry = desk.book(desk.refund(of="txn_2", subscription_id="sub_1")).entry
    assert (entry.attribution_source, entry.attribution) == (SUBSCRIPTION, ids("first"))


def test_a_sale_inherits_nothing_from_another_sale_of_the_same_payment(desk):
    desk.book(desk.purchase(visitor="v"))
    entry = desk.book(replace(desk.purchase(), key="payment:txn_1-part-2")).entry
    assert (entry.attribution_source, entry.attribution) == (NONE, NOBODY)


# What a late event of the same movement may bring.

FILLS = [
    # fact, ids of the first event, of the late one, source and ids afterwards (None: nothing changes)
    ("ids for a sale of nobody", {}, {"visitor": "w"}, (WEBHOOK, ids("w"))),
    ("a session for a sale of nobody", {}, {"session": "ws"}, (WEBHOOK, ids(session="ws"))),
    ("a visitor for a session, unmixed", {"session": "s"}, {"visitor": "w"}, (WEBHOOK, ids("w"))),
    ("another session changes nothing", {"session": "s"}, {"session": "ws"}, None),
    ("another visitor changes nothing", {"visitor": "v"}, {"visitor": "w"}, None),
    ("nothing new changes nothing", {"visitor": "v"}, {}, None),
    ("nobody twice", {}, {}, None),
]


@pytest.mark.parametrize(("first", "late", "after"), [row[1:] for row in FILLS], ids=[row[0] for row in FILLS])
def test_a_late_webhook_brings_ids_that_an_unsent_line_lacks(desk, first, late, after):
    desk.book(desk.purchase(**first))
    decision = desk.decide(desk.purchase(**late), event_key="evt_late")
    if after is None:
        assert decision == Already("evt_1")
    else:
        assert (decision.entry.attribution_source, decision.entry.attribution) == after
        assert (decision.fills, decision.entry.event_key, decision.dispatch.due) == (True, "evt_1", True)


def test_an_unattributed_sale_goes_out_when_its_visitor_becomes_known(open_desk):
    desk = open_desk(api="payments")
    desk.book(desk.purchase())
    still = desk.book(desk.purchase(session="s")).dispatch
    assert (still.status, still.reason) == (Status.UNATTRIBUTED, Reason.NO_VISITOR_ID)
    assert desk.book(desk.purchase(visitor="w")).dispatch.due


@pytest.mark.parametrize(
    ("status", "attempted"),
    [(Status.PENDING, True), (Status.RECORDED, True), (Status.SKIPPED, False), (Status.REJECTED, True)],
)
def test_ids_of_a_delivery_that_was_tried_or_ended_stay_what_was_sent(desk, status, attempted):
    desk.book(desk.purchase(), became=status, attempted=attempted)
    assert desk.decide(desk.purchase(visitor="w")) == Already("evt_1")
