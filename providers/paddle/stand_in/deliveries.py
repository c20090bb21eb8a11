"""
Sending webhooks as Paddle does: signed, at least once, again until the answer is exactly 200.

Retries keep the event id and the notification id and get a new time and signature
(https://developer.paddle.com/webhooks/about/respond-to-webhooks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Manner, Webhook
from providers.paddle.stand_in.objects import new_id, timestamp
from providers.paddle.stand_in.samples import wire
from providers.paddle.stand_in.seller import Event

RETRIES: Mapping[str, tuple[float, ...]] = {
    "sandbox": (60.0, 240.0, 600.0),
    "live": tuple(60 * 1.1**number for number in range(60)),
}
"""Seconds between attempts: 3 within 15 minutes, or 60 within 3 days, growing by 1.1."""

MANNER = Manner(
    company="Paddle", headers={"Content-Type": "application/json", "User-Agent": "Paddle"}, accepted=frozenset({200})
)


@dataclass(slots=True, kw_only=True)
class Deliveries(stand_in.Deliveries):
    """The one notification destination."""

    sign: Callable[[bytes, datetime], Mapping[str, str]] = field(repr=False)

    async def deliver(self, event: Event, earlier: Webhook | None = None) -> None:
        """Send a new notification, or one that was sent `earlier`."""
        if earlier is None:
            earlier = self._notification(event)
            self.log.append(earlier)
        await self.dispatch(earlier)

    def sent(self, event: Event) -> Webhook | None:
        """Return the first notification of an event."""
        return next((webhook for webhook in self.log if webhook.about["event_id"] == event.id), None)

    def _notification(self, event: Event) -> Webhook:
        about = {
            "notification_id": new_id("ntf", self.now()),
            "event_id": event.id,
            "event_type": event.type,
            "entity_id": event.data["id"],
            "entity_status": event.data["status"],
            "occurred_at": timestamp(event.occurred_at),
        }
        body = wire({**event.envelope(), "notification_id": about["notification_id"]})
        return Webhook(about=about, body=body, headers=partial(self.sign, body))
