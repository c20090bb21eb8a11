"""Whose money it is when one provider account serves several sites."""

import pytest

from gateway.domain.booking import Booked, OtherSite, Wait
from gateway.domain.delivery import Status

FOREIGN = OtherSite(("payment:txn_1",))
FOREIGN_SUBSCRIPTION = OtherSite(("payment:txn_1", "subscription:sub_1"))


# Everything is ours.


@pytest.mark.parametrize("fields", [{}, {"items": ("pri_any",)}, {"reference": "theirs", "checkout_id": "txn_1"}])
def test_a_connection_that_claims_everything_takes_any_sale(desk, fields):
    desk.foreign("payment:txn_1", "subscription:sub_1")
    assert isinstance(desk.decide(desk.purchase(subscription_id="sub_1", **fields)), Booked)


# A list of price and product ids.

LISTED = ("pri_pro", "pro_team")


@pytest.mark.parametrize("kind", ["purchase", "renewal"])
@pytest.mark.parametrize(
    ("items", "ours"),
    [
        (("pri_pro",), True),
        (("pro_team",), True),
        (("pri_other", "pro_other", "pri_pro"), True),
        (("pri_other",), False),
        (("pri_pro_2", "pri_p"), False),
        (("PRI_PRO",), False),
        ((), False),
    ],
)
def test_a_list_takes_sales_with_one_of_its_ids(open_desk, kind, items, ours):
    desk = open_desk(claims=LISTED)
    event = getattr(desk, kind)("txn_1", items=items, subscription_id="sub_1", visitor="v")
    decision = desk.decide(event)
    if ours:
        assert isinstance(decision, Booked)
    elif kind == "renewal" and not items:
        assert decision == Wait("subscription:sub_1")
    else:
        assert decision == FOREIGN_SUBSCRIPTION


def test_a_list_looks_at_the_sale_and_not_at_who_began_it(open_desk):
    desk = open_desk(claims=LISTED)
    desk.knows_checkout("order-1", "txn_1", visitor_id="v")
    assert desk.decide(desk.purchase(items=("pri_other",), checkout_id="txn_1", reference="order-1")) == FOREIGN


def test_a_renewal_without_items_follows_the_sale_that_its_subscription_began_with(open_desk):
    desk = open_desk(claims=LISTED)
    renewal = desk.renewal("txn_2", subscription_id="sub_1", visitor="v")
    assert desk.decide(renewal) == Wait("subscription:sub_1")
    assert desk.decide(renewal, may_wait=False) == OtherSite(())
    desk.book(desk.purchase("txn_1", items=("pri_pro",), subscription_id="sub_1"))
    assert isinstance(desk.decide(renewal), Booked)


def test_a_renewal_without_items_of_another_sites_subscription_is_that_sites(open_desk):
    desk = open_desk(claims=LISTED)
    desk.foreign("subscription:sub_1")
    assert desk.decide(desk.renewal("txn_1", visitor="v")) == FOREIGN_SUBSCRIPTION


def test_a_purchase_without_items_waits_for_nobody(open_desk):
    desk = open_desk(claims=LISTED)
    assert desk.decide(desk.purchase(subscription_id="sub_1")) == FOREIGN_SUBSCRIPTION


@pytest.mark.parametrize("kind", ["purchase", "renewal", "refund", "reversal"])
def test_a_list_may_name_the_provider_s_account_instead(open_desk, kind):
    desk = open_desk(claims=("acct_ours",))
    assert isinstance(desk.decide(getattr(desk, kind)(account="acct_ours", visitor="v")), Booked)
    assert not isinstance(desk.decide(getattr(desk, kind)(account="acct_other", visitor="v")), Booked)


def test_an_account_is_not_looked_for_in_the_word_for_our_checkouts(open_desk):
    desk = open_desk(claims="own_checkouts")
    assert isinstance(desk.decide(desk.purchase(account="own")), OtherSite)


# What our own checkouts began.

OWN_SALES = [
    # fact, our checkout (order id, provider's id, connection), the sale, is it ours
    ("its checkout is ours", ("order-1", "txn_1", "paddle"), {"checkout_id": "txn_1"}, True),
    ("ours, whatever the reference", ("order-1", "txn_1", "paddle"), {"checkout_id": "txn_1", "reference": "x"}, True),
    (
        "the provider's id was never noted: a crash in between",
        ("order-1", None, "paddle"),
        {"checkout_id": "txn_1", "reference": "order-1"},
        True,
    ),
    ("the provider names no checkout", ("order-1", "chk_1", "paddle"), {"reference": "order-1"}, True),
    ("nobody named anything", ("order-1", None, "paddle"), {}, False),
    (
        "a reference copied into another checkout",
        ("order-1", "txn_0", "paddle"),
        {"checkout_id": "txn_1", "reference": "order-1"},
        False,
    ),
    ("another checkout", ("order-1", "txn_0", "paddle"), {"checkout_id": "txn_1"}, False),
    ("an unknown reference", ("order-1", None, "paddle"), {"reference": "order-2"}, False),
    ("the checkout of another connection", ("order-1", "txn_1", "stripe"), {"checkout_id": "txn_1"}, False),
    ("the order of another connection", ("order-1", None, "stripe"), {"reference": "order-1"}, False),
]


@pytest.mark.parametrize(
    ("checkout", "fields", "ours"), [row[1:] for row in OWN_SALES], ids=[row[0] for row in OWN_SALES]
)
def test_own_checkouts_takes_what_our_checkouts_began(open_desk, checkout, fields, ours):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout(*checkout)
    decision = desk.decide(desk.purchase(**fields))
    if ours:
        assert isinstance(decision, Booked)
    else:
        assert decision == FOREIGN


@pytest.mark.parametrize("kind", ["purchase", "renewal"])
def test_own_checkouts_takes_every_payment_of_a_subscription_that_it_began(open_desk, kind):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", "txn_1")
    desk.book(desk.purchase(checkout_id="txn_1", subscription_id="sub_1"))
    later = getattr(desk, kind)("txn_2", checkout_id="txn_2", subscription_id="sub_1")
    assert isinstance(desk.decide(later), Booked)


def test_a_sale_of_another_order_on_a_new_subscription_is_foreign_at_once(open_desk):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-2", "chk_2", connection="stripe")
    for reference in ("order-1", "order-2"):
        sale = desk.purchase(checkout_id="txn_1", reference=reference, subscription_id="sub_1")
        assert desk.decide(sale) == FOREIGN_SUBSCRIPTION


def test_a_later_charge_that_overtakes_its_first_sale_and_names_nothing_waits_for_it(open_desk):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", "txn_1", visitor_id="anna")
    charge = desk.purchase("txn_2", checkout_id="txn_2", subscription_id="sub_1", visitor="v")
    assert desk.decide(charge) == Wait("subscription:sub_1")
    desk.book(desk.purchase("txn_1", checkout_id="txn_1", subscription_id="sub_1"))
    booked = desk.book(charge)
    assert (booked.entry.attribution.visitor_id, booked.entry.order_id) == ("anna", "order-1")


def test_a_sale_on_a_subscription_that_nobody_claims_is_foreign_after_the_wait_and_so_is_what_follows(open_desk):
    desk = open_desk(claims="own_checkouts")
    sale = desk.purchase(checkout_id="txn_1", subscription_id="sub_1")
    ended = desk.decide(sale, may_wait=False)
    assert ended == FOREIGN_SUBSCRIPTION
    desk.foreign(*ended.refs)
    assert isinstance(desk.decide(desk.renewal("txn_2")), OtherSite)
    assert isinstance(desk.decide(desk.refund()), OtherSite)


def test_our_first_sale_is_ours_also_after_its_charge_was_given_up(open_desk):
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", "txn_1")
    given_up = desk.decide(desk.purchase("txn_2", subscription_id="sub_1"), may_wait=False)
    desk.foreign(*given_up.refs)
    desk.book(desk.purchase("txn_1", checkout_id="txn_1", subscription_id="sub_1"))
    assert isinstance(desk.decide(desk.renewal("txn_3")), Booked)


@pytest.mark.parametrize("may_wait", [True, False])
def test_a_renewal_of_a_foreign_subscription_is_foreign(open_desk, may_wait):
    desk = open_desk(claims="own_checkouts")
    desk.foreign("subscription:sub_1")
    decision = desk.decide(desk.renewal("txn_1", visitor="v"), may_wait=may_wait)
    assert decision == FOREIGN_SUBSCRIPTION


def test_a_subscription_that_is_foreign_at_another_connection_is_not_foreign_here(open_desk):
    desk = open_desk(claims="own_checkouts", connection="stripe")
    desk.foreign("subscription:sub_1")
    assert desk.now_with(connection="paddle").decide(desk.renewal()) == Wait("subscription:sub_1")


@pytest.mark.parametrize("ids", [{}, {"visitor": "v"}])
def test_a_renewal_of_an_unknown_subscription_waits_and_is_then_nobody_s(open_desk, ids):
    """Ids in it do not say whose it is. In the end nothing is said about the subscription: its sale may still come."""
    desk = open_desk(claims="own_checkouts")
    assert desk.decide(desk.renewal(**ids)) == Wait("subscription:sub_1")
    assert desk.decide(desk.renewal(**ids), may_wait=False) == OtherSite(())


def test_a_renewal_without_a_subscription_is_nobody_s(open_desk):
    desk = open_desk(claims="own_checkouts")
    assert desk.decide(desk.renewal("txn_1", subscription_id=None)) == FOREIGN


def test_a_charge_that_overtakes_its_first_sale_waits_when_it_names_our_order(open_desk):
    """Charges carry the order id of the subscription's checkout; dropping one would lose the money."""
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", "txn_1")
    charge = desk.purchase("txn_2", reference="order-1", checkout_id="txn_2", subscription_id="sub_1", visitor="v")
    assert desk.decide(charge) == Wait("subscription:sub_1")
    desk.book(desk.purchase("txn_1", reference="order-1", checkout_id="txn_1", subscription_id="sub_1"))
    booked = desk.book(charge)
    assert (booked.entry.order_id, booked.dispatch.order_id_sent) == ("order-1", "txn_2")


def test_naming_our_order_is_not_enough_to_be_ours_in_the_end(open_desk):
    """A browser may have written the reference."""
    desk = open_desk(claims="own_checkouts")
    desk.knows_checkout("order-1", "txn_0")
    forged = desk.purchase("txn_1", reference="order-1", checkout_id="txn_1", subscription_id="sub_1")
    assert desk.decide(forged, may_wait=False) == OtherSite(())
    desk.foreign("subscription:sub_1")
    assert desk.decide(forged) == FOREIGN_SUBSCRIPTION


# A refund follows its sale's claim.


@pytest.mark.parametrize("claims", ["own_checkouts", LISTED])
@pytest.mark.parametrize("back", ["refund", "reversal"])
class TestRefundsFollowTheirSale:
    def test_the_refund_of_our_sale_is_ours(self, open_desk, claims, back):
        desk = open_desk(claims=claims)
        desk.knows_checkout("order-1", "txn_1")
        desk.book(desk.purchase(checkout_id="txn_1", items=("pri_pro",)), became=Status.RECORDED)
        assert desk.book(getattr(desk, back)()).dispatch.due

    def test_the_refund_of_a_foreign_sale_is_foreign(self, open_desk, claims, back):
        desk = open_desk(claims=claims)
        sale = desk.decide(desk.purchase(checkout_id="txn_1", items=("pri_other",)))
        desk.foreign(*sale.refs)
        assert desk.decide(getattr(desk, back)()) == FOREIGN

    def test_the_refund_of_an_unknown_sale_waits_and_is_then_nobody_s(self, open_desk, claims, back):
        desk = open_desk(claims=claims)
        event = getattr(desk, back)(visitor="v")
        assert desk.decide(event) == Wait("payment:txn_1")
        assert desk.decide(event, may_wait=False) == OtherSite(())

    def test_a_booked_sale_counts_more_than_an_earlier_foreign_mark(self, open_desk, claims, back):
        desk = open_desk(claims="all")
        desk.book(desk.purchase())
        desk.foreign("payment:txn_1")
        assert isinstance(desk.now_with(claims=claims).decide(getattr(desk, back)()), Booked)


def test_what_is_booked_stays_booked_when_the_claims_change(desk):
    desk.book(desk.purchase())
    filled = desk.now_with(claims=("pri_new",)).decide(desk.purchase(tax=100))
    assert (filled.fills, filled.entry.event.tax.minor) == (True, 100)
