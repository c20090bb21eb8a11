"""
Sending webhooks as Paddle does: signed, at least once, again until the answer is exactly 200.

Retries keep the event id and the notification id and get a new time and signature
(https://developer.paddle.com/webhooks/about/respond-to-webhooks).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aiohttp import ClientError, ClientSession, ClientTimeout

from providers.paddle.stand_in.objects import new_id, timestamp
from providers.paddle.stand_in.samples import wire
from providers.paddle.stand_in.seller import Event, Settings

RETRIES: Mapping[str, tuple[float, ...]] = {
    "sandbox": (60.0, 240.0, 600.0),
    "live": tuple(60 * 1.1**number for number in range(60)),
}
"""Seconds between attempts: 3 within 15 minutes, or 60 within 3 days, growing by 1.1."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `status_code` is None where no answer came, and `problem` says why."""

    at: datetime
    status_code: int | None = None
    problem: str | None = None
    milliseconds: int = 0


@dataclass(slots=True, kw_only=True)
class Notification:
    """One event on its way to the destination."""

    id: str
    event: Event
    status: Literal["not_attempted", "delivered", "needs_retry", "failed", "lost"] = "not_attempted"
    attempts: list[Attempt] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries` lists."""
        return {
            "notification_id": self.id,
            "event_id": self.event.id,
            "event_type": self.event.type,
            "entity_id": self.event.data["id"],
            "entity_status": self.event.data["status"],
            "occurred_at": timestamp(self.event.occurred_at),
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
    """The one notification destination, its log and everything that still runs in the background."""

    target: str
    http: ClientSession
    settings: Settings
    environment: str
    sign: Callable[[bytes, datetime], Mapping[str, str]]
    now: Callable[[], datetime]
    notifications: list[Notification] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def start(self, story: Coroutine[Any, Any, None]) -> None:
        """Let a story run in the background until it ends or the application stops."""
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def pause(self, seconds: float) -> None:
        """Wait as long as Paddle would, times the scale."""
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

    async def deliver(self, event: Event, notification: Notification | None = None) -> None:
        """Make the first attempt; leave the others to the background."""
        if notification is None:
            notification = Notification(id=new_id("ntf", self.now()), event=event)
            self.notifications.append(notification)
        if self.settings.failures[:1] == ["lost"]:
            self.settings.failures.pop(0)
            notification.status = "lost"
            return
        if not await self._attempt(notification):
            self.start(self._retry(notification))

    async def _retry(self, notification: Notification) -> None:
        for seconds in RETRIES[self.environment]:
            await self.pause(seconds)
            if await self._attempt(notification):
                return
        notification.status = "failed"

    async def _attempt(self, notification: Notification) -> bool:
        """Send once and say whether it is delivered."""
        at = self.now()
        body = wire({**notification.event.envelope(), "notification_id": notification.id})
        failure = self.settings.failures.pop(0) if self.settings.failures[:1] in (["unsent"], ["unanswered"]) else None
        if failure == "unsent":
            attempt = Attempt(at=at, problem="made to fail before it was sent")
        else:
            attempt = await self._post(body, at)
        if failure == "unanswered":
            attempt = Attempt(at=at, problem="sent, but the answer was made to get lost")
        notification.attempts.append(attempt)
        delivered = attempt.status_code == 200
        notification.status = "delivered" if delivered else "needs_retry"
        return delivered

    async def _post(self, body: bytes, at: datetime) -> Attempt:
        headers = {"Content-Type": "application/json", "User-Agent": "Paddle", **self.sign(body, at)}
        timeout = ClientTimeout(total=self.settings.timeout_seconds)
        begun = asyncio.get_running_loop().time()
        status, problem = None, None
        try:
            async with self.http.post(
                self.target, data=body, headers=headers, timeout=timeout, allow_redirects=False
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
            log.error("a story of the Paddle stand-in broke off", exc_info=task.exception())
