"""The bodies of both dialects, parsed: numbers exact, and every fault named by its field."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.domain.errors import Malformed
from gateway.domain.money import exponent
from gateway.domain.text import is_storable, printable

MAX_DIGITS = 15
MAX_PLACES = 10
"""Digits before and after the point; they keep a number like 1e999999999 from being written out in full."""


class BadCall(Exception):
    """The body is not what the API documents; the text names the field."""


def _known_currency(code: str) -> str:
    try:
        exponent(code)
    except Malformed as unknown:
        raise ValueError(str(unknown)) from None
    return code


def _believable(amount: int | Decimal) -> int | Decimal:
    _, digits, power = Decimal(amount).as_tuple()
    if not isinstance(power, int) or power < -MAX_PLACES or len(digits) + power > MAX_DIGITS:
        raise ValueError("not a believable amount")
    return amount


def _storable(value: str) -> str:
    if not is_storable(value):
        raise ValueError("contains a NUL or a lone surrogate")
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_storable)]
Id = Annotated[str, StringConstraints(max_length=512), AfterValidator(_storable)]
Amount = Annotated[int | Decimal, AfterValidator(_believable)]
Currency = Annotated[str, AfterValidator(_known_currency)]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
MetadataValue = (
    Annotated[str, StringConstraints(max_length=255), AfterValidator(_storable)] | int | Decimal | bool | None
)


class _Call(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class CallAttribution(_Call):
    """Who paid, in the revenue dialect; every part may be null."""

    fa_visitor_id: Id | None = Field(None, alias="faVisitorId")
    fa_session_id: Id | None = Field(None, alias="faSessionId")
    fa_attribution_token: Id | None = Field(None, alias="faAttributionToken")


class RevenueCall(_Call):
    """Body of `POST /api/revenue`."""

    event: Literal["purchase", "refund"]
    amount: Amount
    currency: Currency
    order_id: Text = Field(alias="orderId")
    provider: Text
    provider_payment_id: Text = Field(alias="providerPaymentId")
    attribution: CallAttribution


class PaymentsCall(_Call):
    """Body of `POST /api/v1/payments`."""

    transaction_id: Text
    amount: Amount
    currency: Currency
    faurya_visitor_id: Text
    faurya_session_id: Text | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=10)] = Field(default_factory=dict)


Call = TypeVar("Call", bound=_Call)


def parse(model: type[Call], body: bytes) -> Call:
    """Return the call that a body holds; raise `BadCall` naming the first field that is wrong."""
    try:
        return model.model_validate(_exact_json(body))
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadCall(printable(f"{field}: {first['msg']}", 300)) from None


def _exact_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadCall("body: not valid JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
