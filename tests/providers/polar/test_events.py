import json
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueKind, attribution_from, parse_signed
from providers.polar.events import instant, read, read_order, read_refund
from providers.polar.money import currency_of, figure, money, nearest, units
from tests.providers.polar.conftest import OWN_FIXTURES


def webhook(name, **changes):
    found = json.loads((OWN_FIXTURES / f"{name}.json").read_bytes())
    return {**found, "data": {**found["data"], **changes}}


def event(name, **changes):
    [found] = read(webhook(name, **changes))
    return found


SALE = "order.paid__first_purchase"
REFUND = "refund.created__at_once"


def test_the_name_of_a_fixture_begins_with_its_event_type():
    for path in OWN_FIXTURES.glob("*.json"):
        assert json.loads(path.read_bytes())["type"] == path.stem.partition("__")[0]


def test_one_sale_reported_by_every_event_is_one_movement():
    names = [
        "order.created__paid_at_once",
        "order.paid__first_purchase",
        "order.updated__fee_known",
        "order.updated__partially_refunded",
        "order.updated__refunded",
    ]
    found = [event(name) for name in names]
    assert {(one.key, one.kind, one.amount, one.occurred_at) for one in found} == {
        (found[0].key, RevenueKind.PURCHASE, Money(6500, "USD"), datetime(2026, 3, 2, 9, 30, 15, 123456, UTC))
    }


def test_one_refund_reported_twice_is_one_movement_and_totals_are_none():
    assert event(REFUND) == event("refund.updated__succeeded")
    assert read(webhook("order.refunded__total")) == Ignored("not_revenue")


def test_a_refund_is_what_the_buyer_gets_back_tax_included():
    refund, sale = event(REFUND), event(SALE)
    assert (refund.amount, refund.tax, refund.payment_id) == (sale.amount, sale.tax, sale.payment_id)
    partial = event("refund.created__partial")
    assert (partial.amount, partial.tax) == (Money(1000, "USD"), Money(166, "USD"))


def test_refunds_of_one_sale_have_keys_of_their_own():
    names = [REFUND, "refund.created__partial", "refund.created__dispute_prevented"]
    assert len({event(name).key for name in names}) == 3
    assert event("refund.created__dispute_prevented").cause == "dispute_prevention"


def test_a_renewal_has_its_own_key_and_repeats_the_metadata():
    first, renewal = event(SALE), event("order.paid__renewal")
    assert renewal.kind is RevenueKind.RENEWAL
    assert first.key != renewal.key
    assert (first.reference, first.subscription_id) == (renewal.reference, renewal.subscription_id)
    assert first.attribution == renewal.attribution


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("purchase", RevenueKind.PURCHASE),
        ("subscription_create", RevenueKind.PURCHASE),
        ("subscription_cycle", RevenueKind.RENEWAL),
        ("subscription_update", RevenueKind.RENEWAL),
        ("subscription_meter_cycle", RevenueKind.RENEWAL),
        ("reason_of_the_future", RevenueKind.PURCHASE),
        (None, RevenueKind.PURCHASE),
        (["subscription_cycle"], RevenueKind.PURCHASE),
    ],
)
def test_the_billing_reason_tells_renewals_from_purchases(reason, kind):
    assert event(SALE, billing_reason=reason).kind is kind


@pytest.mark.parametrize(
    ("figures", "paid", "tax"),
    [
        ({}, 6500, 1083),
        ({"applied_balance_amount": None}, 6500, 1083),
        ({"applied_balance_amount": -2600}, 3900, 650),
        ({"applied_balance_amount": -6500}, 0, 0),
        ({"applied_balance_amount": 500}, 7000, 1166),
        ({"applied_balance_amount": -2600, "due_amount": 9}, 3900, 650),
        ({"total_amount": -1500, "tax_amount": -250}, 0, 0),
        ({"total_amount": -1500, "tax_amount": -250, "applied_balance_amount": 200}, 0, 0),
        ({"total_amount": 0, "tax_amount": 0, "applied_balance_amount": 500}, 500, 0),
        ({"total_amount": 0, "tax_amount": 0}, 0, 0),
        ({"due_amount": 0}, 6500, 1083),
    ],
)
def test_the_amount_is_what_the_buyer_paid_and_the_tax_its_share(figures, paid, tax):
    found = event(SALE, **figures)
    assert (found.amount, found.tax) == (Money(paid, "USD"), Money(tax, "USD"))


@pytest.mark.parametrize(
    ("figures", "net"),
    [
        ({"platform_fee_amount": 300, "platform_fee_currency": "usd"}, Money(5117, "USD")),
        (
            {"platform_fee_amount": 300, "platform_fee_currency": "usd", "applied_balance_amount": -2600},
            Money(2950, "USD"),
        ),
        ({"platform_fee_amount": 0, "platform_fee_currency": "usd"}, None),
        ({"platform_fee_amount": 300, "platform_fee_currency": None}, None),
        ({"platform_fee_amount": 300, "platform_fee_currency": "eur"}, None),
        ({"platform_fee_amount": -300, "platform_fee_currency": "usd"}, None),
        ({"platform_fee_amount": "300", "platform_fee_currency": "usd"}, None),
    ],
)
def test_net_is_known_once_polar_has_booked_its_fee(figures, net):
    assert event(SALE, **figures).net == net


def test_items_are_product_and_price_ids_each_once():
    found = event("order.paid__two_prices", product_price_id="price_old").items
    assert [item[-4:] for item in found] == ["b001", "_old", "f001", "f002"]
    assert event(SALE, items="text", product_id=None, product_price_id=7).items == ()
    assert event(SALE, items=["text", {}], product_id="", product_price_id="x" * 256).items == ()


@pytest.mark.parametrize(
    ("changes", "account"),
    [
        ({}, "7c1e5b0a-3f2d-4a6e-9b11-00000000a001"),
        ({"organization_id": "org_1"}, "org_1"),
        ({"customer": None}, "7c1e5b0a-3f2d-4a6e-9b11-00000000a001"),
        ({"customer": None, "product": "text"}, None),
    ],
)
def test_the_account_is_the_organization(changes, account):
    assert event(SALE, **changes).account == account
    assert event(REFUND).account == "7c1e5b0a-3f2d-4a6e-9b11-00000000a001"


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({"faVisitorId": "v", "faSessionId": "s", "faAttributionToken": "t"}, ("v", "s", "t")),
        ({"faurya_visitor_id": "v", "faurya_session_id": "s", "faurya_attribution_token": "t"}, ("v", "s", "t")),
        ({"faVisitorId": "", "faurya_visitor_id": "v"}, ("v", None, None)),
        ({"faVisitorId": "x" * 257, "faSessionId": "a\0b", "faAttributionToken": 7}, (None, None, None)),
        ({"faVisitorId": "x" * 256, "faSessionId": "\ud800"}, ("x" * 256, None, None)),
        (["faVisitorId"], (None, None, None)),
        (None, (None, None, None)),
        ("text", (None, None, None)),
    ],
)
def test_odd_attribution_is_dropped_and_not_refused(metadata, who):
    assert attribution_from(metadata) == Attribution(visitor_id=who[0], session_id=who[1], token=who[2])


@pytest.mark.parametrize("status", ["draft", "pending", "void", "status_of_the_future"])
def test_an_order_that_is_not_paid_is_not_final(status):
    assert read(webhook(SALE, status=status)) == Ignored("not_final")


@pytest.mark.parametrize("status", ["pending", "failed", "canceled", "status_of_the_future"])
def test_a_refund_that_has_not_succeeded_is_not_final(status):
    assert read(webhook(REFUND, status=status)) == Ignored("not_final")


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"\xff\xfe", b"[" * 100_000, b'{"type": "order.paid"'],
)
def test_bytes_that_are_not_json_are_malformed(body):
    with pytest.raises(Malformed):
        parse_signed(body)


def test_metadata_that_orjson_refuses_loses_no_sale():
    text = (
        json.dumps(webhook(SALE)).replace('"session_789"', '"\\ud800"').replace('"custom_field_data": {}', '"x": 1e999')
    )
    [found] = read(parse_signed(text.encode()))
    assert (found.amount, found.attribution.session_id) == (Money(6500, "USD"), None)


def test_a_number_beyond_all_amounts_is_malformed_and_does_not_take_time():
    for digits in ("9" * 25, "9" * 100_000):
        text = json.dumps(webhook(SALE)).replace('"total_amount": 6500', f'"total_amount": {digits}')
        with pytest.raises(Malformed):
            read(parse_signed(text.encode()))


@pytest.mark.parametrize("envelope", [None, [], 7, "text", {}, {"type": 7}, {"type": ""}, {"type": "order.paid"}])
def test_an_envelope_that_is_none_is_malformed(envelope):
    with pytest.raises(Malformed):
        read(envelope)


@pytest.mark.parametrize(
    "event_type", ["order.refunded", "subscription.cycled", "checkout.updated", "x", "payment.paid"]
)
def test_other_types_are_no_revenue_whatever_they_hold(event_type):
    assert read({"type": event_type, "data": None}) == Ignored("not_revenue")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (SALE, "id", ""),
        (SALE, "id", 7),
        (SALE, "status", None),
        (SALE, "currency", None),
        (SALE, "currency", "dollars"),
        (SALE, "currency", "zzz"),
        (SALE, "total_amount", None),
        (SALE, "total_amount", "6500"),
        (SALE, "total_amount", 65.0),
        (SALE, "total_amount", True),
        (SALE, "total_amount", 10**15 + 1),
        (SALE, "tax_amount", None),
        (SALE, "applied_balance_amount", "0"),
        (SALE, "created_at", None),
        (SALE, "created_at", "2026-03-02"),
        (SALE, "created_at", "2026-03-02T09:30:15"),
        (SALE, "created_at", "2026-02-30T09:30:15Z"),
        (SALE, "created_at", "9999-12-31T23:59:59-12:00"),
        (SALE, "subscription_id", 7),
        (SALE, "checkout_id", []),
        (REFUND, "amount", None),
        (REFUND, "amount", -9000),
        (REFUND, "tax_amount", None),
        (REFUND, "order_id", None),
        (REFUND, "created_at", 7),
    ],
)
def test_signed_nonsense_is_malformed(name, field, value):
    with pytest.raises(Malformed):
        read(webhook(name, **{field: value}))


@pytest.mark.parametrize("reader", [read_order, read_refund])
@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_an_entry_that_is_no_object_is_malformed(reader, data):
    with pytest.raises(Malformed):
        reader(data)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@given(field=st.sampled_from(sorted(webhook(SALE)["data"])), value=json_values)
def test_any_value_anywhere_is_read_or_malformed(field, value):
    try:
        found = read(webhook(SALE, **{field: value}))
    except Malformed:
        return
    assert isinstance(found, Ignored) or found[0].key.startswith("payment:")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T09:30:15Z", datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)),
        ("2026-03-02t09:30:15.5z", datetime(2026, 3, 2, 9, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-03-02T10:30:15.123456789+01:00", datetime(2026, 3, 2, 9, 30, 15, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_utc(text, time):
    assert instant(text) == time


@pytest.mark.parametrize(
    ("figure_", "currency", "amount"),
    [
        (6500, "USD", Money(6500, "USD")),
        (9800, "JPY", Money(9800, "JPY")),
        (49000, "KRW", Money(49000, "KRW")),
        (990000, "ISK", Money(9900, "ISK")),
        (5000000, "UGX", Money(50000, "UGX")),
        (45000, "MGA", Money(4500000, "MGA")),
        (1250000, "HUF", Money(1250000, "HUF")),
        (0, "ISK", Money(0, "ISK")),
        (-990000, "ISK", Money(-9900, "ISK")),
    ],
)
def test_amounts_become_iso_minor_units(figure_, currency, amount):
    assert money(figure_, currency) == amount
    assert units(amount) == figure_


def test_a_fraction_of_a_minor_unit_is_malformed_where_it_was_charged_and_rounded_in_a_part():
    with pytest.raises(Malformed, match="ISK"):
        money(990050, "ISK")
    assert nearest(191613, "ISK") == Money(1916, "ISK")
    assert nearest(Fraction(3333, 2), "USD") == Money(1666, "USD")


def test_figures_and_currencies_are_checked():
    assert figure({"a": -(10**15)}, "a") == -(10**15)
    assert currency_of({"currency": "eur"}) == "EUR"
    for odd in ({}, {"currency": 840}, {"currency": "euros"}):
        with pytest.raises(Malformed):
            currency_of(odd)
