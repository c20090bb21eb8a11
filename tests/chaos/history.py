"""What happened in a storm, as everybody saw it: the provider, Faurya, and the gateway's own tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.chaos.market import Movement

Place = tuple[str, str]
"""A site and a key at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that Faurya saw. `answer` is the status that it sent, None where it kept silent or broke off."""

    at: float
    site: str
    idempotency_key: str
    event: str
    payment_id: str
    order_id: str | None
    amount: int
    currency: str
    visitor: str | None
    recorded: bool
    answer: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt as the gateway noted it; `at` is its own clock's."""

    number: int
    at: float
    status_code: int | None
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A webhook in the inbox."""

    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the ledger."""

    kind: str
    payment_id: str
    amount: int
    currency: str
    visitor: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where a delivery stands."""

    status: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A process was killed."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Between these moments connections to the database broke."""

    begin: float
    end: float


@dataclass(slots=True, kw_only=True)
class History:
    """Everything. `acknowledged` are event ids answered 200, by site; `told` says which movement an event tells of."""

    movements: Mapping[Place, Movement] = field(default_factory=dict)
    told: Mapping[Place, str] = field(default_factory=dict)
    acknowledged: set[Place] = field(default_factory=set)
    swallowed: set[Place] = field(default_factory=set)
    calls: Sequence[Call] = ()
    kills: Sequence[Kill] = ()
    cuts: Sequence[Cut] = ()
    inbox: Mapping[Place, Kept] = field(default_factory=dict)
    ledger: Mapping[Place, Line] = field(default_factory=dict)
    outbox: Mapping[Place, Delivery] = field(default_factory=dict)
    attempts: Mapping[Place, Sequence[Attempt]] = field(default_factory=dict)


async def read_tables(url: str, history: History) -> None:
    """Fill in what the gateway's own tables say."""
    connection = await asyncpg.connect(url)
    try:
        history.inbox = {
            (row["site"], row["event_id"]): Kept(outcome=row["outcome"], reason=row["reason"])
            for row in await connection.fetch("SELECT site, event_id, outcome, reason FROM inbox")
        }
        history.ledger = {
            (row["site"], row["revenue_key"]): Line(
                kind=row["kind"],
                payment_id=row["payment_id"],
                amount=row["amount_minor"],
                currency=row["currency"],
                visitor=row["visitor_id"],
                source=row["source"],
            )
            for row in await connection.fetch("SELECT * FROM ledger")
        }
        history.outbox = {
            (row["site"], row["revenue_key"]): Delivery(status=row["status"], reason=row["reason"])
            for row in await connection.fetch("SELECT site, revenue_key, status, reason FROM outbox")
        }
        history.attempts = _attempts(await connection.fetch("SELECT * FROM attempts ORDER BY number"))
    finally:
        await connection.close()


def _attempts(rows: Sequence[asyncpg.Record]) -> dict[Place, list[Attempt]]:
    found: dict[Place, list[Attempt]] = {}
    for row in rows:
        attempt = Attempt(
            number=row["number"],
            at=row["started_at"].timestamp(),
            status_code=row["status_code"],
            verdict=row["verdict"],
        )
        found.setdefault((row["site"], row["revenue_key"]), []).append(attempt)
    return found
