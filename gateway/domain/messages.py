"""What passes between the core and a provider plugin. Everything here is a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.domain.attribution import NOBODY, Attribution
from gateway.domain.errors import Malformed
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent
from gateway.domain.text import checked, checked_or_none

Headers = CIMultiDictProxy[str]
"""Case-insensitive, repeats kept, read-only. `headers.get(name)`, `headers.getall(name, [])`."""

Proof = Literal["signature", "secret", "none"]
"""How an accepted webhook was proven: over its bytes, by a shared token, or not at all (`extract` must fetch)."""

IgnoredReason = Literal["not_revenue", "not_final", "simulated"]

MAX_URL = 2048
"""Characters; browsers and proxies cut longer addresses."""


def headers_of(pairs: Sequence[tuple[str, str]] = ()) -> Headers:
    """Return read-only headers from name and value pairs."""
    return CIMultiDictProxy(CIMultiDict(pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """
    A request as it arrived.

    `url` is the configured public URL with the request's query, never built from Host. `body` is the bytes as received.
    `received_at` is aware UTC: the only clock that `verify` may use. Header values hold bytes that are not UTF-8 as
    surrogate escapes. The repr leaves out whatever may hold a secret.
    """

    method: str
    url: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime
    remote_ip: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider gets to see. The default is an empty 200."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


class RefusalReason(StrEnum):
    """Which step of the proof failed."""

    HEADER_MISSING = "header_missing"
    HEADER_MALFORMED = "header_malformed"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    SIGNATURE_MISMATCH = "signature_mismatch"
    SECRET_MISMATCH = "secret_mismatch"  # noqa: S105 - a reason, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """
    The webhook is proven, or the plugin proves it in `extract` (`proof="none"`).

    `event_id` is stable across retries and taken only from content that the proof covers; None where there is none.
    `secret_index` says which of several secrets matched.
    """

    proof: Proof
    event_id: str | None = None
    event_type: str | None = None
    reply: Reply = Reply()
    secret_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """
    The webhook is not proven: it is answered and not kept.

    `detail` is safe to show: never a digest or a secret. `seconds_off` says by how much a timestamp missed.
    """

    reason: RefusalReason
    detail: str = ""
    reply: Reply = Reply(401)
    seconds_off: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A handshake or challenge: answered, nothing to keep."""

    reply: Reply = Reply()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A kept webhook on its way to `extract`: the request less secret headers, and how it was proven."""

    request: WebhookRequest
    proof: Proof


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to book, and why."""

    reason: IgnoredReason


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """
    What a provider needs to open a checkout.

    `reference` is our order id: 1 to 40 of `[A-Za-z0-9_-]`, and always travels. Either `items` (price id, quantity) or
    `amount` is set. `options` is the plan's part validated by the plugin's `checkout_options`.
    """

    reference: str
    idempotency_key: str
    items: Sequence[tuple[str, int]] = ()
    amount: Money | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    webhook_url: str = ""
    attribution: Attribution = NOBODY
    customer_email: str | None = field(default=None, repr=False)
    customer_ip: str | None = field(default=None, repr=False)
    options: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The checkout that the provider opened: where to send the buyer, and the provider's id of it."""

    url: str
    checkout_id: str | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        checked(self.url, "url", MAX_URL)
        object.__setattr__(self, "checkout_id", checked_or_none(self.checkout_id, "checkout_id"))
        expires_at: object = self.expires_at  # plugins are not all type-checked
        if expires_at is not None and (not isinstance(expires_at, datetime) or expires_at.utcoffset() is None):
            raise Malformed("expires_at must be a datetime with a time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the provider's own list. `next_cursor` is opaque; None means done."""

    events: Sequence[RevenueEvent] = ()
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataLimits:
    """How much the provider's metadata can carry: keys, characters of a key, characters of a value."""

    keys: int
    key_chars: int
    value_chars: int
