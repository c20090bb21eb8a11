"""Money is whole minor units with the exponents of ISO 4217, and nothing else is money."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from gateway.domain.errors import Malformed
from gateway.domain.money import MAX_MINOR, Money, exponent, from_major

CURRENCIES = sorted(currency.value for currency in Currency if currency.exponent is not None)

# https://developer.paddle.com/concepts/sell/supported-currencies
PADDLE = [
    *("USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "HKD", "SGD", "SEK", "ARS", "BRL", "CLP", "CNY", "COP", "CZK"),
    *("DKK", "HUF", "ILS", "INR", "KRW", "MXN", "NOK", "NZD", "PEN", "PLN", "RUB", "THB", "TRY", "TWD", "UAH", "VND"),
    "ZAR",
]

amounts = st.integers(min_value=-MAX_MINOR, max_value=MAX_MINOR)


@pytest.mark.parametrize(
    ("currency", "places"),
    [("USD", 2), ("EUR", 2), ("INR", 2), ("JPY", 0), ("KRW", 0), ("CLP", 0), ("VND", 0), ("KWD", 3), ("CLF", 4)],
)
def test_exponents_are_those_of_iso_4217(currency, places):
    assert exponent(currency) == places


@pytest.mark.parametrize("currency", PADDLE)
def test_every_currency_of_paddle_is_known(currency):
    assert exponent(currency) in (0, 2)


@pytest.mark.parametrize("currency", ["usd", "Usd", "", " USD", "USD ", "US", "840", "BTC", "USDC", "XXX", "XAU", "$"])
def test_what_is_no_iso_4217_currency_with_a_minor_unit_is_malformed(currency):
    with pytest.raises(Malformed, match="ISO 4217"):
        Money(1, currency)


@pytest.mark.parametrize("currency", [None, 840, b"USD", ["USD"], {}])
def test_a_currency_that_is_no_string_is_malformed(currency):
    with pytest.raises(Malformed, match="a currency must be a string"):
        Money(1, currency)
    with pytest.raises(Malformed, match="a currency must be a string"):
        from_major("1", currency)


@pytest.mark.parametrize("minor", [1.0, "1", None, True, False, Decimal(1), [1]])
def test_an_amount_that_is_no_true_integer_is_malformed(minor):
    with pytest.raises(Malformed, match="whole number of minor units"):
        Money(minor, "USD")


@pytest.mark.parametrize("minor", [MAX_MINOR, -MAX_MINOR, 0])
def test_amounts_up_to_10_to_the_15_are_money(minor):
    assert Money(minor, "USD").minor == minor


@pytest.mark.parametrize("minor", [MAX_MINOR + 1, -MAX_MINOR - 1, pytest.param(10**5000, id="10^5000")])
def test_larger_amounts_are_not_believed(minor):
    with pytest.raises(Malformed, match="not believable"):
        Money(minor, "USD")


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(6500, "USD"), "65.00 USD"),
        (Money(6500, "JPY"), "6500 JPY"),
        (Money(6500, "KWD"), "6.500 KWD"),
        (Money(5, "USD"), "0.05 USD"),
        (Money(-5, "USD"), "-0.05 USD"),
        (Money(0, "CLF"), "0.0000 CLF"),
        (Money(MAX_MINOR, "CLF"), "100000000000.0000 CLF"),
    ],
)
def test_money_reads_in_major_units(money, text):
    assert str(money) == text


@given(minor=amounts, currency=st.sampled_from(CURRENCIES))
def test_major_units_are_exact_and_come_back(minor, currency):
    money = Money(minor, currency)
    assert money.major() * 10 ** exponent(currency) == minor
    assert from_major(format(money.major(), "f"), currency) == money


@given(minor=amounts, currency=st.sampled_from(CURRENCIES), zeros=st.integers(min_value=1, max_value=20))
def test_zeros_at_the_end_change_nothing(minor, currency, zeros):
    text = format(Money(minor, currency).major(), "f")
    padded = text + ("" if "." in text else ".") + "0" * zeros
    assert from_major(padded, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("49.00", "USD", 4900),
        ("49", "USD", 4900),
        ("49.5", "USD", 4950),
        ("007.10", "USD", 710),
        ("-0.50", "USD", -50),
        ("-0", "USD", 0),
        ("500.00", "JPY", 500),
        ("1.234", "KWD", 1234),
    ],
)
def test_a_decimal_string_is_read_exactly(text, currency, minor):
    assert from_major(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"), [("49.001", "USD"), ("0.5", "JPY"), ("1.00000000000000000000000000000001", "USD")]
)
def test_more_decimal_places_than_the_currency_has_are_malformed(text, currency):
    with pytest.raises(Malformed, match=f"more decimal places than {currency} has"):
        from_major(text, currency)


@pytest.mark.parametrize(
    "text",
    ["", " ", "49.", ".5", "1e3", "1E999999999", "1_000", "1,000.00", "1.000,00", " 49.00", "49.00\n", "+49", "--1",
     "NaN", "Infinity", "\u0663", "0x10", "$49", "1" * 17, "1" * 5000, "0." + "0" * 33],
)  # fmt: skip
def test_what_is_no_plain_decimal_is_malformed(text):
    with pytest.raises(Malformed, match=r"is not a decimal amount such as '49\.00'"):
        from_major(text, "USD")


@pytest.mark.parametrize("value", [49.0, 49, True, None, b"49.00", Decimal("49.00")])
def test_only_a_string_names_an_exact_decimal(value):
    with pytest.raises(Malformed, match="must be a string"):
        from_major(value, "USD")


def test_a_readable_amount_that_is_too_large_is_not_believed():
    with pytest.raises(Malformed, match="not believable"):
        from_major("9999999999999999", "USD")
