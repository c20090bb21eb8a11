"""Delivering by hand, without a worker: with a `send` that does what a test says."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import Harness

from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.flows.book import book
from gateway.flows.deliver import Deliverer
from gateway.outbound import post, posting_session

OK = Answer(status=200, body="{}")
UNCLEAR = Answer(status=None, error="TimeoutError")

Answering = Callable[[OutgoingRequest], Awaitable[Answer]]


class Died(Exception):
    """The process ended here: nothing of what follows happens."""


@dataclass
class Calls:
    """Answers in order, the last one for ever; what was asked is kept."""

    answers: Sequence[Answer] = (OK,)
    asked: list[OutgoingRequest] = field(default_factory=list)

    async def __call__(self, request: OutgoingRequest) -> Answer:
        self.asked.append(request)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@dataclass
class Slow:
    """Answers once told to."""

    answer: Answer = OK
    asked: int = 0
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: OutgoingRequest) -> Answer:
        self.asked += 1
        self.under_way.set()
        await self.goes_on.wait()
        return self.answer


async def deliver(
    gateway: Harness, send: Answering, site: str = "acme", *, stopping: asyncio.Event | None = None, **changed: Any
) -> None:
    """Deliver what is due at one site, until nothing is. `changed` are fields of the context."""
    context = replace(gateway.gateway.context, **changed)
    await Deliverer(context, send).deliver(lambda: gateway.gateway.live, site, stopping or asyncio.Event())


async def book_all_of(gateway: Harness, site: str = "acme") -> None:
    """Book what is due at one site."""
    while await book(gateway.gateway.context, gateway.gateway.live, site):
        pass


async def really(request: OutgoingRequest, gateway: Harness) -> Answer:
    """Send for real."""
    async with posting_session() as session:
        return await post(session, request, gateway.clock)


async def attempts(gateway: Harness, key: str = "payment:p1") -> list[tuple[int, int | None, str | None]]:
    """Number, status code and verdict of a delivery's attempts."""
    rows = await gateway.rows(
        "SELECT number, status_code, verdict FROM attempts WHERE revenue_key = $1 ORDER BY number", key
    )
    return [(row["number"], row["status_code"], row["verdict"]) for row in rows]
