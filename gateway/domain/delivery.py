"""One revenue event on its way to one destination: its states, its verdicts, its retry schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gateway.domain.attribution import Attribution
from gateway.domain.revenue import RevenueKind

DESTINATION = "faurya"
"""The one destination there is today; the name is part of the outbox's key so that another can come."""

JITTER = 0.2
"""Share of a waiting time by which it varies both ways, so that a burst does not come back as a burst."""


class Status(StrEnum):
    """Where a delivery is, or where it ended."""

    PENDING = "pending"
    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    RECORDED_ASSUMED = "recorded_assumed"
    UNATTRIBUTED = "unattributed"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    DEAD = "dead"


SUCCESSES = frozenset({Status.RECORDED, Status.ALREADY_RECORDED, Status.RECORDED_ASSUMED})


class Reason(StrEnum):
    """Why a delivery waits or ended where it did."""

    WAITING_FOR_SALE = "waiting_for_sale"
    WAITING_FOR_AMOUNT = "waiting_for_amount"
    TEST_MODE = "test_mode"
    ZERO_AMOUNT = "zero_amount"
    REFUND_NOT_FORWARDED = "refund_not_forwarded"
    SALE_NOT_RECORDED = "sale_not_recorded"
    CURRENCY_NOT_ACCEPTED = "currency_not_accepted"
    FORWARDING_OFF = "forwarding_off"
    UNSUPPORTED_BY_DESTINATION = "unsupported_by_destination"
    VISITOR_NOT_FOUND = "visitor_not_found"
    NOT_BY_THIS_GATEWAY = "not_by_this_gateway"
    NO_VISITOR_ID = "no_visitor_id"
    REFUSED = "refused"
    SCHEDULE_EXHAUSTED = "schedule_exhausted"


class AttemptVerdict(StrEnum):
    """What one attempt came to. An attempt without a verdict was started and its outcome is unknown."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    RECORDED_ASSUMED = "recorded_assumed"
    UNCLEAR = "unclear"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    HOLD = "hold"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a destination needs to know of one movement of money. `amount_minor` is frozen, in the minor unit."""

    site: str
    connection: str
    plugin: str
    key: str
    own_id: str
    kind: RevenueKind
    payment_id: str
    order_id: str | None
    order_id_sent: str
    subscription_id: str | None
    amount_minor: int
    amount_unit: str
    currency: str
    attribution: Attribution
    globally_unique: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """A POST to the destination. `secret_headers` are kept apart so that no repr or log shows them."""

    url: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    secret_headers: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"OutgoingRequest(url={self.url!r}, body={len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What came back. `status` None means none did: a timeout or a broken connection.

    With `sent` False the request cannot have reached the other side (the connection was refused).
    """

    status: int | None
    body: str = ""
    retry_after: timedelta | None = None
    sent: bool = True
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """One earlier attempt of the same delivery."""

    status: int | None
    verdict: AttemptVerdict | None


class HoldReason(StrEnum):
    """Why the deliveries of a site are paused."""

    BAD_KEY = "bad_key"  # 401, 403
    QUOTA = "quota"  # 429
    NOT_IMPLEMENTED = "not_implemented"  # 501
    REDIRECTED = "redirected"  # 3xx: the address in the configuration is not the API's
    VISITORS_NOT_FOUND = "visitors_not_found"  # many 404 in a row: probably another site's key
    UNAVAILABLE = "unavailable"  # no answer, or server errors, several times in a row: the circuit is open
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Pause the whole site: why, and how long the other side asked for (None: our own schedule)."""

    reason: HoldReason
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What one answer means.

    `status` is final, or PENDING: again. `spends` says whether the attempt counts against the schedule; `again_in`
    overrides the schedule's waiting time, `at_least` only lengthens it; `hold` pauses the site.
    """

    attempt: AttemptVerdict
    status: Status
    reason: Reason | None = None
    spends: bool = True
    again_in: timedelta | None = None
    at_least: timedelta | None = None
    hold: Hold | None = None


def next_wait(schedule: Sequence[timedelta], spent: int, draw: float) -> timedelta | None:
    """
    Return how long to wait after the `spent`-th failed attempt (1 is the first); None when the schedule is exhausted.

    `draw` in [0, 1) moves the time by up to 20 % either way.
    """
    if max(spent, 1) > len(schedule):
        return None
    return schedule[max(spent, 1) - 1] * (1 - JITTER + 2 * JITTER * draw)
