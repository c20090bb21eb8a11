"""
Sending webhooks as Stripe does: signed, at least once, again until the answer is 2xx.

Retries keep the event and get a new time and signature (https://docs.stripe.com/webhooks#behaviors).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Manner, Webhook
from providers.stripe.stand_in.seller import Event, Settings

RETRIES: Mapping[str, tuple[float, ...]] = {
    "sandbox": (600.0, 3600.0, 7200.0),
    "live": tuple(60.0 * 2**number for number in range(12)),
}
"""Seconds between attempts. Stripe says: 3 within hours, or growing for 3 days; the intervals are not published."""

MANNER = Manner(
    company="Stripe", headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0"}
)


@dataclass(slots=True, kw_only=True)
class Deliveries(stand_in.Deliveries):
    """The one endpoint, which is enabled for the types in `settings.enabled_events`."""

    settings: Settings
    sign: Callable[[bytes, datetime], Mapping[str, str]] = field(repr=False)

    async def deliver(self, event: Event) -> None:
        """Make the first attempt, if the endpoint is enabled for this type; leave the others to the background."""
        if self.settings.enabled_events and event.type not in self.settings.enabled_events:
            return
        about = {
            "event_id": event.id,
            "event_type": event.type,
            "object_id": event.entity["id"],
            "object_status": event.entity.get("payment_status") or event.entity.get("status"),
        }
        body = wire(event.envelope())
        webhook = Webhook(about=about, body=body, headers=partial(self.sign, body))
        self.log.append(webhook)
        await self.dispatch(webhook)


def wire(envelope: Mapping[str, Any]) -> bytes:
    """Return the bytes as Stripe writes them: indented by two, everything beyond ASCII as it is."""
    return json.dumps(envelope, indent=2, ensure_ascii=False).encode("utf-8", "replace")
