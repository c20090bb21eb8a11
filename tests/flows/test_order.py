"""What is ordered: plans, quantities and attribution. Pure."""

from typing import Any

import pytest

from gateway.config import Amount, Item, Plan, Quantity, Site
from gateway.domain.attribution import Attribution
from gateway.flows.order import (
    InvalidCheckout,
    KeyInProgress,
    Order,
    ProviderAway,
    UnknownPlan,
    chosen_plan,
    chosen_quantity,
    fitting,
    kept_ids,
)
from gateway.sdk import MetadataLimits


def plan(name: str, *prices: str, quantity: Quantity | None = None) -> Plan:
    amount = None if prices else Amount(value="19.00", currency="EUR")
    items = {"items": tuple(Item(price_id=price) for price in prices)} if prices else {}
    return Plan(name=name, provider="example", amount=amount, quantity=quantity, **items)


PRO, BUNDLE, FLAT = plan("pro", "p1"), plan("bundle", "p2", "p3"), plan("flat")
TWIN_A, TWIN_B = plan("twin_a", "p4"), plan("twin_b", "p4")
ACME: Any = Site.model_construct(name="acme", plans={one.name: one for one in (PRO, BUNDLE, FLAT, TWIN_A, TWIN_B)})
SOLD_AS_IT_IS = None
TWO_TO_FIVE = Quantity(min=2, max=5)


def order(**what: Any) -> Order:
    values: dict[str, Any] = {
        "plan": None,
        "price_id": None,
        "quantity": None,
        "ids": (None, None, None),
        "customer_email": None,
        "customer_ip": None,
        "idempotency_key": None,
    }
    return Order(**{**values, **what})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (order(plan="pro"), PRO),
        (order(plan="flat"), FLAT),
        (order(price_id="p1"), PRO),
        (order(plan="bundle", price_id="p1"), BUNDLE),
    ],
)
def test_a_plan_is_found_by_its_name_or_by_the_only_price_it_has(asked: Order, expected: Plan) -> None:
    assert chosen_plan(ACME, asked) is expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (order(plan="Pro"), "no plan named 'Pro'"),
        (order(plan="x\ud800\0" + "y" * 100), "no plan named 'x\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}yyy"),
        (order(plan="price", price_id="p1"), "no plan named 'price'"),
        (order(price_id="p2"), "0 plans of the site have exactly this price"),
        (order(price_id="p4"), "2 plans of the site have exactly this price"),
    ],
)
def test_a_plan_that_is_not_listed_cannot_be_ordered(asked: Order, says: str) -> None:
    with pytest.raises(UnknownPlan) as caught:
        chosen_plan(ACME, asked)
    assert says in str(caught.value)


def test_without_plan_and_price_the_plan_is_what_is_missing() -> None:
    with pytest.raises(InvalidCheckout) as caught:
        chosen_plan(ACME, order())
    assert caught.value.field == "plan"


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        (SOLD_AS_IT_IS, None, 1), (SOLD_AS_IT_IS, 1, 1), (SOLD_AS_IT_IS, 2, None), (SOLD_AS_IT_IS, 0, None),
        (TWO_TO_FIVE, None, 2), (TWO_TO_FIVE, 2, 2), (TWO_TO_FIVE, 5, 5), (TWO_TO_FIVE, 1, None),
        (TWO_TO_FIVE, 6, None), (TWO_TO_FIVE, 2**63, None),
    ],
)  # fmt: skip
def test_the_caller_chooses_a_quantity_only_where_and_as_far_as_the_plan_allows(
    rule: Quantity | None, asked: int | None, expected: int | None
) -> None:
    chosen = plan("pro", "p1", quantity=rule)
    if expected is not None:
        assert chosen_quantity(chosen, asked) == expected
        return
    with pytest.raises(InvalidCheckout) as caught:
        chosen_quantity(chosen, asked)
    assert caught.value.field == "quantity"


ALL = ("faVisitorId", "faSessionId", "faAttributionToken")


@pytest.mark.parametrize(
    ("ids", "kept", "dropped"),
    [
        ((None, None, None), (None, None, None), ()),
        (("v", "s", "t"), ("v", "s", "t"), ()),
        (("", "", ""), (None, None, None), ()),
        (("v" * 256, "s", None), ("v" * 256, "s", None), ()),
        (("v" * 257, "s", "t"), (None, "s", "t"), ("faVisitorId",)),
        ((123, True, 1.5), (None, None, None), ALL),
        (([], {}, ["v"]), (None, None, None), ALL),
        (("a\0b", "a\ud800", "\udfff"), (None, None, None), ALL),
        (("caf\xe9 \U0001f600", "\n", " "), ("caf\xe9 \U0001f600", "\n", " "), ()),
    ],
)
def test_attribution_that_cannot_be_kept_is_dropped_and_named(
    ids: Any, kept: tuple[str | None, ...], dropped: tuple[str, ...]
) -> None:
    attribution, names = kept_ids(ids)
    assert (attribution.visitor_id, attribution.session_id, attribution.token) == kept
    assert names == dropped


@pytest.mark.parametrize(
    ("keys", "chars", "kept"),
    [
        (10, 500, ("v" * 100, "s", "t")),
        (4, 100, ("v" * 100, "s", "t")),
        (3, 100, ("v" * 100, "s", None)),
        (2, 100, ("v" * 100, None, None)),
        (1, 100, (None, None, None)),
        (2, 99, (None, "s", None)),
        (10, 99, (None, "s", "t")),
    ],
)
def test_what_does_not_fit_beside_the_reference_stays_at_home(keys: int, chars: int, kept: Any) -> None:
    found = fitting(
        Attribution(visitor_id="v" * 100, session_id="s", token="t"),
        MetadataLimits(keys=keys, key_chars=40, value_chars=chars),
    )
    assert (found.visitor_id, found.session_id, found.token) == kept


def test_nobody_fits_everywhere() -> None:
    assert not fitting(Attribution(session_id="s"), MetadataLimits(keys=1, key_chars=1, value_chars=1))


def test_an_order_shows_neither_the_customer_nor_the_key() -> None:
    shown = repr(order(plan="pro", customer_email="who@example.com", customer_ip="192.0.2.9", idempotency_key="key-1"))
    assert "pro" in shown
    assert not any(text in shown for text in ("who@example.com", "192.0.2.9", "key-1"))


def test_an_error_says_what_to_do_without_being_told() -> None:
    assert "ask again" in str(KeyInProgress())
    assert "ask again" in str(ProviderAway())
    assert str(ProviderAway("busy")) == "busy"
