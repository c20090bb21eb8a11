"""What the documentation of Faurya leaves open, and what can go wrong: one switch each."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Duplicate(StrEnum):
    """The answer to a payment that is already there."""

    OK = "ok"  # 200, counted once
    BAD_REQUEST = "bad_request"  # 400 with `duplicate_message`
    CONFLICT = "conflict"  # 409
    COUNTED_TWICE = "counted_twice"  # 200, and counted again


class RevenueUnique(StrEnum):
    """What makes a call of the revenue dialect the same payment."""

    ORDER_ID = "orderId"
    PAYMENT_ID = "providerPaymentId"
    IDEMPOTENCY_KEY = "Idempotency-Key"


class PaymentsUnique(StrEnum):
    """What makes a call of the payments dialect the same payment."""

    TRANSACTION_ID = "transaction_id"
    IDEMPOTENCY_KEY = "Idempotency-Key"


class Scope(StrEnum):
    """Where ids are unique."""

    SITE = "site"
    GLOBAL = "global"


class Unit(StrEnum):
    """How an amount is read: 6500 or 65.00 for 65 dollars."""

    MINOR = "minor"
    MAJOR = "major"


class RetryAfter(StrEnum):
    """How a 429 says when to come again."""

    ABSENT = "absent"
    SECONDS = "seconds"
    DATE = "date"


class Drop(StrEnum):
    """When the connection is cut instead of answered."""

    NEVER = "never"
    BEFORE_RECORDING = "before_recording"
    AFTER_RECORDING = "after_recording"  # the caller cannot know that it was recorded


def _lines(value: object) -> object:
    """Let a form's text, one id a line or with commas, be a list of ids."""
    return value.replace(",", "\n").split() if isinstance(value, str) else value


Ids = Annotated[frozenset[str], BeforeValidator(_lines)]


class Switches(BaseModel):
    """How the stand-in behaves now. The descriptions are the page's texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicate: Duplicate = Field(Duplicate.OK, title="A payment that is already there")
    duplicate_message: str = Field("Duplicate transaction", title="The text of that 400")
    revenue_unique_by: RevenueUnique = Field(RevenueUnique.ORDER_ID, title="/api/revenue holds unique")
    payments_unique_by: PaymentsUnique = Field(PaymentsUnique.TRANSACTION_ID, title="/api/v1/payments holds unique")
    unique_per: Scope = Field(Scope.SITE, title="Ids are unique per")
    revenue_unit: Unit = Field(Unit.MINOR, title="/api/revenue reads amounts in units")
    payments_unit: Unit = Field(Unit.MAJOR, title="/api/v1/payments reads amounts in units")
    revenue_exists: bool = Field(True, title="/api/revenue exists (else 404)")
    revenue_refunds: bool = Field(True, title="/api/revenue takes refunds (else 400)")
    payments_refunds: bool = Field(False, title="/api/v1/payments takes negative amounts (else 400)")
    not_found_first: int = Field(0, ge=0, le=1000, title="404 for the first calls of each visitor, how many")
    unknown_visitors: Ids = Field(frozenset(), title="Visitors that stay unknown (404)")
    bot_visitors: Ids = Field(frozenset(), title="Visitors taken for bots (400)")
    next_status: int = Field(500, ge=200, le=599, title="Answer the next calls with status")
    next_times: int = Field(0, ge=0, le=100_000, title="... how many of them")
    next_message: str = Field("", title="... with this text")
    retry_after: RetryAfter = Field(RetryAfter.ABSENT, title="Retry-After on a 429")
    retry_after_seconds: int = Field(60, ge=0, le=10**6, title="... in how many seconds")
    drop: Drop = Field(Drop.NEVER, title="Cut the connection")
    drop_times: int = Field(1, ge=0, le=100_000, title="... on how many of the next calls")
    delay_seconds: float = Field(0, ge=0, le=300, title="Wait before every answer, seconds")

    def retry_after_header(self, now: datetime) -> dict[str, str]:
        """Return the headers of a 429."""
        match self.retry_after:
            case RetryAfter.ABSENT:
                return {}
            case RetryAfter.SECONDS:
                return {"Retry-After": str(self.retry_after_seconds)}
            case RetryAfter.DATE:
                until = now.astimezone(UTC) + timedelta(seconds=self.retry_after_seconds)
                return {"Retry-After": format_datetime(until, usegmt=True)}
