import contextlib
import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Attribution, Ignored, Malformed, Money, attribution_from, parse_signed
from providers.paddle.events import instant, money, read

SALE = {
    "event_id": "evt_1",
    "event_type": "transaction.completed",
    "occurred_at": "2026-03-02T09:30:15.5Z",
    "data": {
        "id": "txn_1",
        "status": "completed",
        "origin": "web",
        "currency_code": "USD",
        "custom_data": {"orderId": "o-1", "faVisitorId": "v"},
        "items": [{"price": {"id": "pri_1", "product_id": "pro_1"}}],
        "details": {"totals": {"grand_total": "6500", "tax": "1000", "earnings": "5000", "currency_code": "USD"}},
    },
}
REFUND = {
    "event_id": "evt_2",
    "event_type": "adjustment.updated",
    "occurred_at": "2026-03-02T09:30:15Z",
    "data": {
        "id": "adj_1",
        "action": "refund",
        "status": "approved",
        "transaction_id": "txn_1",
        "currency_code": "USD",
        "totals": {"total": "100", "tax": "8", "earnings": "87", "currency_code": "USD"},
    },
}
GONE = object()


def changed(envelope, path, value):
    made = copy.deepcopy(envelope)
    *parents, last = path.split(".")
    place = made
    for name in parents:
        place = place[name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b'{"a": 1e999}', {"a": float("inf")}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": float("inf")}),
        (b'{"b": "\\ud800", "a": ' + b"9" * 5000 + b"}", {"b": "\ud800", "a": float("inf")}),
        (b'{"b": "\\ud800", "a": 12}', {"b": "\ud800", "a": 12}),
    ],
)
def test_custom_data_that_only_the_standard_library_reads_is_read(body, result):
    assert parse_signed(body) == result


@pytest.mark.parametrize("body", [b"", b"hello", b"\xff\xfe\xfa", b'{"a":', b"[" * 100_000, b'{"a":1}{"b":2}'])
def test_a_body_that_is_not_json_is_malformed(body):
    with pytest.raises(Malformed):
        parse_signed(body)


def test_a_sale_with_a_lone_surrogate_in_custom_data_is_not_lost():
    body = json.dumps(changed(SALE, "data.custom_data", {"orderId": "\ud800", "faVisitorId": "v"})).encode()
    [sale] = read(parse_signed(body))
    assert (sale.reference, sale.attribution.visitor_id) == (None, "v")


@pytest.mark.parametrize("envelope", [None, [], "x", 7, True, {}, {"event_type": None}, {"event_type": ["x"]}])
def test_signed_nonsense_is_malformed(envelope):
    with pytest.raises(Malformed):
        read(envelope)


@pytest.mark.parametrize(
    ("envelope", "path", "value"),
    [
        (SALE, "data", GONE),
        (SALE, "data", []),
        (SALE, "data.id", GONE),
        (SALE, "data.id", ""),
        (SALE, "data.id", 7),
        (SALE, "data.id", "x" * 256),
        (SALE, "data.id", "a\0b"),
        (SALE, "data.status", GONE),
        (SALE, "data.status", 7),
        (SALE, "data.details", None),
        (SALE, "data.details.totals", "6500"),
        (SALE, "data.details.totals.grand_total", GONE),
        (SALE, "data.details.totals.grand_total", None),
        (SALE, "data.details.totals.grand_total", ""),
        (SALE, "data.details.totals.grand_total", "12.5"),
        (SALE, "data.details.totals.grand_total", 12.0),
        (SALE, "data.details.totals.grand_total", True),
        (SALE, "data.details.totals.grand_total", "1" * 17),
        (SALE, "data.details.totals.tax", "x"),
        (SALE, "data.details.totals.tax", ""),
        (SALE, "data.details.totals.earnings", []),
        (SALE, "data.details.totals.currency_code", "EUR"),
        (SALE, "data.currency_code", GONE),
        (SALE, "data.currency_code", 840),
        (SALE, "data.subscription_id", 7),
        (SALE, "occurred_at", GONE),
        (SALE, "occurred_at", "yesterday"),
        (REFUND, "data", None),
        (REFUND, "data.id", GONE),
        (REFUND, "data.action", None),
        (REFUND, "data.status", {}),
        (REFUND, "data.transaction_id", None),
        (REFUND, "data.totals", []),
        (REFUND, "data.totals.total", "-100"),
        (REFUND, "data.totals.total", GONE),
        (REFUND, "data.currency_code", "???"),
        (REFUND, "occurred_at", 1772443815),
    ],
)
def test_a_money_event_that_cannot_be_understood_is_malformed(envelope, path, value):
    with pytest.raises(Malformed):
        read(changed(envelope, path, value))


@pytest.mark.parametrize("currency", ["usd", "XXX", "???", "US"])
def test_a_currency_that_iso_4217_does_not_know_is_malformed(currency):
    bad = changed(changed(SALE, "data.currency_code", currency), "data.details.totals.currency_code", currency)
    with pytest.raises(Malformed):
        read(bad)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.origin", GONE),
        ("data.origin", ["subscription_recurring"]),
        ("data.details.totals.tax", GONE),
        ("data.details.totals.earnings", None),
        ("data.details.totals.currency_code", GONE),
        ("data.items", None),
        ("data.items", {"price": 1}),
        ("data.items", [None, {"price": "pri_1"}, {"price_id": 7}, {"price": {"id": "", "product_id": "a\0b"}}]),
        ("data.custom_data", GONE),
        ("data.custom_data", "faVisitorId"),
        ("event_id", GONE),
        ("event_id", 7),
    ],
)
def test_what_is_missing_beside_the_money_does_not_lose_the_sale(path, value):
    [sale] = read(changed(SALE, path, value))
    assert sale.amount == Money(6500, "USD")
    assert sale.kind.value == "purchase"


@pytest.mark.parametrize(
    "marks",
    [
        {"event_id": "ntfsimevt_1"},
        {"notification_id": "ntfsimntf_1"},
        {"event_id": "ntfsimevt_1", "notification_id": 7},
    ],
)
@pytest.mark.parametrize("envelope", [SALE, REFUND, {**SALE, "data": None}, {**SALE, "event_type": "customer.created"}])
def test_simulations_are_never_money(envelope, marks):
    assert read({**envelope, **marks}) == Ignored("simulated")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-02T09:30:15Z", (9, 30, 15, 0)),
        ("2026-03-02t09:30:15z", (9, 30, 15, 0)),
        ("2026-03-02T09:30:15.5Z", (9, 30, 15, 500_000)),
        ("2026-03-02T09:30:15.123456Z", (9, 30, 15, 123_456)),
        ("2026-03-02T09:30:15.123456789Z", (9, 30, 15, 123_456)),
        ("2026-03-02T09:30:15.1234567+00:00", (9, 30, 15, 123_456)),
        ("2026-03-02T11:30:15+02:00", (9, 30, 15, 0)),
        ("2026-03-02T04:00:15-05:30", (9, 30, 15, 0)),
    ],
)
def test_times_are_read_with_0_to_9_fractional_digits(text, utc):
    assert instant(text) == datetime(2026, 3, 2, *utc, tzinfo=UTC)
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        None, 7, "", "2026-03-02", "2026-03-02T09:30:15", "2026-03-02 09:30:15Z", "2026-03-02T09:30Z",
        "2026-03-02T09:30:15.Z", "2026-03-02T09:30:15.1234567890Z", "2026-13-02T09:30:15Z", "2026-03-02T24:30:15Z",
        "2026-03-02T09:30:60Z", "0000-03-02T09:30:15Z", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00",
        "٢٠٢٦-03-02T09:30:15Z", "20260302T093015Z", "2026-W10-1T09:30:15Z", " 2026-03-02T09:30:15Z",
        "2026-03-02T09:30:15Z\n", "2026-03-02T09:30:15+25:00",
    ],
)  # fmt: skip
def test_other_times_are_malformed(value):
    with pytest.raises(Malformed):
        instant(value)


@pytest.mark.parametrize(
    ("value", "minor"),
    [("0", 0), ("-0", 0), ("-1500", -1500), ("0065", 65), (65, 65), (-3, -3), ("1" + "0" * 15, 10**15)],
)
def test_amounts_are_whole_numbers(value, minor):
    assert money({"total": value}, "total", "JPY") == Money(minor, "JPY")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "1.0",
        "1e3",
        "--1",
        "\u0661",
        "1_000",
        "NaN",
        1.0,
        True,
        None,
        [],
        {},
        10**16,
        "9" * 16,
        "1\n",
    ],
)
def test_anything_else_is_no_amount(value):
    with pytest.raises(Malformed):
        money({"total": value}, "total", "USD")


@pytest.mark.parametrize(
    ("custom_data", "visitor", "session", "token"),
    [
        ({"faVisitorId": "a", "faSessionId": "b", "faAttributionToken": "c"}, "a", "b", "c"),
        ({"faurya_visitor_id": "a", "faurya_session_id": "b", "faurya_attribution_token": "c"}, "a", "b", "c"),
        ({"faVisitorId": "a", "faurya_visitor_id": "z", "faurya_session_id": "b"}, "a", "b", None),
        ({"faVisitorId": "", "faurya_visitor_id": "a"}, "a", None, None),
        ({"faVisitorId": 7, "faurya_visitor_id": "a"}, "a", None, None),
        ({"faVisitorId": "v" * 256, "faSessionId": "s" * 257}, "v" * 256, None, None),
        ({"faVisitorId": "   ", "faSessionId": "a\0", "faAttributionToken": "\udc00"}, None, None, None),
        ({"favisitorid": "a"}, None, None, None),
        ({}, None, None, None),
        (None, None, None, None),
        ([], None, None, None),
    ],
)
def test_the_visitor_is_read_in_both_spellings(custom_data, visitor, session, token):
    assert attribution_from(custom_data) == Attribution(visitor_id=visitor, session_id=session, token=token)


@pytest.mark.parametrize(
    ("custom_data", "reference"),
    [
        ({"orderId": "o-1"}, "o-1"),
        ({"order_id": "o-2"}, "o-2"),
        ({"orderId": 7, "order_id": "o-2"}, "o-2"),
        ({"orderId": "2024/ÄB #7"}, "2024/ÄB #7"),
        ({"orderId": "o" * 255}, "o" * 255),
        ({"orderId": "o" * 256}, None),
        ({"orderId": "two\nlines"}, None),
    ],
)
def test_a_clean_order_id_is_kept_whoever_made_it(custom_data, reference):
    [sale] = read(changed(SALE, "data.custom_data", custom_data))
    assert sale.reference == reference


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PATHS = [
    "event_id", "event_type", "occurred_at", "data", "data.id", "data.status", "data.origin", "data.currency_code",
    "data.items", "data.details", "data.details.totals", "data.details.totals.grand_total", "data.details.totals.tax",
    "data.subscription_id",
]  # fmt: skip


@given(path=st.sampled_from(PATHS), value=json_values)
def test_any_json_anywhere_is_read_ignored_or_malformed(path, value):
    try:
        found = read(changed(SALE, path, value))
    except Malformed:
        return
    assert isinstance(found, Ignored) or found[0].key.startswith("payment:")


@given(
    custom_data=json_values | st.dictionaries(st.sampled_from(["faVisitorId", "orderId", "faSessionId"]), json_values)
)
def test_no_custom_data_ever_loses_a_sale(custom_data):
    [sale] = read(changed(SALE, "data.custom_data", custom_data))
    assert sale.amount == Money(6500, "USD")


@given(body=st.binary(max_size=200))
def test_no_bytes_break_the_reader(body):
    with contextlib.suppress(Malformed):
        read(parse_signed(body))
