import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueKind, attribution_from, parse_signed, time_of
from providers.lemonsqueezy.events import order_wanted, read, read_refunds, read_sale, subscription_asked_for
from providers.lemonsqueezy.values import identifier
from tests.providers.lemonsqueezy.conftest import FOLDER, fixture

GONE = object()
SALE = "order_created__one_off"
REFUND = "order_refunded__full"
RENEWAL = "subscription_payment_success__renewal"
FIRST = "subscription_payment_refunded__initial"


def changed(webhook, path, value):
    made = copy.deepcopy(webhook)
    *parents, last = path.split(".")
    place = made
    for name in parents:
        place = place[name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return made


def test_every_fixture_is_expected_and_named_after_its_event():
    expected = json.loads((FOLDER / "expected.json").read_bytes())
    names = {path.stem for path in (FOLDER / "fixtures").glob("*.json") if not path.stem.endswith(".api")}
    assert names == set(expected)
    for name in names:
        assert fixture(name)["meta"]["event_name"] == name.partition("__")[0]


def test_the_first_payment_of_a_subscription_is_counted_once():
    [sale] = read(fixture("order_created__first_of_a_subscription"))
    assert (sale.kind, sale.key) == (RevenueKind.PURCHASE, "payment:order-700102")
    assert read(fixture("subscription_payment_success__initial")) == Ignored("not_revenue")


def test_success_and_recovery_of_one_invoice_have_one_key():
    [one], [other] = read(fixture(RENEWAL)), read(fixture("subscription_payment_recovered__renewal"))
    assert one == other
    assert (one.kind, one.subscription_id) == (RevenueKind.RENEWAL, "800101")


def test_orders_and_invoices_of_the_same_number_are_two_payments():
    [sale] = read(changed(fixture(SALE), "data.id", "5"))
    [renewal] = read(changed(fixture(RENEWAL), "data.id", "5"))
    assert (sale.payment_id, renewal.payment_id) == ("order-5", "invoice-5")


def test_a_sale_stays_the_same_movement_after_its_refund():
    assert read(fixture("order_created__resent_after_refund")) == read(fixture(SALE))


def test_partial_refunds_are_running_totals_of_one_payment():
    totals = [read(fixture(f"order_refunded__{name}"))[0] for name in ("partial", "second_partial", "full")]
    assert [event.amount.minor for event in totals] == [2000, 3500, 6500]
    assert [event.key for event in totals] == [f"refunds:order-700101:{total}" for total in (2000, 3500, 6500)]
    assert {event.payment_id for event in totals} == {"order-700101"}
    assert all(event.cumulative for event in totals)


def test_only_a_full_refund_knows_its_tax():
    assert read(fixture("order_refunded__partial"))[0].tax is None
    assert read(fixture(REFUND))[0].tax == Money(1083, "USD")


def test_a_refund_has_no_ids_of_its_own_so_that_it_waits_for_its_sale():
    [refund] = read(fixture(REFUND))
    assert (refund.attribution, refund.reference) == (Attribution(), None)


def test_a_refund_of_a_first_invoice_is_one_of_its_order():
    invoice = fixture(FIRST)
    assert subscription_asked_for(invoice) == "800101"
    [by_invoice] = read(invoice, "700102")
    order = changed(fixture(REFUND), "data.id", "700102")
    [by_order] = read(order)
    assert by_invoice.key == by_order.key == "refunds:order-700102:6500"
    with pytest.raises(Malformed, match="order"):
        read(invoice)


@pytest.mark.parametrize(
    "name",
    [
        SALE,
        REFUND,
        RENEWAL,
        "subscription_payment_success__initial",
        "subscription_payment_refunded__renewal_full",
        "subscription_payment_refunded__initial_nothing_yet",
        "subscription_payment_refunded__simulated",
        "planet_aligned__event_of_the_future",
    ],
)
def test_other_webhooks_say_all_themselves(name):
    assert subscription_asked_for(fixture(name)) is None


def test_webhooks_of_our_own_simulation_are_no_money():
    names = ("order_created__simulated", "subscription_payment_refunded__simulated")
    assert [read(fixture(name)) for name in names] == [Ignored("simulated")] * 2


def test_a_payload_without_a_running_total_knows_full_refunds():
    assert read(fixture("order_refunded__older_payload")) == read(fixture(REFUND))


@pytest.mark.parametrize("webhook", [None, [], {}, {"meta": 7}, {"meta": {"event_name": ["x"]}}])
def test_nonsense_asks_for_nothing(webhook):
    assert subscription_asked_for(webhook) is None


def test_a_list_says_what_a_webhook_says_less_the_custom_data():
    [told], [listed] = read(fixture(RENEWAL)), read_sale(fixture(RENEWAL)["data"])
    assert (told.key, told.amount, told.subscription_id) == (listed.key, listed.amount, listed.subscription_id)
    assert (listed.reference, listed.attribution) == (None, Attribution())
    assert read_refunds(fixture(REFUND)["data"]) == read(fixture(REFUND))
    assert order_wanted(fixture(FIRST)["data"]) == "800101"


@pytest.mark.parametrize(
    ("name", "meta", "data", "test"),
    [
        (SALE, True, False, True),
        (SALE, False, True, True),
        (SALE, False, False, False),
        (SALE, "true", 1, False),
        (REFUND, GONE, True, True),
        (RENEWAL, GONE, GONE, False),
    ],
)
def test_money_is_test_money_if_any_part_says_so(name, meta, data, test):
    webhook = changed(changed(fixture(name), "meta.test_mode", meta), "data.attributes.test_mode", data)
    assert read(webhook)[0].test is test


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b'{"a": 1e999}', {"a": float("inf")}),
        (b'{"b": "\\ud800", "a": ' + b"9" * 5000 + b"}", {"b": "\ud800", "a": float("inf")}),
        (b'{"b": "\\ud800", "a": 12}', {"b": "\ud800", "a": 12}),
    ],
)
def test_custom_data_that_only_the_standard_library_reads_is_read(body, result):
    assert parse_signed(body) == result


@pytest.mark.parametrize("body", [b"", b"hello", b"\xff\xfe\xfa", b'{"a":', b"[" * 100_000])
def test_a_body_that_is_not_json_is_malformed(body):
    with pytest.raises(Malformed):
        parse_signed(body)


@pytest.mark.parametrize("webhook", [None, [], "x", 7, {}, {"meta": []}, {"meta": {}}, {"meta": {"event_name": 7}}])
def test_signed_nonsense_is_malformed(webhook):
    with pytest.raises(Malformed):
        read(webhook)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        (SALE, "data", GONE),
        (SALE, "data", []),
        (SALE, "data.type", "license-keys"),
        (SALE, "data.type", ["orders"]),
        (SALE, "data.id", GONE),
        (SALE, "data.id", ""),
        (SALE, "data.id", "a b"),
        (SALE, "data.id", "1" * 65),
        (SALE, "data.id", True),
        (SALE, "data.attributes", None),
        (SALE, "data.attributes.status", GONE),
        (SALE, "data.attributes.currency", GONE),
        (SALE, "data.attributes.currency", "dollars"),
        (SALE, "data.attributes.total", GONE),
        (SALE, "data.attributes.total", None),
        (SALE, "data.attributes.total", "6500"),
        (SALE, "data.attributes.total", 6500.0),
        (SALE, "data.attributes.total", True),
        (SALE, "data.attributes.total", 10**16),
        (SALE, "data.attributes.tax", 1083.5),
        (SALE, "data.attributes.created_at", GONE),
        (SALE, "data.attributes.created_at", "yesterday"),
        (SALE, "data.attributes.store_id", GONE),
        (RENEWAL, "data.attributes.billing_reason", GONE),
        (RENEWAL, "data.attributes.billing_reason", 7),
        (RENEWAL, "data.attributes.subscription_id", GONE),
        (RENEWAL, "data.attributes.subscription_id", {}),
        (REFUND, "data.attributes.refunded_amount", "6500"),
        (REFUND, "data.attributes.refunded_amount", -1),
        (REFUND, "data.attributes.refunded_at", 7),
        (REFUND, "data.attributes.total", None),
        (REFUND, "data.attributes.currency", 840),
        ("order_refunded__partial", "data.attributes.refunded_amount", None),
        ("order_refunded__partial", "data.attributes.updated_at", None),
        ("subscription_payment_refunded__renewal_full", "data.attributes.subscription_id", []),
    ],
)
def test_a_part_that_is_missing_or_odd_is_malformed(name, path, value):
    with pytest.raises(Malformed):
        read(changed(fixture(name), path, value))


@pytest.mark.parametrize(
    ("item", "items"),
    [
        ({"variant_id": 7, "product_id": 7}, ("7", "product-7")),
        ({"variant_id": 7}, ("7",)),
        ({"variant_id": "7", "product_id": True}, ()),
        ({"variant_id": -7}, ()),
        (None, ()),
        ([], ()),
    ],
)
def test_items_are_the_variant_and_the_product(item, items):
    [sale] = read(changed(fixture(SALE), "data.attributes.first_order_item", item))
    assert sale.items == items


@pytest.mark.parametrize(
    ("custom", "who"),
    [
        (None, Attribution()),
        ({"faVisitorId": "v", "faurya_visitor_id": "w"}, Attribution(visitor_id="v")),
        ({"faVisitorId": " ", "faurya_visitor_id": "w"}, Attribution(visitor_id="w")),
        ({"faVisitorId": "a\nb", "faSessionId": "\ud800"}, Attribution()),
        ({"faAttributionToken": "t" * 256}, Attribution(token="t" * 256)),
        ({"faAttributionToken": "t" * 257}, Attribution()),
    ],
)
def test_odd_attribution_is_dropped_and_not_refused(custom, who):
    assert attribution_from(custom) == who


@pytest.mark.parametrize(
    "text", ["2026-03-02T09:30:15.000000Z", "2026-03-02T09:30:15Z", "2026-03-02T11:30:15+02:00", "2026-03-02t09:30:15z"]
)
def test_times_are_aware_utc(text):
    assert time_of(text, "created_at").isoformat() == "2026-03-02T09:30:15+00:00"


@pytest.mark.parametrize("text", [None, 7, "", "2026-03-02 09:30:15", "2026-03-02T09:30:15", "2026-02-30T09:30:15Z"])
def test_what_is_no_time_is_malformed(text):
    with pytest.raises(Malformed, match="created_at"):
        time_of(text, "created_at")


@pytest.mark.parametrize(("value", "text"), [(7, "7"), ("7", "7"), ("a_b-C", "a_b-C")])
def test_ids_are_numbers_or_texts(value, text):
    assert identifier(value, "id") == text


@given(minor=st.integers(min_value=0, max_value=10**15), currency=st.sampled_from(["USD", "EUR", "JPY", "KWD"]))
def test_amounts_come_out_to_the_last_unit(minor, currency):
    webhook = changed(changed(fixture(SALE), "data.attributes.total", minor), "data.attributes.currency", currency)
    assert read(webhook)[0].amount == Money(minor, currency)
