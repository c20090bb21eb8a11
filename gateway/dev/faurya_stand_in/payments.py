"""What a call of either dialect comes to: one payment in one form, or a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.dev.faurya_stand_in.calls import PaymentsCall, RevenueCall
from gateway.dev.faurya_stand_in.switches import PaymentsUnique, RevenueUnique, Switches, Unit
from gateway.domain.money import exponent


class Refusal(Exception):
    """The call is answered with an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One accepted call. `amount` is the number as sent, read in `unit`; `ids` are what it could be unique by."""

    site: str
    path: str
    event: str
    amount: Decimal
    unit: Unit
    currency: str
    provider: str | None
    order_id: str | None
    payment_id: str
    visitor_id: str | None
    session_id: str | None
    token: str | None
    ids: Mapping[str, str]
    unique_by: str

    @property
    def major(self) -> Decimal:
        """The amount in major units, as Faurya would show it."""
        return self.amount.scaleb(-exponent(self.currency)) if self.unit is Unit.MINOR else self.amount

    @property
    def who(self) -> str:
        """Whom the revenue is shown for."""
        if self.visitor_id:
            return self.visitor_id
        if self.session_id:
            return f"session {self.session_id}"
        return f"token {self.token}" if self.token else UNATTRIBUTED


UNATTRIBUTED = "unattributed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One line of revenue; `repeat` when the same payment had been counted before."""

    at: datetime
    payment: Payment
    repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One call that recorded nothing; `site` is None when its credentials named none."""

    at: datetime
    site: str | None
    path: str
    status: int
    why: str
    body: str


def of_revenue(call: RevenueCall, site: str, path: str, key: str | None, switches: Switches) -> Payment:
    """Return the payment of a call to `/api/revenue`, or raise `Refusal`."""
    amount = Decimal(call.amount)
    if call.event == "refund" and not switches.revenue_refunds:
        raise Refusal(400, "event: refunds are not supported")
    if amount == 0 or (amount < 0) != (call.event == "refund"):
        raise Refusal(400, "amount: must be more than zero for a purchase and less than zero for a refund")
    ids: dict[str, str] = {RevenueUnique.ORDER_ID: call.order_id, RevenueUnique.PAYMENT_ID: call.provider_payment_id}
    who = call.attribution
    return Payment(
        site=site,
        path=path,
        event=call.event,
        amount=amount,
        unit=switches.revenue_unit,
        currency=call.currency,
        provider=call.provider,
        order_id=call.order_id,
        payment_id=call.provider_payment_id,
        visitor_id=who.fa_visitor_id or None,
        session_id=who.fa_session_id or None,
        token=who.fa_attribution_token or None,
        ids=ids | ({RevenueUnique.IDEMPOTENCY_KEY: key} if key else {}),
        unique_by=switches.revenue_unique_by,
    )


def of_payments(call: PaymentsCall, site: str, path: str, key: str | None, switches: Switches) -> Payment:
    """Return the payment of a call to `/api/v1/payments`, or raise `Refusal`."""
    amount = Decimal(call.amount)
    if call.faurya_visitor_id in switches.bot_visitors:
        raise Refusal(400, "bot visitor")
    if amount == 0 or (amount < 0 and not switches.payments_refunds):
        raise Refusal(400, "amount: must be greater than 0")
    ids: dict[str, str] = {PaymentsUnique.TRANSACTION_ID: call.transaction_id}
    return Payment(
        site=site,
        path=path,
        event="refund" if amount < 0 else "purchase",
        amount=amount,
        unit=switches.payments_unit,
        currency=call.currency,
        provider=_text(call.metadata.get("provider")),
        order_id=_text(call.metadata.get("order_id")),
        payment_id=call.transaction_id,
        visitor_id=call.faurya_visitor_id,
        session_id=call.faurya_session_id,
        token=None,
        ids=ids | ({PaymentsUnique.IDEMPOTENCY_KEY: key} if key else {}),
        unique_by=switches.payments_unique_by,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
