"""Sending webhooks over HTTP: attempts that are kept, retries, failures on request, everything stopped at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from gateway.sdk.stand_in.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a company sends: its name, the headers of every webhook, and the statuses that count as delivered."""

    company: str
    headers: Mapping[str, str]
    accepted: Container[int] = range(200, 300)


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
        return {"at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **found}


@dataclass(slots=True, kw_only=True)
class Webhook:
    """One event on its way. `about` says which, as JSON; `headers` signs one attempt made at that time."""

    about: Mapping[str, Any]
    body: bytes = field(repr=False)
    headers: Callable[[datetime], Mapping[str, str]] = field(repr=False)
    status: str = "not_attempted"
    attempts: list[Attempt] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what `/stand-in/deliveries.json` lists."""
        return {**self.about, "status": self.status, "attempts": [attempt.shown() for attempt in self.attempts]}


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """The one place that webhooks go to, their log, and everything that still runs in the background."""

    manner: Manner
    target: str
    http: ClientSession = field(repr=False)
    settings: Settings
    now: Callable[[], datetime]
    retries: Sequence[float]
    """Seconds between attempts, before `settings.scale`."""
    log: list[Webhook] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def start(self, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let a story run in the background until it ends or the application stops."""
        task = asyncio.create_task(story)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def pause(self, seconds: float) -> None:
        """Wait as long as the company would, times the scale."""
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

    def notice(self) -> str | None:
        """Return what the page of deliveries has to warn of."""
        return None

    async def dispatch(self, webhook: Webhook) -> None:
        """Make the first attempt; leave the others to the background."""
        if not self.lost(webhook) and not await self.once(webhook):
            self.start(self._retry(webhook))

    async def once(self, webhook: Webhook) -> bool:
        """Make one attempt, note the state that follows, and say whether it is delivered."""
        delivered = await self.attempt(webhook)
        webhook.status = "delivered" if delivered else "needs_retry"
        return delivered

    async def attempt(self, webhook: Webhook) -> bool:
        """Make one attempt and say whether it is delivered; the webhook's state stays."""
        at, failure = self.now(), self.settings.failure("unsent", "unanswered")
        if failure == "unsent":
            made = Attempt(at=at, problem="made to fail before it was sent")
        else:
            made = await self._post(webhook, at)
        if failure == "unanswered":
            made = Attempt(at=at, problem="sent, but the answer was made to get lost")
        webhook.attempts.append(made)
        return made.status_code is not None and made.status_code in self.manner.accepted

    def lost(self, webhook: Webhook) -> bool:
        """Say whether this webhook is asked to get lost, and note it."""
        if self.settings.failure("lost") is None:
            return False
        webhook.status = "lost"
        return True

    def gave_up(self, webhook: Webhook) -> None:
        """Note that every attempt failed."""
        webhook.status = "failed"

    async def _retry(self, webhook: Webhook) -> None:
        for seconds in self.retries:
            await self.pause(seconds)
            if await self.once(webhook):
                return
        self.gave_up(webhook)

    async def _post(self, webhook: Webhook, at: datetime) -> Attempt:
        headers = {**self.manner.headers, **webhook.headers(at)}
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
            log.error("a story of the %s stand-in broke off", self.manner.company, exc_info=task.exception())
