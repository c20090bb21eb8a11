"""One connection to Stripe: the pure parts put together."""

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
from providers.stripe import checkout, events, listing, lookup, signature
from providers.stripe.api import Account
from providers.stripe.config import StripeConfig, StripeOptions
from providers.stripe.sessions import read_session

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

LIMITS = MetadataLimits(keys=50, key_chars=40, value_chars=500)
"""https://docs.stripe.com/metadata#data"""


@dataclass(frozen=True, slots=True)
class StripeProvider:
    """Stripe with the credentials of one connection."""

    config: StripeConfig
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
        """Read the money out of a kept webhook; asks Stripe for links and items that the webhook lacks."""
        if delivery.proof != "signature":
            raise Malformed("Stripe's webhooks are proven by their signature; this one is not")
        reading = events.read(parse_signed(delivery.request.body))
        return await lookup.answered(self.runtime.http, self._account, reading)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a Checkout session at Stripe."""
        return await checkout.create_checkout(self.runtime.http, self._account, request)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of Stripe's events; they are kept for 30 days."""
        return await listing.list_revenue(self.runtime.http, self._account, since, cursor)

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        """Return the sale that a Checkout session became."""
        found = await lookup.answered(self.runtime.http, self._account, read_session(checkout_id))
        return () if isinstance(found, Ignored) else found

    async def probe(self) -> datetime | None:
        """Prove the API key; return Stripe's clock."""
        return await listing.probe(self.runtime.http, self._account)

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local Stripe with this connection's key and first secret."""
        from providers.stripe.stand_in import application

        return application(self.config, address, deliver_to, http, self.runtime.now)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind, marked as simulated unless told otherwise."""
        from providers.stripe.stand_in.samples import sample

        return sample(kind, now=self.runtime.now(), live=self.config.environment == "live", **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """Return the headers with which Stripe would send `body` at `at`, under the first secret."""
        return signature.sign(self._secrets[0], body, at)


@dataclass(frozen=True, slots=True)
class StripePlugin:
    """The plugin `stripe`. Its payment ids (`pi_...`) are unique over all Stripe accounts."""

    api: int = API
    name: str = "stripe"
    title: str = "Stripe"
    config_model: type[StripeConfig] = StripeConfig
    checkout_options: type[StripeOptions] = StripeOptions
    metadata_limits: MetadataLimits = LIMITS
    global_payment_ids: bool = True
    listing_days: int = 30

    def open(self, config: StripeConfig, runtime: Runtime) -> StripeProvider:
        """Return the provider of one connection."""
        return StripeProvider(config, runtime)
