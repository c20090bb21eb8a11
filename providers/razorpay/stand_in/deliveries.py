"""
Sending webhooks as Razorpay does: signed, at least once, again for 24 hours until the answer is 2xx, then disabled.

Retries are the same request: body, event id and the signature under the secret that was in use at first
(https://razorpay.com/docs/webhooks/best-practices, https://razorpay.com/docs/webhooks/validate-test).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aiohttp import ClientError, ClientSession, ClientTimeout

from providers.razorpay.stand_in.samples import wire
from providers.razorpay.stand_in.seller import Event, Settings

RETRIES = tuple(60.0 * 2**number for number in range(10))
"""Seconds between attempts: 17 hours of growing waits. Razorpay says 24 hours and "exponential", no figures."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `status_code` is None where no answer came, and `problem` says why."""

    at: datetime
    status_code: int | None = None
    problem: str | None = None
    milliseconds: int = 0


@dataclass(slots=True, kw_only=True)
class Sending:
    """One event on its way. The headers are made once."""

    event: Event
    body: bytes
    headers: Mapping[str, str] = field(repr=False)
    status: Literal["not_attempted", "delivered", "needs_retry", "failed", "lost", "disabled"] = "not_attempted"
    attempts: list[Attempt] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        tries = [
            {
                "at": one.at.isoformat(),
                "status_code": one.status_code,
                "problem": one.problem,
                "milliseconds": one.milliseconds,
            }
            for one in self.attempts
        ]
        return {"event_id": self.event.id, "event": self.event.name, "status": self.status, "attempts": tries}


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """The one webhook, its log and everything that still runs in the background."""

    target: str
    http: ClientSession
    settings: Settings
    sign: Callable[[bytes, int], Mapping[str, str]]
    now: Callable[[], datetime]
    sendings: list[Sending] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def start(self, story: Coroutine[Any, Any, None]) -> None:
        """Let a story run in the background until it ends or the application stops."""
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def settled(self) -> None:
        """Return when nothing runs any more: every story told, every retry used."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def close(self) -> None:
        """Stop everything that runs."""
        for task in set(self._running):
            task.cancel()
        await self.settled()

    async def deliver(self, event: Event) -> None:
        """Make the first attempt; leave the others to the background."""
        body = wire(event.body)
        headers = {"x-razorpay-event-id": event.id, **self.sign(body, self.settings.secret)}
        sending = Sending(event=event, body=body, headers=headers)
        self.sendings.append(sending)
        if self.settings.disabled:
            sending.status = "disabled"
        elif self.settings.failures[:1] == ["lost"]:
            self.settings.failures.pop(0)
            sending.status = "lost"
        elif not await self._attempt(sending):
            self.start(self._retry(sending))

    async def repeat(self, event: Event) -> None:
        """Send the latest request of an event once more, as Razorpay does when it has lost our answer."""
        await self._attempt(next(sending for sending in reversed(self.sendings) if sending.event is event))

    async def _retry(self, sending: Sending) -> None:
        for pause in RETRIES:
            await asyncio.sleep(pause * self.settings.scale)
            if await self._attempt(sending):
                return
        sending.status = "failed"
        self.settings.disabled = True

    async def _attempt(self, sending: Sending) -> bool:
        """Send once and say whether it is delivered."""
        at = self.now()
        failure = self.settings.failures.pop(0) if self.settings.failures[:1] in (["unsent"], ["unanswered"]) else None
        if failure == "unsent":
            attempt = Attempt(at=at, problem="made to fail before it was sent")
        else:
            attempt = await self._post(sending, at)
        if failure == "unanswered":
            attempt = Attempt(at=at, problem="sent, but the answer was made to get lost")
        sending.attempts.append(attempt)
        is_delivered = attempt.status_code is not None and 200 <= attempt.status_code < 300
        sending.status = "delivered" if is_delivered else "needs_retry"
        return is_delivered

    async def _post(self, sending: Sending, at: datetime) -> Attempt:
        headers = {"Content-Type": "application/json", "User-Agent": "Razorpay-Webhook/v1", **sending.headers}
        timeout = ClientTimeout(total=self.settings.timeout_seconds)
        begun = asyncio.get_running_loop().time()
        status, problem = None, None
        try:
            async with self.http.post(
                self.target, data=sending.body, headers=headers, timeout=timeout, allow_redirects=False
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
            log.error("a story of the Razorpay stand-in broke off", exc_info=task.exception())
