"""
Sending webhooks as Stripe does: signed, at least once, again until the answer is 2xx.

Retries keep the event and get a new time and signature (https://docs.stripe.com/webhooks#behaviors).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aiohttp import ClientError, ClientSession, ClientTimeout

from providers.stripe.stand_in.seller import Event, Settings

RETRIES: Mapping[str, tuple[float, ...]] = {
    "sandbox": (600.0, 3600.0, 7200.0),
    "live": tuple(60.0 * 2**number for number in range(12)),
}
"""Seconds between attempts. Stripe says: 3 within hours, or growing for 3 days; the intervals are not published."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. `status_code` is None where no answer came, and `problem` says why."""

    at: datetime
    status_code: int | None = None
    problem: str | None = None
    milliseconds: int = 0

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        found = {"status_code": self.status_code, "problem": self.problem, "milliseconds": self.milliseconds}
        return {"at": self.at.isoformat(), **found}


@dataclass(slots=True, kw_only=True)
class Sending:
    """One event on its way to the endpoint."""

    event: Event
    status: Literal["not_attempted", "delivered", "needs_retry", "failed", "lost"] = "not_attempted"
    attempts: list[Attempt] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        return {
            "event_id": self.event.id,
            "event_type": self.event.type,
            "object_id": self.event.entity["id"],
            "object_status": self.event.entity.get("payment_status") or self.event.entity.get("status"),
            "status": self.status,
            "attempts": [attempt.shown() for attempt in self.attempts],
        }


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """The one endpoint, its log and everything that still runs in the background."""

    target: str
    http: ClientSession
    settings: Settings
    environment: str
    sign: Callable[[bytes, datetime], Mapping[str, str]]
    now: Callable[[], datetime]
    sendings: list[Sending] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def start(self, story: Coroutine[Any, Any, None]) -> None:
        """Let a story run in the background until it ends or the application stops."""
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def pause(self, seconds: float) -> None:
        """Wait as long as Stripe would, times the scale."""
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

    async def deliver(self, event: Event) -> None:
        """Make the first attempt, if the endpoint is enabled for this type; leave the others to the background."""
        if self.settings.enabled_events and event.type not in self.settings.enabled_events:
            return
        sending = Sending(event=event)
        self.sendings.append(sending)
        if self.settings.failures[:1] == ["lost"]:
            self.settings.failures.pop(0)
            sending.status = "lost"
        elif not await self._attempt(sending):
            self.start(self._retry(sending))

    async def _retry(self, sending: Sending) -> None:
        for seconds in RETRIES[self.environment]:
            await self.pause(seconds)
            if await self._attempt(sending):
                return
        sending.status = "failed"

    async def _attempt(self, sending: Sending) -> bool:
        """Send once and say whether it is delivered."""
        at = self.now()
        failure = self.settings.failures.pop(0) if self.settings.failures[:1] in (["unsent"], ["unanswered"]) else None
        if failure == "unsent":
            attempt = Attempt(at=at, problem="made to fail before it was sent")
        else:
            attempt = await self._post(wire(sending.event.envelope()), at)
        if failure == "unanswered":
            attempt = Attempt(at=at, problem="sent, but the answer was made to get lost")
        sending.attempts.append(attempt)
        delivered = attempt.status_code is not None and 200 <= attempt.status_code < 300
        sending.status = "delivered" if delivered else "needs_retry"
        return delivered

    async def _post(self, body: bytes, at: datetime) -> Attempt:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0", **self.sign(body, at)}
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
            log.error("a story of the Stripe stand-in broke off", exc_info=task.exception())


def wire(envelope: Mapping[str, Any]) -> bytes:
    """Return the bytes as Stripe writes them: indented by two, everything beyond ASCII as it is."""
    return json.dumps(envelope, indent=2, ensure_ascii=False).encode("utf-8", "replace")
