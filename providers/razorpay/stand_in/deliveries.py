"""
Sending webhooks as Razorpay does: signed, at least once, again for 24 hours until the answer is 2xx, then disabled.

Retries are the same request: body, event id and the signature under the secret that was in use at first
(https://razorpay.com/docs/webhooks/best-practices, https://razorpay.com/docs/webhooks/validate-test).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Manner, Webhook
from providers.razorpay.stand_in.samples import wire
from providers.razorpay.stand_in.seller import Event, Settings

RETRIES = tuple(60.0 * 2**number for number in range(10))
"""Seconds between attempts: 17 hours of growing waits. Razorpay says 24 hours and "exponential", no figures."""

MANNER = Manner(company="Razorpay", headers={"Content-Type": "application/json", "User-Agent": "Razorpay-Webhook/v1"})


@dataclass(slots=True, kw_only=True)
class Deliveries(stand_in.Deliveries):
    """The one webhook; it is disabled when an event was refused for a day."""

    settings: Settings
    sign: Callable[[bytes, int], Mapping[str, str]] = field(repr=False)

    @property
    def sendings(self) -> Sequence[Webhook]:
        """Everything sent, oldest first."""
        return self.log

    async def deliver(self, event: Event) -> None:
        """Make the first attempt; leave the others to the background."""
        webhook = self._signed(event)
        self.log.append(webhook)
        if self.settings.disabled:
            webhook.status = "disabled"
        else:
            await self.dispatch(webhook)

    async def repeat(self, event: Event) -> None:
        """Send the latest request of an event once more, as Razorpay does when it has lost our answer."""
        await self.once(next(webhook for webhook in reversed(self.log) if webhook.about["event_id"] == event.id))

    def gave_up(self, webhook: Webhook) -> None:
        """Note that every attempt failed, and disable the webhook."""
        webhook.status = "failed"
        self.settings.disabled = True

    def notice(self) -> str | None:
        """Return what the page of deliveries has to warn of."""
        return "The webhook is disabled; nothing is sent any more." if self.settings.disabled else None

    def _signed(self, event: Event) -> Webhook:
        body = wire(event.body)
        signed = {"x-razorpay-event-id": event.id, **self.sign(body, self.settings.secret)}

        def headers(_at: datetime) -> Mapping[str, str]:
            return signed

        return Webhook(about={"event_id": event.id, "event": event.name}, body=body, headers=headers)
