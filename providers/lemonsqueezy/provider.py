"""One connection to Lemon Squeezy: the pure parts put together."""

from __future__ import annotations

import hashlib
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
from providers.lemonsqueezy import checkout, events, listing, lookup, signature
from providers.lemonsqueezy.api import Account
from providers.lemonsqueezy.config import LemonSqueezyConfig

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

LIMITS = MetadataLimits(keys=50, key_chars=64, value_chars=256)
"""Lemon Squeezy documents no limits of custom data; these are what the gateway itself needs, with room."""

DEMO_PLAN: Mapping[str, Any] = {"items": [{"price_id": "1001", "quantity": 1}]}
"""A variant's number: the demo's usual price id is none."""


@dataclass(frozen=True, slots=True)
class LemonSqueezyProvider:
    """Lemon Squeezy with the credentials of one connection."""

    config: LemonSqueezyConfig
    runtime: Runtime = field(repr=False)

    @property
    def _account(self) -> Account:
        return Account(
            address=self.config.api_address,
            key=self.config.api_key,
            store_id=self.config.store_id,
            sandbox=self.config.environment == "sandbox",
        )

    @property
    def _secrets(self) -> Sequence[str]:
        return [secret.get_secret_value() for secret in self.config.webhook_secrets]

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        """Decide by the signature whether the webhook is genuine; never raises."""
        return signature.verify(request, self._secrets)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a kept webhook; a refund of a first invoice asks for the order it belongs to."""
        if delivery.proof != "signature":
            raise Malformed("Lemon Squeezy's webhooks are proven by their signature; this one is not")
        webhook = parse_signed(delivery.request.body)
        subscription = events.subscription_asked_for(webhook)
        order = await lookup.order_of(self.runtime.http, self._account, subscription) if subscription else None
        return events.read(webhook, order)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a checkout at Lemon Squeezy."""
        return await checkout.create_checkout(self.runtime.http, self._account, request)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of the store's orders and subscription invoices."""
        config = self.config
        wanted = listing.sweep(since, self.runtime.now(), config.refund_days, config.settling_minutes)
        return await listing.list_revenue(self.runtime.http, self._account, wanted, cursor)

    async def probe(self) -> datetime | None:
        """Prove the API key, its mode and the store; return Lemon Squeezy's clock."""
        return await listing.probe(self.runtime.http, self._account)

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local Lemon Squeezy with this connection's key, store and first secret."""
        from providers.lemonsqueezy.stand_in import application

        return application(self.config, address, deliver_to, http, self.runtime.now)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind, marked as simulated unless told otherwise."""
        from providers.lemonsqueezy.stand_in.samples import sample

        config = self.config
        test_mode = config.environment == "sandbox"
        return sample(kind, now=self.runtime.now(), store_id=int(config.store_id), test_mode=test_mode, **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:  # noqa: ARG002 - the scheme signs no time
        """Return the headers with which Lemon Squeezy would send `body`, under the first secret."""
        return signature.sign(body, self._secrets[0])


@dataclass(frozen=True, slots=True)
class LemonSqueezyPlugin:
    """The plugin `lemonsqueezy`. Orders and invoices are numbers, unique only together with the provider's name."""

    api: int = API
    name: str = "lemonsqueezy"
    title: str = "Lemon Squeezy"
    config_model: type[LemonSqueezyConfig] = LemonSqueezyConfig
    metadata_limits: MetadataLimits = LIMITS
    demo_plan: Mapping[str, Any] = field(default_factory=lambda: DEMO_PLAN)

    def open(self, config: LemonSqueezyConfig, runtime: Runtime) -> LemonSqueezyProvider:
        """Return the provider of one connection."""
        return LemonSqueezyProvider(config, runtime)

    def demo_settings(self, address: str) -> Mapping[str, Any]:
        """Return made-up settings for the stand-in at `address`; others for each, as sites share no secrets."""
        mark = hashlib.sha256(address.encode()).hexdigest()[:24]
        return {
            "base_url": address,
            "api_key": f"demo_key_{mark}",
            "webhook_secrets": [f"demo_secret_{mark}"],
            "store_id": "1001",
        }
