"""One connection to Razorpay: the pure parts put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.sdk import (
    API,
    Accepted,
    BodyHmac,
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
from providers.razorpay import checkout, events, listing, lookup
from providers.razorpay.api import Account
from providers.razorpay.config import RazorpayConfig, RazorpayOptions

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

SIGNATURE = BodyHmac(header="X-Razorpay-Signature")
"""
https://razorpay.com/docs/webhooks/validate-test. No time is signed, and neither is the header x-razorpay-event-id, so a
webhook has no proven id: the gateway knows a repeat by its body, and money by its own ids.
"""

LIMITS = MetadataLimits(keys=15, key_chars=255, value_chars=255)
"""
15 notes of 256 characters (https://razorpay.com/docs/api/entity-metadata), but of 255 for payment links: "the length
must not be greater than 255" (https://razorpay.com/docs/api/payments/payment-links/create-standard).
"""

DEMO_PLAN: Mapping[str, Any] = {
    "amount": {"value": "499.00", "currency": "INR"},
    "options": {"description": "Pro plan, one month"},
}


@dataclass(frozen=True, slots=True)
class RazorpayProvider:
    """Razorpay with the credentials of one connection."""

    config: RazorpayConfig
    runtime: Runtime = field(repr=False)

    @property
    def _account(self) -> Account:
        config = self.config
        return Account(address=config.api_address, key_id=config.key_id, key_secret=config.key_secret)

    @property
    def _secrets(self) -> Sequence[str]:
        return [secret.get_secret_value() for secret in self.config.webhook_secrets]

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        """Decide by the signature whether the webhook is genuine; never raises."""
        proven = SIGNATURE.verify(request, self._secrets)
        if isinstance(proven, Refused):
            return proven
        name = events.event_type(request.body)
        return Accepted(proof="signature", event_type=name, secret_index=proven.secret_index)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a kept webhook; asks Razorpay for the order, invoice or subscription that it lacks."""
        if delivery.proof != "signature":
            raise Malformed("Razorpay's webhooks are proven by their signature; this one is not")
        reading = events.read(parse_signed(delivery.request.body))
        return await lookup.answered(self.runtime.http, self._account, reading)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a payment link."""
        return await checkout.create_checkout(self.runtime.http, self._account, request)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of Razorpay's payments, then refunds, then disputes."""
        names = [name for name in listing.LISTS if name != "disputes" or self.config.list_disputes]
        place = listing.place_of(cursor, self.runtime.now())
        return await listing.list_revenue(self.runtime.http, self._account, since, place, names)

    async def probe(self) -> datetime | None:
        """Prove the API key; return Razorpay's clock."""
        return await listing.probe(self.runtime.http, self._account)

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local Razorpay with this connection's key and secrets."""
        from providers.razorpay.stand_in import application

        return application(self.config, SIGNATURE, address, deliver_to, http, self.runtime.now)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook of this kind, marked as simulated unless told otherwise."""
        from providers.razorpay.stand_in.samples import sample

        return sample(kind, now=self.runtime.now(), **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:  # noqa: ARG002 - Razorpay signs no time
        """Return the header with which Razorpay would send `body`, under the first secret."""
        return SIGNATURE.sign(body, self._secrets[0])


@dataclass(frozen=True, slots=True)
class RazorpayPlugin:
    """The plugin `razorpay`. Its payment ids (`pay_...`) are unique over all Razorpay accounts."""

    api: int = API
    name: str = "razorpay"
    title: str = "Razorpay"
    config_model: type[RazorpayConfig] = RazorpayConfig
    checkout_options: type[RazorpayOptions] = RazorpayOptions
    metadata_limits: MetadataLimits = LIMITS
    global_payment_ids: bool = True

    @property
    def demo_plan(self) -> Mapping[str, Any]:
        """A plan for the demo's shop."""
        return DEMO_PLAN

    def open(self, config: RazorpayConfig, runtime: Runtime) -> RazorpayProvider:
        """Return the provider of one connection."""
        return RazorpayProvider(config, runtime)
