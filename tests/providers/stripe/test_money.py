import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Malformed, Money, Unsupported
from providers.stripe.money import PLACES, ZERO_DECIMAL, in_stripes_units, money, share


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (1999, "usd", 1999),
        (500, "jpy", 500),
        (500, "isk", 5),
        (500, "ugx", 5),
        (500, "mga", 50_000),
        (5120, "kwd", 5120),
        (5120, "tnd", 5120),
        (1045, "huf", 1045),
        (80045, "twd", 80045),
        (0, "usd", 0),
        (-1500, "eur", -1500),
        (10**15, "usd", 10**15),
    ],
)
def test_stripes_units_become_iso_minor_units(amount, currency, minor):
    assert money(amount, currency) == Money(minor, currency.upper())
    assert in_stripes_units(money(amount, currency)) == amount


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (550, "isk"),
        (1, "ugx"),
        (10**15 + 1, "usd"),
        (10**40, "usd"),
        (True, "usd"),
        (6500.0, "usd"),
        ("6500", "usd"),
        (None, "usd"),
        (6500, "usdc"),
        (6500, "xxx"),
        (6500, ""),
        (6500, None),
        (6500, 840),
        (6500, "u" * 500),
    ],
)
def test_what_is_no_amount_is_malformed(amount, currency):
    with pytest.raises(Malformed):
        money(amount, currency)


@pytest.mark.parametrize(
    ("part", "paid", "total", "currency", "minor"),
    [
        (1083, 6500, 6500, "usd", 1083),
        (1083, 2500, 6500, "usd", 417),
        (1083, 4000, 6500, "usd", 666),
        (1, 1, 2, "usd", 1),
        (108350, 1, 1, "isk", 1084),
        (10833, 1, 1, "mga", 1_083_300),
        (-150, 0, -900, "usd", 0),
        (1083, 0, 0, "usd", 0),
    ],
)
def test_a_tax_is_shared_and_rounded_half_up(part, paid, total, currency, minor):
    assert share(part, paid, total, currency) == Money(minor, currency.upper())


@pytest.mark.parametrize("part", [None, True, 1.5, "1083", 10**16])
def test_a_tax_that_is_no_number_is_malformed(part):
    with pytest.raises(Malformed):
        share(part, 1, 1, "usd")


@pytest.mark.parametrize("amount", [Money(550, "MGA"), Money(1, "MGA")])
def test_what_stripe_cannot_charge_is_unsupported(amount):
    with pytest.raises(Unsupported, match="MGA"):
        in_stripes_units(amount)


def test_every_currency_of_the_tables_is_one_of_iso_4217():
    for code in PLACES:
        assert money(0, code.lower()).currency == code
    assert len(ZERO_DECIMAL) == 15


@given(minor=st.integers(min_value=-(10**12), max_value=10**12), code=st.sampled_from(["USD", "JPY", "ISK", "KWD"]))
def test_there_and_back_is_the_same(minor, code):
    assert money(in_stripes_units(Money(minor, code)), code.lower()) == Money(minor, code)
