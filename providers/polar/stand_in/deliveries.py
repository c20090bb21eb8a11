"""
Sending webhooks as Polar does: signed, one endpoint, in order, up to 10 times each until the answer is 2xx.

Retries keep the webhook id and get a new time and signature. An event waits for earlier ones that are still being
tried, but for a minute at most. Ten failed events in a row turn the endpoint off, and what happens then is never sent
(https://polar.sh/docs/integrate/webhooks/delivery, server/polar/webhook/tasks.py and service.py of polarsource/polar).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aiohttp import ClientError, ClientSession, ClientTimeout

from providers.polar.api import VERSION
from providers.polar.stand_in.seller import Settings
from providers.polar.stand_in.wire import timestamp

ATTEMPTS = 10
"""`WEBHOOK_MAX_RETRIES`: all attempts, the first included."""

PAUSES = tuple(min(2.0 * 2**number, 1200.0) for number in range(1, ATTEMPTS))
"""Seconds between attempts: 4, 8, 16, ... 1024, and 20 minutes at most. Polar adds chance."""

PATIENCE = 60.0
"""Seconds that an event waits for earlier ones (`WEBHOOK_FIFO_GUARD_MAX_AGE`)."""

SHORTEST_PATIENCE = 0.5
"""Seconds that are waited at any scale: loopback calls take their milliseconds however fast the clock runs."""

FAILED_IN_A_ROW = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `status_code` is None where no answer came, and `problem` says why."""

    at: datetime
    status_code: int | None = None
    problem: str | None = None
    milliseconds: int = 0


@dataclass(slots=True, kw_only=True)
class Webhook:
    """One event on its way to the endpoint. `ended` is set when nothing will be tried any more."""

    id: str
    event_type: str
    body: bytes = field(repr=False)
    entity_id: str
    entity_status: str
    status: Literal["pending", "delivered", "failed", "lost", "skipped"] = "pending"
    attempts: list[Attempt] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, status: Literal["delivered", "failed", "lost", "skipped"]) -> None:
        """Note how it ended."""
        self.status = status
        self.ended.set()

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        return {
            "event_id": self.id,
            "event_type": self.event_type,
            "entity_id": self.entity_id,
            "entity_status": self.entity_status,
            "status": self.status,
            "attempts": [
                {
                    "at": timestamp(attempt.at),
                    "status_code": attempt.status_code,
                    "problem": attempt.problem,
                    "milliseconds": attempt.milliseconds,
                }
                for attempt in self.attempts
            ],
        }


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """The one webhook endpoint, its log and everything that still runs in the background."""

    target: str
    http: ClientSession
    settings: Settings
    sign: Callable[[bytes, datetime, str], Mapping[str, str]]
    now: Callable[[], datetime]
    webhooks: list[Webhook] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def start(self, story: Coroutine[Any, Any, None]) -> None:
        """Let a story run in the background until it ends or the application stops."""
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def pause(self, seconds: float) -> None:
        """Wait as long as Polar would, times the scale."""
        await asyncio.sleep(seconds * self.settings.scale)

    async def settled(self) -> None:
        """Return when nothing runs any more: every story told, every retry used."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def close(self) -> None:
        """Stop everything that runs."""
        for task in set(self._running):
            task.cancel()
        await self.settled()

    def send(self, webhook: Webhook) -> None:
        """Put a webhook into the queue."""
        earlier = [each for each in self.webhooks if not each.ended.is_set()]
        self.webhooks.append(webhook)
        if not self.settings.enabled:
            webhook.end("skipped")
        else:
            self.start(self._deliver(webhook, earlier))

    async def again(self, webhook: Webhook) -> None:
        """Send what was sent before, as the dashboard's button does: once, with the same id."""
        await self._attempt(webhook)

    async def _deliver(self, webhook: Webhook, earlier: list[Webhook]) -> None:
        await self._turn(earlier)
        if self.settings.failures[:1] == ["lost"]:
            self.settings.failures.pop(0)
            webhook.end("lost")
            return
        for seconds in (*PAUSES, None):
            if not self.settings.enabled:
                webhook.end("skipped")
                return
            if await self._attempt(webhook):
                webhook.end("delivered")
                return
            if seconds is not None:
                await self.pause(seconds)
        webhook.end("failed")
        recent = [each.status for each in self.webhooks if each.ended.is_set()][-FAILED_IN_A_ROW:]
        if recent == ["failed"] * FAILED_IN_A_ROW:
            self.settings.enabled = False

    async def _turn(self, earlier: list[Webhook]) -> None:
        try:
            async with asyncio.timeout(max(PATIENCE * self.settings.scale, SHORTEST_PATIENCE)):
                for each in earlier:
                    await each.ended.wait()
        except TimeoutError:
            return

    async def _attempt(self, webhook: Webhook) -> bool:
        """Send once and say whether it is delivered."""
        at = self.now()
        failure = self.settings.failures.pop(0) if self.settings.failures[:1] in (["unsent"], ["unanswered"]) else None
        if failure == "unsent":
            attempt = Attempt(at=at, problem="made to fail before it was sent")
        else:
            attempt = await self._post(webhook, at)
        if failure == "unanswered":
            attempt = Attempt(at=at, problem="sent, but the answer was made to get lost")
        webhook.attempts.append(attempt)
        return attempt.status_code is not None and 200 <= attempt.status_code < 300

    async def _post(self, webhook: Webhook, at: datetime) -> Attempt:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "polar.sh webhooks",
            "webhook-api-version": VERSION,
            **self.sign(webhook.body, at, webhook.id),
        }
        timeout = ClientTimeout(total=self.settings.timeout_seconds)
        begun = asyncio.get_running_loop().time()
        status, problem = None, None
        try:
            async with self.http.post(
                self.target, data=webhook.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except TimeoutError:
            problem = f"no answer within {self.settings.timeout_seconds:g} seconds"
        except (ClientError, OSError) as error:
            problem = f"no connection: {type(error).__name__}"
        took = round((asyncio.get_running_loop().time() - begun) * 1000)
        return Attempt(at=at, status_code=status, problem=problem, milliseconds=took)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a story of the Polar stand-in broke off", exc_info=task.exception())
