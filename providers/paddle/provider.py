"""One connection to Paddle: the pure parts put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.sdk import (
    API,
    Accepted,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Malformed,
    MetadataLimits,
    Page,
    Refused,
    RevenueEvent,
    RevenueKind,
    Runtime,
    WebhookRequest,
    parse_signed,
)
from providers.paddle import checkout, events, listing, lookup, signature
from providers.paddle.api import Account
from providers.paddle.config import PaddleConfig

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

LIMITS = MetadataLimits(keys=50, key_chars=64, value_chars=256)
"""Paddle documents no limits of custom data; these are what the gateway itself needs, with room."""


@dataclass(frozen=True, slots=True)
class PaddleProvider:
    """Paddle Billing with the credentials of one connection."""

    config: PaddleConfig
    runtime: Runtime = field(repr=False)

    @property
    def _account(self) -> Account:
        return Account(address=self.config.api_address, key=self.config.api_key)

    @property
    def _secrets(self) -> Sequence[bytes]:
        return [secret.get_secret_value().encode() for secret in self.config.webhook_secrets]

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        """Decide by the signature whether the webhook is genuine; never raises."""
        return signature.verify(request, self._secrets, self.config.tolerance_seconds)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a kept webhook; needs no call to Paddle."""
        if delivery.proof != "signature":
            raise Malformed("Paddle's webhooks are proven by their signature; this one is not")
        return events.read(parse_signed(delivery.request.body))

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a transaction at Paddle."""
        return await checkout.create_checkout(self.runtime.http, self._account, request, self.config.payment_page)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of Paddle's events; they are kept for 90 days."""
        return await listing.list_revenue(self.runtime.http, self._account, since, cursor)

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        """Return the sale that a transaction became, and its adjustments."""
        return await lookup.find(self.runtime.http, self._account, checkout_id)

    async def probe(self) -> datetime | None:
        """Prove the API key; return Paddle's clock."""
        return await listing.probe(self.runtime.http, self._account)

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local Paddle with this connection's key and first secret."""
        from providers.paddle.stand_in import application

        return application(self.config, address, deliver_to, http, self.runtime.now)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind, marked as simulated unless told otherwise."""
        from providers.paddle.stand_in.samples import sample

        return sample(kind, now=self.runtime.now(), **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """Return the headers with which Paddle would send `body` at `at`, under the first secret."""
        return signature.sign(self._secrets[0], body, at)


@dataclass(frozen=True, slots=True)
class PaddlePlugin:
    """The plugin `paddle`. Its payment ids (`txn_...`) are unique over all Paddle accounts."""

    api: int = API
    name: str = "paddle"
    config_model: type[PaddleConfig] = PaddleConfig
    metadata_limits: MetadataLimits = LIMITS
    global_payment_ids: bool = True
    listing_days: int = 90

    def open(self, config: PaddleConfig, runtime: Runtime) -> PaddleProvider:
        """Return the provider of one connection."""
        return PaddleProvider(config, runtime)
