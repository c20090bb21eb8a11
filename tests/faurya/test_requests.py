"""The requests of both dialects, byte for byte where it matters."""

from dataclasses import replace
from decimal import Decimal
from json import loads

import pytest
from pydantic import SecretStr

from gateway.domain.attribution import NOBODY, Attribution
from gateway.domain.delivery import Due
from gateway.domain.ids import movement_key
from gateway.domain.revenue import RevenueKind
from gateway.faurya import payments, revenue
from gateway.faurya.payments import PaymentsTarget
from gateway.faurya.revenue import RevenueTarget

DUE = Due(
    site="acme",
    connection="paddle-eu",
    plugin="paddle",
    key="payment:txn_1",
    own_id="txn_1",
    kind=RevenueKind.PURCHASE,
    payment_id="txn_1",
    order_id="order-1",
    order_id_sent="order-1",
    subscription_id="sub_1",
    amount_minor=6500,
    amount_unit="minor",
    currency="USD",
    attribution=Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t"),
    globally_unique=True,
)
REVENUE = RevenueTarget(url="https://faurya.test/", site_id="site-1", write_key=SecretStr("wk-secret"))
PAYMENTS = PaymentsTarget(url="https://api.faurya.test", api_key=SecretStr("ak-secret"))
KEY = movement_key("acme", "paddle-eu", "payment:txn_1")


def test_a_sale_in_the_revenue_dialect_is_the_guides_call():
    request = revenue.build(DUE, REVENUE)
    assert request.url == "https://faurya.test/api/revenue"
    assert loads(request.body) == {
        "event": "purchase",
        "amount": 6500,
        "currency": "USD",
        "orderId": "order-1",
        "provider": "paddle",
        "providerPaymentId": "txn_1",
        "attribution": {"faVisitorId": "site_1:visitor_2", "faSessionId": "s", "faAttributionToken": "t"},
    }
    assert dict(request.headers) == {
        "content-type": "application/json",
        "x-faurya-site-id": "site-1",
        "Idempotency-Key": KEY,
    }
    assert dict(request.secret_headers) == {"x-faurya-write-key": "wk-secret"}


def test_unknown_attribution_is_null_in_the_revenue_dialect():
    body = loads(revenue.build(replace(DUE, attribution=NOBODY), REVENUE).body)
    assert body["attribution"] == {"faVisitorId": None, "faSessionId": None, "faAttributionToken": None}


@pytest.mark.parametrize(
    ("kind", "event", "amount"),
    [
        (RevenueKind.PURCHASE, "purchase", 6500),
        (RevenueKind.RENEWAL, "purchase", 6500),
        (RevenueKind.REFUND_REVERSAL, "purchase", 6500),
        (RevenueKind.REFUND, "refund", -6500),
    ],
)
def test_refunds_alone_are_negative(kind, event, amount):
    body = loads(revenue.build(replace(DUE, kind=kind), REVENUE).body)
    assert (body["event"], body["amount"]) == (event, amount)


def test_a_refund_sends_its_own_order_id_beside_the_sales_payment_id():
    due = replace(DUE, kind=RevenueKind.REFUND, key="refund:adj_1", own_id="adj_1", order_id_sent="adj_1")
    body = loads(revenue.build(due, REVENUE).body)
    assert (body["orderId"], body["providerPaymentId"]) == ("adj_1", "txn_1")


@pytest.mark.parametrize(
    ("minor", "currency", "unit", "literal"),
    [
        (6500, "USD", "minor", b"6500"),
        (6500, "USD", "major", b"65.00"),
        (1, "USD", "major", b"0.01"),
        (6500, "JPY", "major", b"6500"),
        (6500, "KWD", "major", b"6.500"),
        (1, "UYW", "major", b"0.0001"),
        (999_999_999_999_999, "USD", "major", b"9999999999999.99"),
    ],
)
def test_amounts_are_exact_json_numbers_in_both_dialects(minor, currency, unit, literal):
    due = replace(DUE, amount_minor=minor, currency=currency, amount_unit=unit)
    for request in (revenue.build(due, REVENUE), payments.build(due, PAYMENTS)):
        assert b'"amount":' + literal + b"," in request.body
        assert loads(request.body, parse_float=Decimal)["amount"] == Decimal(literal.decode())


def test_a_refund_in_major_units_is_a_negative_literal():
    due = replace(DUE, kind=RevenueKind.REFUND, amount_unit="major")
    assert b'"amount":-65.00,' in revenue.build(due, REVENUE).body


def test_an_unknown_amount_unit_is_refused():
    with pytest.raises(ValueError, match="'cents'"):
        revenue.build(replace(DUE, amount_unit="cents"), REVENUE)


def test_a_sale_in_the_payments_dialect_is_the_public_apis_call():
    request = payments.build(replace(DUE, amount_unit="major"), PAYMENTS)
    assert request.url == "https://api.faurya.test/api/v1/payments"
    assert loads(request.body) == {
        "transaction_id": "txn_1",
        "amount": 65.0,
        "currency": "USD",
        "faurya_visitor_id": "site_1:visitor_2",
        "faurya_session_id": "s",
        "metadata": {
            "order_id": "order-1",
            "provider": "paddle",
            "kind": "purchase",
            "amount_minor": "6500",
            "currency": "USD",
            "subscription_id": "sub_1",
        },
    }
    assert dict(request.headers) == {"content-type": "application/json", "Idempotency-Key": KEY}
    assert dict(request.secret_headers) == {"Authorization": "Bearer ak-secret"}


def test_ids_that_are_not_globally_unique_carry_plugin_and_connection():
    body = loads(payments.build(replace(DUE, globally_unique=False), PAYMENTS).body)
    assert body["transaction_id"] == "paddle.paddle-eu.txn_1"


def test_absent_session_order_and_subscription_are_left_out_of_a_payment():
    due = replace(DUE, attribution=Attribution(visitor_id="v"), order_id=None, subscription_id=None)
    body = loads(payments.build(due, PAYMENTS).body)
    assert "faurya_session_id" not in body
    assert body["metadata"].keys() == {"provider", "kind", "amount_minor", "currency"}


def test_metadata_stays_inside_the_tighter_rule():
    body = loads(payments.build(replace(DUE, order_id="o" * 300, subscription_id="ü" * 512), PAYMENTS).body)
    assert len(body["metadata"]) <= 10
    assert all(len(value) <= 255 for value in body["metadata"].values())
    assert body["metadata"]["order_id"] == "o" * 255


@pytest.mark.parametrize(
    "due",
    [
        replace(DUE, kind=RevenueKind.REFUND),
        replace(DUE, kind=RevenueKind.REFUND_REVERSAL),
        replace(DUE, amount_minor=0),
        replace(DUE, amount_minor=-1),
        replace(DUE, attribution=Attribution(token="t")),
    ],
    ids=["refund", "reversal", "zero", "negative", "no visitor"],
)
def test_the_payments_dialect_builds_nothing_that_it_cannot_carry(due):
    with pytest.raises(ValueError, match="skip this delivery"):
        payments.build(due, PAYMENTS)


def test_secrets_are_in_no_repr():
    shown = repr([REVENUE, PAYMENTS, revenue.build(DUE, REVENUE), payments.build(DUE, PAYMENTS)])
    assert "secret" not in shown


def test_the_same_movement_is_the_same_request_every_time():
    assert revenue.build(DUE, REVENUE) == revenue.build(DUE, REVENUE)
    other = replace(DUE, key="payment:txn_2")
    assert dict(revenue.build(other, REVENUE).headers)["Idempotency-Key"] != KEY
