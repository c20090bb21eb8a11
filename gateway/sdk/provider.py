"""What a provider plugin is. Version 1 of the interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.domain.messages import (
    Accepted,
    Answered,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    MetadataLimits,
    Page,
    Refused,
    WebhookRequest,
)
from gateway.domain.revenue import RevenueEvent, RevenueKind

if TYPE_CHECKING:
    from aiohttp import ClientSession, web
    from pydantic import BaseModel

API = 1
"""The version of this interface. A plugin states the one it was written for."""

ENTRY_POINT_GROUP = "faurya_gateway.providers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the core lends a provider: its HTTP client (timeouts set, no redirects) and its clock (aware UTC)."""

    http: ClientSession
    now: Callable[[], datetime]


class Provider(Protocol):
    """One connection of one site to a payment company."""

    def verify(self, request: WebhookRequest) -> Accepted | Refused | Answered:
        """Decide whether the webhook is genuine. No I/O, no clock but `received_at`, never raises."""
        ...

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a kept webhook. May be repeated; raises `Unavailable` to be called again."""
        ...

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a checkout at the provider, with `request.reference` travelling inside."""
        ...

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of the provider's own list of movements, with the keys that `extract` gives."""
        ...


class Plugin(Protocol):
    """
    What the entry point names.

    Optional attributes, read with `getattr`: `checkout_options` (a pydantic model of a plan's options),
    `global_payment_ids` (payment ids are unique over all accounts), `listing_days` (how far back `list_revenue` reaches
    where the provider forgets, a whole number), `secret_headers` and `secret_query` (names that are never stored or
    logged).
    """

    @property
    def api(self) -> int:
        """The version of this interface that the plugin was written for."""
        ...

    @property
    def name(self) -> str:
        """The plugin's name, the same as its entry point's."""
        ...

    @property
    def config_model(self) -> type[BaseModel]:
        """The plugin's part of a connection; secrets are `SecretStr`."""
        ...

    @property
    def metadata_limits(self) -> MetadataLimits:
        """What the provider's metadata can carry."""
        ...

    def open(self, config: Any, runtime: Runtime) -> Provider:
        """Return the provider of one connection. No I/O, no environment, no global state."""
        ...


@runtime_checkable
class SupportsProbe(Protocol):
    """Optional: `check --online` proves the credentials."""

    async def probe(self) -> datetime | None:
        """Return the server's clock, if it tells; raise a `ProviderError` if the credentials do not work."""
        ...


@runtime_checkable
class SupportsLookup(Protocol):
    """Optional: find the movements of one checkout."""

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        """Return what the provider knows of this checkout."""
        ...


@runtime_checkable
class SupportsStandIn(Protocol):
    """Optional: a local imitation of the provider, for `dev`, `simulate` and tests."""

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return an application that imitates the provider's API at `address` and sends webhooks to `deliver_to`."""
        ...

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind."""
        ...

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """Return the headers that prove `body` as of `at`."""
        ...
