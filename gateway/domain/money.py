"""
Money as integers of the currency's minor unit, end to end.

Exponents are those of ISO 4217: 6500 USD is 65.00, 6500 JPY is 6500 yen, 6500 KWD is 6.500.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache

from iso4217 import Currency

from gateway.domain.errors import Malformed

MAX_MINOR = 10**15
"""Larger than any payment; small enough for every JSON reader (2^53) and for a Postgres bigint after summing."""


@cache
def exponent(currency: str) -> int:
    """Return the number of decimal places of an ISO 4217 currency; raise `Malformed` for anything else."""
    try:
        places = Currency(currency).exponent
    except ValueError:
        places = None
    if places is None or currency != currency.upper():
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
            raise Malformed(f"an amount of {len(str(abs(self.minor)))} digits is not believable")
        if not isinstance(self.currency, str):
            raise Malformed(f"a currency must be a string, not {type(self.currency).__name__}")
        exponent(self.currency)

    def __str__(self) -> str:
        return f"{self.major()} {self.currency}"

    def major(self) -> Decimal:
        """Return the exact amount in major units: 6500 USD is Decimal("65.00"), 6500 JPY is Decimal("6500")."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))


def from_major(text: str, currency: str) -> Money:
    """Return the money that a decimal string such as "49.00" names; raise `Malformed` if it is not exact."""
    try:
        minor = Decimal(text).scaleb(exponent(currency))
        whole = int(minor)
    except (InvalidOperation, ValueError, OverflowError, TypeError):
        raise Malformed(f"{str(text)[:32]!r} is not a decimal amount") from None
    if minor != whole:
        raise Malformed(f"{text[:32]!r} has more decimal places than {currency} has")
    return Money(whole, currency)
