"""Every fixture of the plugin against what must come out of it."""

import json

import pytest

from gateway.sdk import Ignored, Money, RevenueKind, parse_signed
from providers.paddle.events import read
from tests.providers.paddle.conftest import OWN_FIXTURES

PURCHASE, RENEWAL, REFUND, REVERSAL = RevenueKind
ALL = ("order-2f9c1d", "site_123:visitor_456", "session_789", "fat_0a1b2c3d")
NONE = (None, None, None, None)
USD = "USD"

EXPECTED = {
    "transaction.completed__first_purchase": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__replay": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.updated__late_completed": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.revised__customer_corrected": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__renewal_same_custom_data": (RENEWAL, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__one_off": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__jpy": (PURCHASE, 65215, 10869, 51036, "JPY", ALL),
    "transaction.completed__krw": (PURCHASE, 49000, 8166, 38334, "KRW", ALL),
    "transaction.completed__custom_data_null": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_empty_object": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_empty_strings": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_number": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_nested": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_list": (PURCHASE, 6500, 1083, 5042, USD, NONE),
    "transaction.completed__custom_data_very_long": (PURCHASE, 6500, 1083, 5042, USD, (None, None, None, "t" * 256)),
    "transaction.completed__custom_data_unknown_keys": (PURCHASE, 6500, 1083, 5042, USD, (*ALL[:2], None, None)),
    "transaction.completed__custom_data_snake_case": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__custom_data_text_unfit_to_store": (PURCHASE, 6500, 1083, 5042, USD, (*NONE[:3], "ok")),
    "transaction.completed__earnings_null": (PURCHASE, 6500, 1083, None, USD, ALL),
    "transaction.completed__zero": (PURCHASE, 0, 0, 0, USD, ALL),
    "transaction.completed__payment_method_change": (PURCHASE, 0, 0, 0, USD, ALL),
    "transaction.completed__negative_totals": (PURCHASE, -1500, -250, -1125, USD, ALL),
    "transaction.completed__subscription_charge": (PURCHASE, 900, 150, 655, USD, ALL),
    "transaction.completed__unknown_origin": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__two_captured_payments": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__nanoseconds": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__two_items": (PURCHASE, 6500, 1083, 5042, USD, ALL),
    "transaction.completed__simulated": "simulated",
    "transaction.created__draft": "not_final",
    "transaction.updated__ready": "not_final",
    "transaction.paid__captured": "not_final",
    "transaction.billed__invoice": "not_final",
    "transaction.payment_failed__declined": "not_final",
    "transaction.past_due__renewal": "not_final",
    "transaction.canceled__given_up": "not_final",
    "transaction.reimagined__type_of_the_future": "not_revenue",
    "adjustment.created__pending": "not_final",
    "adjustment.updated__still_pending": "not_final",
    "adjustment.updated__rejected": "not_final",
    "adjustment.updated__approved_partial": (REFUND, 1000, 166, 734, USD, NONE),
    "adjustment.updated__second_partial": (REFUND, 2500, 416, 1909, USD, NONE),
    "adjustment.updated__approved_full": (REFUND, 6500, 1083, 5042, USD, NONE),
    "adjustment.created__approved_at_once": (REFUND, 300, 50, 185, USD, NONE),
    "adjustment.updated__older_payload_without_type": (REFUND, 100, 16, 29, USD, NONE),
    "adjustment.created__chargeback": (REFUND, 6500, 1083, 5042, USD, NONE),
    "adjustment.updated__chargeback_reversed": (REFUND, 6500, 1083, 5042, USD, NONE),
    "adjustment.created__chargeback_reverse": (REVERSAL, 6500, 1083, 5042, USD, NONE),
    "adjustment.created__chargeback_warning": "not_revenue",
    "adjustment.created__chargeback_warning_reverse": "not_revenue",
    "adjustment.created__credit": "not_revenue",
    "adjustment.created__credit_reverse": "not_revenue",
    "adjustment.created__action_of_the_future": "not_revenue",
    "customer.created__not_revenue": "not_revenue",
    "subscription.created__not_revenue": "not_revenue",
    "payout.paid__not_revenue": "not_revenue",
    "planet.aligned__type_of_the_future": "not_revenue",
}


def envelope(name):
    return json.loads((OWN_FIXTURES / f"{name}.json").read_bytes())


def test_every_fixture_has_an_expectation():
    assert {path.stem for path in OWN_FIXTURES.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_fixture_gives_what_is_expected(name):
    expected = EXPECTED[name]
    sent = envelope(name)
    found = read(parse_signed((OWN_FIXTURES / f"{name}.json").read_bytes()))
    if isinstance(expected, str):
        assert found == Ignored(expected)
        return
    kind, gross, tax, net, currency, known = expected
    [event] = found
    assert event.kind is kind
    assert event.amount == Money(gross, currency)
    assert event.tax == Money(tax, currency)
    assert event.net == (None if net is None else Money(net, currency))
    who = event.attribution
    assert (event.reference, who.visitor_id, who.session_id, who.token) == known
    word = {PURCHASE: "payment", RENEWAL: "payment", REFUND: "refund", REVERSAL: "reversal"}[kind]
    assert event.key == f"{word}:{sent['data']['id']}"
    assert event.payment_id == sent["data"].get("transaction_id", sent["data"]["id"])
    assert event.test is False
    assert event.cumulative is False


def test_the_name_of_a_fixture_begins_with_its_event_type():
    for name in EXPECTED:
        assert envelope(name)["event_type"] == name.partition("__")[0]


def test_one_sale_reported_four_times_has_one_key():
    names = ["completed__first_purchase", "completed__replay", "updated__late_completed", "revised__customer_corrected"]
    assert len({read(envelope(f"transaction.{name}"))[0].key for name in names}) == 1


def test_a_renewal_has_its_own_key_and_repeats_the_order_id():
    [first] = read(envelope("transaction.completed__first_purchase"))
    [renewal] = read(envelope("transaction.completed__renewal_same_custom_data"))
    assert first.key != renewal.key
    assert (first.reference, first.subscription_id) == (renewal.reference, renewal.subscription_id)


def test_refunds_of_one_sale_have_keys_of_their_own():
    names = ["approved_partial", "second_partial", "approved_full"]
    events = [read(envelope(f"adjustment.updated__{name}"))[0] for name in names]
    assert len({event.key for event in events}) == 3
    assert len({event.payment_id for event in events}) == 1
    assert {event.cause for event in events} == {"refund"}


def test_a_chargeback_that_was_reversed_is_still_the_same_movement():
    [before] = read(envelope("adjustment.created__chargeback"))
    [after] = read(envelope("adjustment.updated__chargeback_reversed"))
    assert before.key == after.key
    assert after.cause == "chargeback"


def test_items_are_price_and_product_ids_each_once():
    [event] = read(envelope("transaction.completed__two_items"))
    assert event.items[2:] == ("pri_01kjaddon0000000000000000b", "pro_01kjaddon0000000000000000b")
    assert event.items[0].startswith("pri_")
    assert event.items[1].startswith("pro_")
    [refund] = read(envelope("adjustment.updated__approved_full"))
    assert refund.items == ()
