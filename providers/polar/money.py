"""
Polar's figures as ISO 4217 minor units.

Polar counts as Stripe does, which charges the cards: hundredths of most currencies, whole units of fifteen. In three
currencies that is not the minor unit of ISO 4217.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gateway.sdk import Malformed, Money, checked

SCALE: Mapping[str, Fraction] = {"ISK": Fraction(1, 100), "UGX": Fraction(1, 100), "MGA": Fraction(100)}
"""
Minor units in one of Polar's: it counts ISK and UGX in hundredths, which ISO 4217 does not have, and MGA in whole
units, where ISO 4217 has two places (clients/packages/currency of polarsource/polar; https://docs.stripe.com/currencies).
"""

MAX_FIGURE = 10**15
"""As everywhere in the gateway."""


def currency_of(data: Mapping[str, Any]) -> str:
    """Return the currency, which Polar writes in lower case, as ISO 4217 writes it."""
    return checked(data.get("currency"), "data.currency", 3).upper()


def figure(data: Mapping[str, Any], name: str) -> int:
    """Return one of Polar's figures; raise `Malformed` for anything but a whole number."""
    value = data.get(name)
    if type(value) is not int or abs(value) > MAX_FIGURE:
        raise Malformed(f"data.{name} is not a whole number of the currency's smallest unit")
    return value


def money(units: int, currency: str) -> Money:
    """Return the exact amount; raise `Malformed` for a fraction of a minor unit, which no card can be charged."""
    minor = units * SCALE.get(currency, Fraction(1))
    if minor.denominator != 1:
        raise Malformed(f"{units} hundredths of {currency} are not a whole amount")
    return Money(minor.numerator, currency)


def nearest(units: int | Fraction, currency: str) -> Money:
    """Return the nearest amount, for a part of what was paid: the tax on 500 ISK may be 96.77 ISK."""
    return Money(round(units * SCALE.get(currency, Fraction(1))), currency)


def units(amount: Money) -> int:
    """Return an amount in Polar's unit, rounded to the nearest one."""
    return round(amount.minor / SCALE.get(amount.currency, Fraction(1)))
