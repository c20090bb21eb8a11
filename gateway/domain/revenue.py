"""One movement of money, normalized over all providers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from gateway.domain.attribution import NOBODY, Attribution
from gateway.domain.errors import Malformed
from gateway.domain.money import Money
from gateway.domain.text import checked, checked_or_none

MAX_KEY = 255
"""Characters. A key is part of a primary key; Postgres index rows end at about 2,700 bytes."""

MAX_ITEMS = 200
"""Price and product ids of one event: both of each of the 100 items that a Paddle transaction has at most."""


class RevenueKind(StrEnum):
    """The four movements of money that the gateway knows."""

    PURCHASE = "purchase"
    RENEWAL = "renewal"
    REFUND = "refund"
    REFUND_REVERSAL = "refund_reversal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueEvent:
    """
    One confirmed movement of money.

    `key` names the movement (`payment:ID`, `refund:ID`, `reversal:ID`) and is the same from webhook and listing.
    `amount` is what the buyer paid, tax included, and for refunds and reversals what moved, never negative there.
    With `cumulative`, `amount` is the total refunded so far (`tax` and `net`, where given, are totals too) and the key
    `refunds:PAYMENT:TOTAL`.
    `net` is what is left after tax and fee. `reference` is our order id, if it came back.
    """

    kind: RevenueKind
    key: str
    payment_id: str
    amount: Money
    occurred_at: datetime
    test: bool = False
    cumulative: bool = False
    tax: Money | None = None
    net: Money | None = None
    reference: str | None = None
    checkout_id: str | None = None
    subscription_id: str | None = None
    account: str | None = None
    items: Sequence[str] = ()
    attribution: Attribution = NOBODY
    cause: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, RevenueKind):
            raise Malformed(f"kind must be a RevenueKind, not {type(self.kind).__name__}")
        checked(self.key, "key", MAX_KEY)
        checked(self.payment_id, "payment_id", MAX_KEY)
        for field in ("reference", "checkout_id", "subscription_id", "account", "cause"):
            if (value := getattr(self, field)) is not None and checked_or_none(value, field) is None:
                object.__setattr__(self, field, None)
        self._check_types()
        self._check_amounts()
        object.__setattr__(self, "occurred_at", _utc(self.occurred_at))
        object.__setattr__(self, "items", tuple(checked(item, "items") for item in self.items[:MAX_ITEMS]))

    def _check_types(self) -> None:
        if not isinstance(self.occurred_at, datetime) or self.occurred_at.utcoffset() is None:
            raise Malformed("occurred_at must be a datetime with a time zone")
        if type(self.test) is not bool or type(self.cumulative) is not bool:
            raise Malformed("test and cumulative must be True or False")
        if not isinstance(self.attribution, Attribution):
            raise Malformed(f"attribution must be an Attribution, not {type(self.attribution).__name__}")
        if isinstance(self.items, str) or not isinstance(self.items, (tuple, list, Sequence)):  # the last asks slowly
            raise Malformed("items must be a list of ids")

    def _check_amounts(self) -> None:
        if not isinstance(self.amount, Money):
            raise Malformed(f"amount must be Money, not {type(self.amount).__name__}")
        for field, figure in (("tax", self.tax), ("net", self.net)):
            if figure is not None and not isinstance(figure, Money):
                raise Malformed(f"{field} must be Money, not {type(figure).__name__}")
            if figure is not None and figure.currency != self.amount.currency:
                raise Malformed(f"{field} is in {figure.currency}, the amount in {self.amount.currency}")
        moves_back = self.kind in (RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL)
        if moves_back and self.amount.minor < 0:
            raise Malformed("a refund's amount is what moved and cannot be negative")
        if self.cumulative and self.kind is not RevenueKind.REFUND:
            raise Malformed("only refunds can be running totals")

    @property
    def own_id(self) -> str:
        """The movement's own id at the provider: the key without its first word."""
        return self.key.partition(":")[2] or self.key


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Malformed("occurred_at is not a time between the years 1 and 9999 in UTC") from None
