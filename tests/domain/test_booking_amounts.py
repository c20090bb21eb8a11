"""Which figure is frozen, what waits for one, and what a late event of the same movement may bring."""

import pytest

from gateway.domain.booking import Already
from gateway.domain.delivery import Reason, Status
from gateway.domain.money import Money

FIGURES = [
    # fact, basis, figures, frozen amount
    ("gross is what the buyer paid", "gross", {"tax": 1000, "net": 5000}, 6500),
    ("gross needs no other figure", "gross", {}, 6500),
    ("net of tax is gross less tax", "net_of_tax", {"tax": 1000}, 5500),
    ("no tax is a known tax", "net_of_tax", {"tax": 0}, 6500),
    ("tax that is not known yet", "net_of_tax", {"net": 5000}, None),
    ("earnings are what is left", "earnings", {"net": 5000}, 5000),
    ("earnings that are not settled yet", "earnings", {"tax": 1000}, None),
]
IDS = [row[0] for row in FIGURES]


@pytest.mark.parametrize(("basis", "figures", "frozen"), [row[1:] for row in FIGURES], ids=IDS)
def test_a_sale_freezes_the_figure_of_its_site_or_waits_for_it(open_desk, basis, figures, frozen):
    desk = open_desk(basis=basis)
    sent = desk.book(desk.purchase(**figures)).dispatch
    waits = frozen is None
    assert (sent.amount_minor, sent.status, sent.due) == (frozen, Status.PENDING, not waits)
    assert sent.reason == (Reason.WAITING_FOR_AMOUNT if waits else None)


@pytest.mark.parametrize(("basis", "figures", "frozen"), [row[1:] for row in FIGURES], ids=IDS)
def test_a_refund_freezes_the_same_figure_as_its_sale(open_desk, basis, figures, frozen):
    desk = open_desk(basis=basis)
    desk.book(desk.purchase(tax=1000, net=5000), became=Status.RECORDED)
    sent = desk.book(desk.refund(**figures)).dispatch
    assert (sent.amount_minor, sent.due) == (frozen, frozen is not None)
    assert sent.reason == (Reason.WAITING_FOR_AMOUNT if frozen is None else None)


def test_a_sale_without_visitor_and_figure_is_unattributed_and_has_no_amount(open_desk):
    desk = open_desk(api="payments", basis="earnings")
    sent = desk.book(desk.purchase()).dispatch
    assert (sent.status, sent.amount_minor) == (Status.UNATTRIBUTED, None)


@pytest.mark.parametrize(("basis", "late", "frozen"), [("net_of_tax", "tax", 5500), ("earnings", "net", 1000)])
def test_a_figure_that_comes_later_makes_the_delivery_due(open_desk, basis, late, frozen):
    desk = open_desk(basis=basis)
    desk.book(desk.purchase(), event_key="evt_paid")
    filled = desk.book(desk.purchase(**{late: 1000}), event_key="evt_updated")
    assert filled.fills is True
    assert filled.entry.event_key == "evt_paid"
    assert getattr(filled.entry.event, late) == Money(1000, "USD")
    assert (filled.dispatch.amount_minor, filled.dispatch.reason, filled.dispatch.due) == (frozen, None, True)
    assert desk.decide(desk.purchase(**{late: 1000})) == Already("evt_paid")


def test_a_late_figure_says_that_there_is_nothing_to_send(open_desk):
    desk = open_desk(basis="earnings")
    desk.book(desk.purchase(minor=40))
    sent = desk.book(desk.purchase(minor=40, net=-10)).dispatch
    assert (sent.status, sent.reason) == (Status.SKIPPED, Reason.ZERO_AMOUNT)


def test_a_known_figure_is_never_replaced(open_desk):
    desk = open_desk(basis="earnings")
    desk.book(desk.purchase(net=5000))
    assert desk.decide(desk.purchase(net=4000)) == Already("evt_1")
    filled = desk.book(desk.purchase(net=4000, tax=1000))
    assert filled.entry.event.net == Money(5000, "USD")
    assert filled.dispatch.amount_minor == 5000


def test_an_amount_of_zero_is_a_known_figure(desk):
    desk.book(desk.purchase(tax=0))
    assert desk.decide(desk.purchase(tax=1000)) == Already("evt_1")


def test_figures_in_another_currency_are_not_taken(open_desk):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(currency="USD"))
    assert desk.decide(desk.purchase(currency="EUR", tax=1000)) == Already("evt_1")


@pytest.mark.parametrize("minor", [6499, 6501, 13000])
def test_the_tax_of_another_gross_is_not_taken(open_desk, minor):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(minor=6500))
    assert desk.decide(desk.purchase(minor=minor, tax=1000, net=5000)) == Already("evt_1")
    assert desk.book(desk.purchase(minor=6500, tax=900)).dispatch.amount_minor == 5600


def test_ids_are_taken_whatever_the_gross(open_desk):
    desk = open_desk(api="payments")
    assert desk.book(desk.purchase(minor=6500)).dispatch.status is Status.UNATTRIBUTED
    filled = desk.book(desk.purchase(minor=6600, tax=1000, visitor="late"))
    assert (filled.entry.attribution.visitor_id, filled.entry.event.tax) == ("late", None)
    assert filled.dispatch.amount_minor == 6500


@pytest.mark.parametrize(
    ("status", "attempted"),
    [
        (Status.PENDING, True),
        (Status.RECORDED, True),
        (Status.REJECTED, True),
        (Status.DEAD, True),
        (Status.SKIPPED, False),
    ],
)
def test_once_a_delivery_was_tried_or_ended_late_figures_only_complete_the_ledger(desk, status, attempted):
    desk.book(desk.purchase(), became=status, attempted=attempted)
    filled = desk.book(desk.purchase(tax=1000, visitor="late"))
    assert filled.dispatch is None
    assert filled.entry.event.tax == Money(1000, "USD")
    assert not filled.entry.attribution


def test_a_refund_whose_figure_comes_later_still_waits_for_its_sale(open_desk):
    desk = open_desk(basis="net_of_tax")
    sale = desk.purchase(tax=1000)
    desk.book(sale)
    assert desk.book(desk.refund()).dispatch.reason is Reason.WAITING_FOR_AMOUNT
    waiting = desk.book(desk.refund(tax=1000)).dispatch
    assert (waiting.amount_minor, waiting.reason, waiting.due) == (5500, Reason.WAITING_FOR_SALE, False)


def test_figures_of_a_running_total_are_divided_like_the_total(open_desk):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(minor=12000, tax=2000), became=Status.RECORDED)
    first = desk.book(desk.total(6000, tax=1000, net=4800))
    second = desk.book(desk.total(9000, tax=1500, net=7200))
    assert (first.dispatch.amount_minor, second.dispatch.amount_minor) == (5000, 2500)
    assert (second.entry.event.tax, second.entry.event.net) == (Money(500, "USD"), Money(2400, "USD"))


def test_the_part_of_a_running_total_has_no_figure_while_an_earlier_part_has_none(open_desk):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(tax=1000), became=Status.RECORDED)
    desk.book(desk.total(2000))
    sent = desk.book(desk.total(3000, tax=500)).dispatch
    assert (sent.amount_minor, sent.reason) == (None, Reason.WAITING_FOR_AMOUNT)


def test_late_figures_of_a_total_do_not_fill_a_part_of_it(open_desk):
    desk = open_desk(basis="net_of_tax")
    desk.book(desk.purchase(tax=1000), became=Status.RECORDED)
    desk.book(desk.total(2000), event_key="evt_first")
    desk.book(desk.total(3000), event_key="evt_second")
    assert desk.decide(desk.total(3000, tax=500)) == Already("evt_second")
    whole = desk.book(desk.total(2000, tax=300))
    assert (whole.fills, whole.dispatch.amount_minor) == (True, 1700)
