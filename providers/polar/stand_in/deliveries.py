"""
Sending webhooks as Polar does: signed, one endpoint, in order, up to 10 times each until the answer is 2xx.

Retries keep the webhook id and get a new time and signature. An event waits for earlier ones that are still being
tried, but for a minute at most. Ten failed events in a row turn the endpoint off, and what happens then is never sent
(https://polar.sh/docs/integrate/webhooks/delivery, server/polar/webhook/tasks.py and service.py of polarsource/polar).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Manner, Webhook
from providers.polar.api import VERSION
from providers.polar.stand_in.seller import Settings
from providers.polar.stand_in.wire import Entity, new_id, wire

ATTEMPTS = 10
"""`WEBHOOK_MAX_RETRIES`: all attempts, the first included."""

PAUSES = tuple(min(2.0 * 2**number, 1200.0) for number in range(1, ATTEMPTS))
"""Seconds between attempts: 4, 8, 16, ... 1024, and 20 minutes at most. Polar adds chance."""

PATIENCE = 60.0
"""Seconds that an event waits for earlier ones (`WEBHOOK_FIFO_GUARD_MAX_AGE`)."""

SHORTEST_PATIENCE = 0.5
"""Seconds that are waited at any scale: loopback calls take their milliseconds however fast the clock runs."""

FAILED_IN_A_ROW = 10

MANNER = Manner(
    company="Polar",
    headers={"Content-Type": "application/json", "User-Agent": "polar.sh webhooks", "webhook-api-version": VERSION},
)


@dataclass(slots=True, kw_only=True)
class Deliveries(stand_in.Deliveries):
    """The one webhook endpoint. A webhook is pending until it is delivered, failed, lost or skipped."""

    settings: Settings
    sign: Callable[[bytes, datetime, str], Mapping[str, str]] = field(repr=False)
    _queue: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def send(self, webhook: Entity) -> None:
        """Put a webhook into the queue."""
        queued = self._signed(webhook)
        self.log.append(queued)
        if not self.settings.enabled:
            queued.status = "skipped"
            return
        task = self.start(self._deliver(queued, frozenset(self._queue)))
        self._queue.add(task)
        task.add_done_callback(self._queue.discard)

    async def again(self, webhook: Webhook) -> None:
        """Send what was sent before, as the dashboard's button does: once, with the same id."""
        await self.attempt(webhook)

    def gave_up(self, webhook: Webhook) -> None:
        """Note that every attempt failed, and turn the endpoint off if too many did."""
        webhook.status = "failed"
        recent = [each.status for each in self.log if each.status != "pending"][-FAILED_IN_A_ROW:]
        if recent == ["failed"] * FAILED_IN_A_ROW:
            self.settings.enabled = False

    def notice(self) -> str | None:
        """Return what the page of deliveries has to warn of."""
        if self.settings.enabled:
            return None
        return "The endpoint is disabled after ten failed events in a row; nothing is sent any more."

    async def _deliver(self, webhook: Webhook, earlier: Collection[asyncio.Task[None]]) -> None:
        if earlier:
            await asyncio.wait(earlier, timeout=max(PATIENCE * self.settings.scale, SHORTEST_PATIENCE))
        if self.lost(webhook):
            return
        for seconds in (*self.retries, None):
            if not self.settings.enabled:
                webhook.status = "skipped"
                return
            if await self.attempt(webhook):
                webhook.status = "delivered"
                return
            if seconds is not None:
                await self.pause(seconds)
        self.gave_up(webhook)

    def _signed(self, webhook: Entity) -> Webhook:
        body, data, name = wire(webhook), webhook["data"], new_id()

        def headers(at: datetime) -> Mapping[str, str]:
            return self.sign(body, at, name)

        about = {
            "event_id": name,
            "event_type": webhook["type"],
            "entity_id": data["id"],
            "entity_status": str(data.get("status", "")),
        }
        return Webhook(about=about, body=body, headers=headers, status="pending")
