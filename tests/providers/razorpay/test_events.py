import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueKind, parse_signed
from providers.razorpay.events import NOT_FINAL, READERS, SALE_EVENTS, dispute, event_type, read, refund, sale
from tests.providers.razorpay.conftest import FOLDER, entity, fixture, read_fixture, told

WHO = Attribution(
    visitor_id="site_123:visitor_456",
    session_id="session_789",
    token="fat_0a1b2c3d",
)
NAMES = sorted(path.stem for path in (FOLDER / "fixtures").glob("*.json") if not path.stem.endswith(".api"))
LINK_EVENTS = ["payment.captured__link", "order.paid__link", "payment_link.paid__link"]
ORDER, INVOICE = "/v1/orders/order_RzpInventedB01", "/v1/invoices/inv_RzpInventedD01"
PLAN, PAYMENT = "/v1/subscriptions/sub_RzpInventedE01", "/v1/payments/pay_RzpInventedA01"


def one(name):
    [event] = read_fixture(name)[0]
    return event


def captured(**changes):
    """Return the only event of a captured payment with these changes."""
    payment = {**entity("payment.captured__link", "payment"), **changes}
    [event] = told(sale({"payment": payment}), {ORDER: {}})[0]
    return event


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_fixture_begins_with_its_event(name):
    assert fixture(name)["event"] == name.partition("__")[0]


def test_every_event_that_is_read_has_a_fixture():
    told_of = {name.partition("__")[0] for name in NAMES}
    assert told_of >= set(READERS) - {"invoice.partially_paid"}
    assert not NOT_FINAL & set(READERS)
    assert set(READERS) > SALE_EVENTS


def test_the_events_of_one_sale_are_equal():
    first, *others = [one(name) for name in LINK_EVENTS]
    assert others == [first, first]
    assert (first.key, first.reference, first.checkout_id) == (
        "payment:pay_RzpInventedA01",
        "order-2f9c1d",
        "plink_RzpInventedC01",
    )
    assert (first.account, first.attribution, first.test) == ("acc_RzpInventedZ01", WHO, False)


@pytest.mark.parametrize("name", LINK_EVENTS)
def test_a_sale_with_its_notes_asks_nothing(name):
    assert read_fixture(name)[1] == []


def test_a_sale_whose_notes_were_not_copied_is_the_same_in_either_order():
    alone, asked = read_fixture("payment.captured__link_notes_not_copied")
    whole, asked_too = read_fixture("payment_link.paid__link_notes_not_copied")
    assert alone == whole == [one("payment.captured__link")]
    assert (asked, asked_too) == ([ORDER], [])


@pytest.mark.parametrize("name", ["first", "later"])
def test_the_two_events_of_a_subscriptions_charge_are_equal(name):
    captured, asked = read_fixture(f"payment.captured__subscription_{name}")
    charged, asked_too = read_fixture(f"subscription.charged__{name}")
    assert captured == charged
    assert (asked, asked_too) == ([INVOICE, PLAN], [INVOICE])
    assert captured[0].kind is (RevenueKind.PURCHASE if name == "first" else RevenueKind.RENEWAL)
    assert captured[0].subscription_id == "sub_RzpInventedE01"
    assert captured[0].items == ("plan_RzpInventedF01",)
    assert captured[0].attribution == WHO


def test_an_invoice_event_says_the_same_as_the_charge():
    found, asked = read_fixture("invoice.paid__subscription_later")
    assert found == [one("subscription.charged__later")]
    assert asked == [PLAN]


def test_an_amount_that_is_paid_up_front_is_no_renewal():
    assert one("payment.captured__subscription_upfront").kind is RevenueKind.PURCHASE


def test_the_receipt_is_the_reference_of_last_resort():
    assert one("payment.captured__order_of_a_site_receipt_only").reference == "order-2f9c1d"
    assert one("payment_link.paid__made_in_the_dashboard").reference == "23"
    invoiced = one("payment.captured__invoice_without_subscription")
    assert (invoiced.reference, invoiced.subscription_id, invoiced.checkout_id) == ("order-2f9c1d", None, None)


def test_another_invoice_or_subscription_in_the_payload_is_not_believed():
    payment = {**entity("subscription.charged__first", "payment")}
    other = {"id": "inv_other", "subscription_id": "sub_other"}
    reading = sale({"payment": payment, "invoice": other, "subscription": {"id": "sub_other"}})
    _, asked = told(reading, {INVOICE: {"id": "inv_RzpInventedD01", "subscription_id": "sub_RzpInventedE01"}, PLAN: {}})
    assert asked == [INVOICE, PLAN]


@pytest.mark.parametrize(
    ("description", "checkout_id"),
    [
        ("#RzpInventedC01", "plink_RzpInventedC01"),
        ("#1", None),
        ("#RzpInventedC01 and more", None),
        ("RzpInventedC01", None),
        ("#RzpInvented-C01", None),
        (None, None),
        (7, None),
    ],
)
def test_the_description_names_the_payment_link(description, checkout_id):
    assert captured(description=description).checkout_id == checkout_id


@pytest.mark.parametrize(
    ("changes", "net"),
    [
        ({}, Money(48722, "INR")),
        ({"fee": 0}, Money(49900, "INR")),
        ({"fee": None}, None),
        ({"fee": "1178"}, None),
        ({"fee": True}, None),
        ({"base_currency": "INR"}, Money(48722, "INR")),
        ({"base_currency": "MYR"}, None),
        ({"base_amount": 4_100_000}, None),
        ({"base_amount": None}, Money(48722, "INR")),
    ],
)
def test_what_is_left_is_known_only_in_the_accounts_own_currency(changes, net):
    event = captured(**changes)
    assert event.net == net
    assert event.tax is None


@pytest.mark.parametrize(
    ("status", "flag", "is_money"),
    [
        ("captured", True, True),
        ("captured", "1", True),
        ("captured", 1, True),
        ("captured", None, False),
        ("captured", False, False),
        ("captured", "0", False),
        ("captured", {}, False),
        ("refunded", True, True),
        ("refunded", False, False),
        ("authorized", True, False),
        ("failed", True, False),
        ("of the future", True, False),
        (None, True, False),
    ],
)
def test_money_counts_once_it_is_captured(status, flag, is_money):
    payment = {**entity("payment.captured__link", "payment"), "status": status, "captured": flag}
    found, _ = told(sale({"payment": payment}))
    assert (found != Ignored("not_final")) is is_money
    back, _ = told(refund({"refund": entity("refund.processed__partial", "refund"), "payment": payment}))
    assert (back != Ignored("not_revenue")) is is_money


def test_a_payment_without_the_flag_goes_by_its_status():
    payment = entity("payment.captured__link", "payment")
    del payment["captured"]
    assert told(sale({"payment": payment}))[0] != Ignored("not_final")
    assert told(sale({"payment": {**payment, "status": "refunded"}}))[0] == Ignored("not_final")


def test_refunds_of_one_payment_have_keys_of_their_own():
    first, second = one("refund.processed__partial"), one("refund.processed__second_partial")
    assert (first.key, second.key) == ("refund:rfnd_RzpInventedH1", "refund:rfnd_RzpInventedH2")
    assert first.payment_id == second.payment_id == "pay_RzpInventedA01"
    assert first.amount.minor + second.amount.minor == 49900
    assert (first.cumulative, first.cause) == (False, "refund")


def test_a_refund_asks_for_the_payment_that_it_lacks():
    found, asked = read_fixture("refund.processed__payment_left_out")
    assert found == [one("refund.processed__partial")]
    assert asked == [PAYMENT]


def test_a_lost_dispute_is_a_refund_of_what_was_deducted():
    event = one("payment.dispute.lost__chargeback")
    assert (event.kind, event.key, event.amount) == (
        RevenueKind.REFUND,
        "refund:disp_RzpInventedI1",
        Money(39000, "INR"),
    )
    assert one("payment.dispute.lost__older_payload") == event
    lost = {**entity("payment.dispute.lost__chargeback", "dispute"), "amount": 100}
    del lost["amount_deducted"]
    assert told(dispute({"dispute": lost}))[0][0].amount == Money(100, "INR")


def test_notes_in_either_spelling_are_read():
    assert one("payment.captured__notes_snake_case").attribution == WHO
    assert one("payment.captured__notes_snake_case").reference == "order-2f9c1d"


def test_odd_notes_are_dropped_and_the_sale_is_not():
    event = one("payment.captured__notes_odd_values")
    assert event.attribution == Attribution()
    assert event.reference == "order-2f9c1d"


def test_fields_of_two_visitors_are_never_mixed():
    payment = {**entity("payment.captured__link", "payment"), "notes": {"faSessionId": "half"}}
    order = {"notes": {"faVisitorId": "whole", "faAttributionToken": "t"}}
    [event], _ = told(sale({"payment": payment, "order": order}))
    assert event.attribution == Attribution(visitor_id="whole", token="t")
    [event], _ = told(sale({"payment": payment, "order": {"notes": {"faAttributionToken": "t"}}}))
    assert event.attribution == Attribution(session_id="half")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "pay_1/../2"},
        {"id": 7},
        {"order_id": "order/1", "notes": {}},
        {"invoice_id": ["inv_1"]},
        {"amount": "49900"},
        {"amount": 499.0},
        {"amount": True},
        {"amount": None},
        {"amount": 10**16},
        {"currency": "ZZZ"},
        {"currency": None},
        {"currency": 356},
        {"created_at": "1788250000"},
        {"created_at": 12},
        {"created_at": True},
        {"created_at": 4_765_046_401},
        {"created_at": None},
    ],
)
def test_a_payment_that_cannot_be_understood_is_malformed(changes):
    with pytest.raises(Malformed):
        captured(**changes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"event": 7}',
        b'{"event": ""}',
        b'{"event": "payment.captured"}',
        b'{"event": "payment.captured", "payload": []}',
        b'{"event": "payment.captured", "payload": {}}',
        b'{"event": "payment.captured", "payload": {"payment": {"entity": []}}}',
        b'{"event": "refund.processed", "payload": {"payment": {"entity": {}}}}',
        b'{"event": "payment.dispute.lost", "payload": {}}',
        b'{"event": "payment.captured", "account_id": 7, "payload": {}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_signed_nonsense_is_malformed(body):
    with pytest.raises(Malformed):
        told(read(parse_signed(body)))


@pytest.mark.parametrize("name", sorted(SALE_EVENTS - {"payment.captured"}))
def test_a_sale_event_without_a_payment_moves_no_money(name):
    assert told(read({"event": name, "payload": {"order": {"entity": {"id": "order_1"}}}}))[0] == Ignored("not_revenue")


def test_text_that_only_the_standard_library_reads_is_read():
    body = json.dumps(fixture("payment.captured__link")).replace("site_123:visitor_456", "\\ud800").encode()
    [event], _ = told(read(parse_signed(body)))
    assert event.attribution.visitor_id is None
    assert event.attribution.session_id == "session_789"
    assert parse_signed(b'{"a": "\\ud800", "b": ' + b"9" * 30 + b"}")["b"] == 1e30


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"event": "payment.captured"}', "payment.captured"),
        (b'{"event": ""}', None),
        (b'{"event": "a\\nb"}', None),
        (b'{"event": 7}', None),
        (json.dumps({"event": "x" * 256}).encode(), None),
        (b"[]", None),
        (b"\xff", None),
    ],
)
def test_the_type_of_a_body_is_named_where_it_has_one(body, name):
    assert event_type(body) == name


@given(st.binary(max_size=200))
def test_naming_the_type_never_raises(body):
    assert event_type(body) is None or isinstance(event_type(body), str)
