"""
Sending webhooks as Lemon Squeezy does: signed, and three times more unless the answer is exactly 200.

The pauses are 5, 25 and 125 seconds and the body stays the same
(https://docs.lemonsqueezy.com/help/webhooks/webhook-requests).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from providers.lemonsqueezy.stand_in.objects import Entity, timestamp, wire
from providers.lemonsqueezy.stand_in.store import Settings

RETRIES = (5.0, 25.0, 125.0)
"""Seconds between attempts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `status_code` is None where no answer came, and `problem` says why."""

    at: datetime
    status_code: int | None = None
    problem: str | None = None


@dataclass(slots=True, kw_only=True)
class Sent:
    """One webhook on its way to the gateway."""

    event_name: str
    resource: str
    body: bytes = field(repr=False)
    status: str = "not attempted"
    attempts: list[Attempt] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        attempts = [
            {"at": timestamp(one.at), "status_code": one.status_code, "problem": one.problem} for one in self.attempts
        ]
        return {
            "event_name": self.event_name,
            "resource": self.resource,
            "status": self.status,
            "attempts": attempts,
        }


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """The one webhook of the store, its log and everything that still runs in the background."""

    target: str
    http: ClientSession
    settings: Settings
    sign: Callable[[bytes], Mapping[str, str]]
    now: Callable[[], datetime]
    log: list[Sent] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def send(self, *webhooks: Entity) -> None:
        """Send webhooks one after the other, in the background; retries run beside."""
        made = [
            Sent(
                event_name=one["meta"]["event_name"],
                resource=f"{one['data']['type']} {one['data']['id']}",
                body=wire(one),
            )
            for one in webhooks
        ]
        self.log.extend(made)
        self._start(self._in_turn(made))

    def again(self, number: int) -> None:
        """Send a webhook of the log once more, as the dashboard's Resend does."""
        self._start(self._deliver(self.log[number]))

    async def settled(self) -> None:
        """Return when nothing runs any more: every webhook sent, every retry used."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def close(self) -> None:
        """Stop everything that runs."""
        for task in set(self._running):
            task.cancel()
        await self.settled()

    def _start(self, story: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def _in_turn(self, made: list[Sent]) -> None:
        for sent in made:
            await self._deliver(sent)

    async def _deliver(self, sent: Sent) -> None:
        if self.settings.failures[:1] == ["lost"]:
            self.settings.failures.pop(0)
            sent.status = "lost"
        elif not await self._attempt(sent):
            self._start(self._retry(sent))

    async def _retry(self, sent: Sent) -> None:
        for seconds in RETRIES:
            await asyncio.sleep(seconds * self.settings.scale)
            if await self._attempt(sent):
                return
        sent.status = "failed"

    async def _attempt(self, sent: Sent) -> bool:
        """Send once and say whether it is delivered."""
        at = self.now()
        failure = self.settings.failures.pop(0) if self.settings.failures[:1] in (["unsent"], ["unanswered"]) else None
        if failure == "unsent":
            attempt = Attempt(at=at, problem="made to fail before it was sent")
        else:
            attempt = await self._post(sent.body, at)
        if failure == "unanswered":
            attempt = Attempt(at=at, problem="sent, but the answer was made to get lost")
        sent.attempts.append(attempt)
        sent.status = "delivered" if attempt.status_code == 200 else "needs retry"
        return attempt.status_code == 200

    async def _post(self, body: bytes, at: datetime) -> Attempt:
        headers = {"Content-Type": "application/json", "User-Agent": "LemonSqueezy-Hookshot", **self.sign(body)}
        timeout = ClientTimeout(total=self.settings.timeout_seconds)
        try:
            async with self.http.post(
                self.target, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                return Attempt(at=at, status_code=answer.status)
        except TimeoutError:
            return Attempt(at=at, problem=f"no answer within {self.settings.timeout_seconds:g} seconds")
        except (ClientError, OSError) as error:
            return Attempt(at=at, problem=f"no connection: {type(error).__name__}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a webhook of the Lemon Squeezy stand-in broke off", exc_info=task.exception())
