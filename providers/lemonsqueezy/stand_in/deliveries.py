"""
Sending webhooks as Lemon Squeezy does: signed, and three times more unless the answer is exactly 200.

The pauses are 5, 25 and 125 seconds and the body stays the same
(https://docs.lemonsqueezy.com/help/webhooks/webhook-requests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Manner, Webhook
from providers.lemonsqueezy.stand_in.objects import Entity, wire

RETRIES = (5.0, 25.0, 125.0)
"""Seconds between attempts."""

MANNER = Manner(
    company="Lemon Squeezy",
    headers={"Content-Type": "application/json", "User-Agent": "LemonSqueezy-Hookshot"},
    accepted=frozenset({200}),
)


@dataclass(slots=True, kw_only=True)
class Deliveries(stand_in.Deliveries):
    """The one webhook of the store."""

    sign: Callable[[bytes], Mapping[str, str]] = field(repr=False)

    def send(self, *webhooks: Entity) -> None:
        """Send webhooks one after the other, in the background; retries run beside."""
        made = [self._made(webhook) for webhook in webhooks]
        self.log.extend(made)
        self.start(self._in_turn(made))

    def again(self, number: int) -> None:
        """Send a webhook of the log once more, as the dashboard's Resend does."""
        self.start(self.dispatch(self.log[number]))

    async def _in_turn(self, made: list[Webhook]) -> None:
        for webhook in made:
            await self.dispatch(webhook)

    def _made(self, webhook: Entity) -> Webhook:
        body, data = wire(webhook), webhook["data"]

        def headers(_at: datetime) -> Mapping[str, str]:
            return self.sign(body)

        about = {"event_name": webhook["meta"]["event_name"], "resource": f"{data['type']} {data['id']}"}
        return Webhook(about=about, body=body, headers=headers)
