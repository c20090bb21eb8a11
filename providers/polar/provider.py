"""One connection to Polar: the pure parts put together."""

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
from providers.polar import checkout, events, listing, lookup, signature
from providers.polar.api import Account
from providers.polar.checkout import PolarOptions
from providers.polar.config import PolarConfig

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

LIMITS = MetadataLimits(keys=50, key_chars=40, value_chars=500)
"""https://polar.sh/docs/api-reference/checkouts/create-session, `metadata`"""


@dataclass(frozen=True, slots=True)
class PolarProvider:
    """Polar with the credentials of one connection."""

    config: PolarConfig
    runtime: Runtime = field(repr=False)

    @property
    def _account(self) -> Account:
        return Account(address=self.config.api_address, token=self.config.access_token)

    @property
    def _secrets(self) -> Sequence[str]:
        return [secret.get_secret_value() for secret in self.config.webhook_secrets]

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        """Decide by the signature whether the webhook is genuine; never raises."""
        return signature.verify(request, self._secrets, self.config.tolerance_seconds)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a kept webhook; needs no call to Polar."""
        if delivery.proof != "signature":
            raise Malformed("Polar's webhooks are proven by their signature; this one is not")
        return events.read(parse_signed(delivery.request.body))

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a checkout at Polar."""
        return await checkout.create_checkout(self.runtime.http, self._account, request)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of Polar's orders, then of its refunds."""
        return await listing.list_revenue(self.runtime.http, self._account, since, cursor)

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        """Return the sale that a checkout became, and its refunds."""
        return await lookup.find(self.runtime.http, self._account, checkout_id)

    async def probe(self) -> datetime | None:
        """Prove that the token may read orders and refunds; return Polar's clock."""
        return await listing.probe(self.runtime.http, self._account)

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local Polar with this connection's token and first secret."""
        from providers.polar.stand_in import application

        return application(self.config, address, deliver_to, http, self.runtime.now)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind, marked as simulated unless told otherwise."""
        from providers.polar.stand_in.samples import sample

        return sample(kind, now=self.runtime.now(), **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """Return the headers with which Polar would send `body` at `at`, under the first secret."""
        return signature.sign(self._secrets[0], body, at)


@dataclass(frozen=True, slots=True)
class PolarPlugin:
    """The plugin `polar`. Its payment ids, those of orders, are random UUIDs and so unique over all accounts."""

    api: int = API
    name: str = "polar"
    title: str = "Polar"
    config_model: type[PolarConfig] = PolarConfig
    metadata_limits: MetadataLimits = LIMITS
    checkout_options: type[PolarOptions] = PolarOptions
    global_payment_ids: bool = True

    def open(self, config: PolarConfig, runtime: Runtime) -> PolarProvider:
        """Return the provider of one connection."""
        return PolarProvider(config, runtime)
