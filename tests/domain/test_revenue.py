"""A revenue event is complete and storable, or it is not made."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.domain.attribution import NOBODY, Attribution
from gateway.domain.errors import Malformed
from gateway.domain.money import Money
from gateway.domain.revenue import MAX_ITEMS, MAX_KEY, RevenueEvent, RevenueKind

WHEN = datetime(2026, 11, 2, 12, tzinfo=UTC)
KINDS_BACK = [RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL]
SALES = [RevenueKind.PURCHASE, RevenueKind.RENEWAL]


def event(**fields):
    what = {
        "kind": RevenueKind.PURCHASE,
        "key": "payment:txn_1",
        "payment_id": "txn_1",
        "amount": Money(6500, "USD"),
        "occurred_at": WHEN,
    }
    return RevenueEvent(**{**what, **fields})


def test_there_are_four_kinds_in_the_order_in_which_they_refer_to_each_other():
    assert [kind.value for kind in RevenueKind] == ["purchase", "renewal", "refund", "refund_reversal"]


def test_whatever_is_optional_is_absent_by_default():
    plain = event()
    assert (plain.test, plain.cumulative, plain.items, plain.attribution) == (False, False, (), NOBODY)
    for name in ("tax", "net", "reference", "checkout_id", "subscription_id", "account", "cause"):
        assert getattr(plain, name) is None


OPTIONAL_TEXT = ["reference", "checkout_id", "subscription_id", "account", "cause"]


@pytest.mark.parametrize("name", OPTIONAL_TEXT)
def test_empty_optional_text_is_absent(name):
    assert getattr(event(**{name: ""}), name) is None
    assert getattr(event(**{name: "x"}), name) == "x"


@pytest.mark.parametrize("name", ["key", "payment_id", *OPTIONAL_TEXT])
@pytest.mark.parametrize("value", ["a\0b", "\udc80", 5, "x" * 513])
def test_text_that_cannot_be_stored_is_malformed_and_named(name, value):
    with pytest.raises(Malformed, match=name):
        event(**{name: value})


@pytest.mark.parametrize("name", ["key", "payment_id"])
@pytest.mark.parametrize("value", ["", None, "x" * (MAX_KEY + 1)])
def test_a_movement_has_a_key_and_a_payment_that_fit_an_index(name, value):
    with pytest.raises(Malformed, match=name):
        event(**{name: value})


BAD_TYPES = [
    ("kind", "purchase", "kind must be a RevenueKind"),
    ("amount", 6500, "amount must be Money"),
    ("amount", None, "amount must be Money"),
    ("tax", 1000, "tax must be Money"),
    ("net", "10.00", "net must be Money"),
    ("tax", Money(1000, "EUR"), "tax is in EUR, the amount in USD"),
    ("net", Money(1000, "EUR"), "net is in EUR, the amount in USD"),
    ("occurred_at", datetime(2026, 11, 2), "occurred_at must be a datetime with a time zone"),
    ("occurred_at", "2026-11-02T12:00:00Z", "occurred_at must be a datetime with a time zone"),
    ("occurred_at", None, "occurred_at must be a datetime with a time zone"),
    ("test", 1, "test and cumulative must be True or False"),
    ("test", None, "test and cumulative must be True or False"),
    ("cumulative", "no", "test and cumulative must be True or False"),
    ("attribution", {"visitor_id": "v"}, "attribution must be an Attribution"),
    ("attribution", None, "attribution must be an Attribution"),
    ("items", "pri_1", "items must be a list of ids"),
    ("items", None, "items must be a list of ids"),
    ("items", {"pri_1"}, "items must be a list of ids"),
    ("items", [1], "items must be a string"),
    ("items", [""], "items must not be empty"),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD_TYPES)
def test_a_plugin_s_mistake_is_malformed_and_named(name, value, says):
    with pytest.raises(Malformed, match=says):
        event(**{name: value})


@pytest.mark.parametrize("kind", KINDS_BACK)
def test_what_moves_back_is_never_negative(kind):
    assert event(kind=kind, amount=Money(0, "USD")).amount.minor == 0
    with pytest.raises(Malformed, match="cannot be negative"):
        event(kind=kind, amount=Money(-1, "USD"))


@pytest.mark.parametrize("kind", SALES)
def test_a_sale_may_be_negative_or_nothing(kind):
    """A subscription change that gives credit is a sale below zero; it is booked as it is."""
    for minor in (-500, 0):
        assert event(kind=kind, amount=Money(minor, "USD")).amount.minor == minor


@pytest.mark.parametrize("kind", RevenueKind)
def test_only_refunds_are_running_totals(kind):
    if kind is RevenueKind.REFUND:
        assert event(kind=kind, cumulative=True).cumulative
    else:
        with pytest.raises(Malformed, match="only refunds can be running totals"):
            event(kind=kind, cumulative=True)


def test_times_are_kept_as_utc():
    kolkata = timezone(timedelta(hours=5, minutes=30))
    at = event(occurred_at=datetime(2026, 11, 2, 17, 30, tzinfo=kolkata)).occurred_at
    assert (at, at.utcoffset()) == (WHEN, timedelta(0))


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_a_time_outside_of_the_calendar_is_malformed(moment):
    with pytest.raises(Malformed, match="between the years 1 and 9999"):
        event(occurred_at=moment)


def test_items_are_copied():
    mine = ["pri_1", "pro_1"]
    kept = event(items=mine)
    mine.clear()
    assert kept.items == ("pri_1", "pro_1")


def test_the_items_of_the_largest_transaction_fit():
    """Claims look for an id among them: 100 items with a price and a product each."""
    ids = [f"{kind}_{number}" for number in range(100) for kind in ("pri", "pro")]
    assert event(items=ids).items[-1] == "pro_99"
    assert len(event(items=[*ids, "one-too-many"]).items) == MAX_ITEMS


def test_the_visitor_is_kept():
    who = Attribution(visitor_id="v")
    assert event(attribution=who).attribution is who


@pytest.mark.parametrize(
    ("key", "own_id"),
    [
        ("payment:txn_1", "txn_1"),
        ("refund:adj_1", "adj_1"),
        ("reversal:adj_2", "adj_2"),
        ("refunds:txn_1:6500", "txn_1:6500"),
        ("no-word", "no-word"),
        ("empty:", "empty:"),
    ],
)
def test_the_own_id_is_the_key_without_its_first_word(key, own_id):
    assert event(key=key).own_id == own_id


def test_an_event_is_a_value():
    assert event() == event()
    with pytest.raises(AttributeError):
        event().key = "payment:other"
