"""
Money as integers of the currency's minor unit, end to end.

Exponents are those of ISO 4217: 6500 USD is 65.00, 6500 JPY is 6500 yen, 6500 KWD is 6.500.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from iso4217 import Currency

from gateway.domain.errors import Malformed

MAX_MINOR = 10**15
"""Larger than any payment; small enough for every JSON reader (2^53) and for a Postgres bigint after summing."""


DECIMAL = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,32}))?", re.ASCII)
"""A plain decimal: no exponent, blanks or separators, and short enough to be an amount."""


def exponent(currency: str) -> int:
    """Return the number of decimal places of an ISO 4217 currency; raise `Malformed` for anything else."""
    if not isinstance(currency, str):
        raise Malformed(f"a currency must be a string, not {type(currency).__name__}")
    return _exponent(currency)


@cache
def _exponent(currency: str) -> int:
    try:
        places = Currency(currency).exponent
    except ValueError:
        places = None
    if places is None:
        raise Malformed(f"{currency[:16]!r} is not an ISO 4217 currency with a minor unit")
    return int(places)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor unit of `currency` (cents for USD, yen for JPY)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:  # a bool is an int to isinstance
            raise Malformed(f"an amount must be a whole number of minor units, not {type(self.minor).__name__}")
        if abs(self.minor) > MAX_MINOR:
            raise Malformed("an amount beyond 10^15 minor units is not believable")
        exponent(self.currency)

    def __str__(self) -> str:
        return f"{self.major()} {self.currency}"

    def major(self) -> Decimal:
        """Return the exact amount in major units: 6500 USD is Decimal("65.00"), 6500 JPY is Decimal("6500")."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))


def from_major(text: str, currency: str) -> Money:
    """
    Return the money that a decimal string such as "49.00" names; raise `Malformed` if it is not exact.

    A float, an exponent, blanks and separators are refused: what they mean is a guess.
    """
    places = exponent(currency)
    if not isinstance(text, str):
        raise Malformed(f"a decimal amount must be a string such as '49.00', not {type(text).__name__}")
    parts = DECIMAL.fullmatch(text)
    if parts is None:
        raise Malformed(f"{text[:32]!r} is not a decimal amount such as '49.00'")
    sign, whole, fraction = parts[1], parts[2], (parts[3] or "").rstrip("0")
    if len(fraction) > places:
        raise Malformed(f"{text[:32]!r} has more decimal places than {currency} has")
    return Money(int(sign + whole + fraction.ljust(places, "0")), currency)
