"""
Stripe's amounts and ISO 4217's: whole numbers both, of units that differ for three currencies.

Stripe writes MGA without decimal places (ISO 4217: two) and ISK and UGX with two that are always 00 (ISO 4217: none).
"""

from __future__ import annotations

from decimal import Decimal

from gateway.sdk import Malformed, Money, Unsupported, checked, from_major

ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
"""https://docs.stripe.com/currencies#zero-decimal; UGX stands there too, but the special case below decides."""

TWO_DECIMAL_ANYWAY = frozenset({"ISK", "UGX"})
"""https://docs.stripe.com/currencies#special-cases: 5 ISK are 500. HUF and TWD are special for payouts only."""

THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""The same page: 5.120 KWD are 5120, and the last digit is always 0."""

PLACES = {
    **dict.fromkeys(ZERO_DECIMAL, 0),
    **dict.fromkeys(TWO_DECIMAL_ANYWAY, 2),
    **dict.fromkeys(THREE_DECIMAL, 3),
}
"""Decimal places in Stripe's amounts; 2 for every other currency."""


def money(amount: object, currency: object) -> Money:
    """Return the money that Stripe's `amount` and `currency` (lower case) mean; raise `Malformed`."""
    code = checked(currency, "currency", 8).upper()
    return from_major(format(Decimal(_whole(amount)).scaleb(-PLACES.get(code, 2)), "f"), code)


def share(part: object, paid: int, total: int, currency: object) -> Money:
    """
    Return what of `part` (a tax) belongs to `paid` of `total`, rounded half up to the currency's minor unit.

    An invoice may be paid in several payments, or partly from the customer's balance; its tax is one figure.
    """
    code = checked(currency, "currency", 8).upper()
    if total <= 0:
        return Money(0, code)
    above = _whole(part) * paid * 10 ** _iso_places(code)
    below = total * 10 ** PLACES.get(code, 2)
    return Money((2 * above + below) // (2 * below), code)


def in_stripes_units(amount: Money) -> int:
    """Return the whole number that Stripe wants for `amount`; raise `Unsupported` where there is none."""
    units = amount.major().scaleb(PLACES.get(amount.currency, 2))
    if units != units.to_integral_value():
        raise Unsupported(f"Stripe cannot charge {amount}: it takes no fractions of {amount.currency}")
    return int(units)


def _iso_places(code: str) -> int:
    return -int(Money(0, code).major().as_tuple().exponent)


def _whole(amount: object) -> int:
    if type(amount) is not int or abs(amount) > 10**15:
        raise Malformed("an amount is not a whole number of minor units that can be believed")
    return amount
