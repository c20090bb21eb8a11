"""Lines of the ledger and deliveries, for tests of the store."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from rows import NOON

from gateway.domain.attribution import NOBODY, AttributionSource
from gateway.domain.booking import Dispatch, Entry
from gateway.domain.delivery import AttemptVerdict, Status
from gateway.sdk import Money, RevenueEvent, RevenueKind
from gateway.store import bookings, outbox
from gateway.store.outbox import ClaimedDelivery, Settlement
from gateway.store.pool import Database

LEASE, OTHER_LEASE = UUID(int=1), UUID(int=2)
MINUTE = timedelta(minutes=1)


def event(key: str = "payment:p1", **what: Any) -> RevenueEvent:
    values: dict[str, Any] = {
        "kind": RevenueKind.PURCHASE,
        "payment_id": key.partition(":")[2],
        "amount": Money(6500, "USD"),
        "occurred_at": NOON,
    }
    return RevenueEvent(key=key, **{**values, **what})


def entry(key: str = "payment:p1", *, connection: str = "example", **what: Any) -> Entry:
    """A line; fields of the event and of the line may be mixed."""
    own: dict[str, Any] = {
        "order_id": None,
        "carries_order": False,
        "attribution_source": AttributionSource.NONE,
        "event_key": "evt_1",
        "booked_at": NOON,
        "plugin": "example",
    }
    own |= {name: what.pop(name) for name in list(what) if name in own}
    own["attribution"] = what.get("attribution", NOBODY)
    moved = event(key, **what, reference=own["order_id"])
    return Entry(connection=connection, event=moved, test=moved.test, **own)


def dispatch(key: str = "payment:p1", *, connection: str = "example", **what: Any) -> Dispatch:
    values: dict[str, Any] = {
        "payment_id": key.partition(":")[2],
        "is_sale": key.startswith("payment:"),
        "order_id_sent": key.partition(":")[2],
        "api": "revenue",
        "basis": "gross",
        "amount_minor": 6500,
        "amount_unit": "minor",
        "currency": "USD",
        "status": Status.PENDING,
        "reason": None,
    }
    values |= what
    values.setdefault("due", values["status"] is Status.PENDING and values["reason"] is None)
    return Dispatch(connection=connection, key=key, **values)


async def book(
    database: Database, *lines: tuple[Entry, Dispatch], site: str = "acme", source: str = "webhook", at: Any = NOON
) -> None:
    async with database.transaction() as connection:
        what = {"lines": [line for line, _ in lines], "deliveries": [row for _, row in lines]}
        await bookings.write(connection, site, at, source, **what)


async def sold(database: Database, *keys: str, site: str = "acme", **what: Any) -> None:
    """Book some sales that are due."""
    await book(database, *((entry(key, **what), dispatch(key)) for key in keys), site=site)


async def claim(database: Database, *, site: str = "acme", **what: Any) -> list[ClaimedDelivery]:
    values: dict[str, Any] = {"connections": ["example"], "now": NOON, "lease": LEASE, "lease_for": MINUTE, "limit": 10}
    values |= what
    async with database.transaction() as connection:
        return await outbox.claim(connection, site, values.pop("connections"), **values)


def ended(status: Status = Status.RECORDED, *, key: str = "payment:p1", **what: Any) -> Settlement:
    values: dict[str, Any] = {
        "site": "acme",
        "connection": "example",
        "number": 1,
        "lease": LEASE,
        "verdict": AttemptVerdict.RECORDED if status is Status.RECORDED else AttemptVerdict.UNCLEAR,
        "reason": None,
        "spent": 0,
        "due_at": NOON + MINUTE if status is Status.PENDING else None,
        "recorded_at": NOON if status is Status.RECORDED else None,
        "status_code": 200 if status is Status.RECORDED else None,
        "answer": "",
        "milliseconds": 5,
    }
    return Settlement(key=key, status=status, **{**values, **what})


async def settle(database: Database, *results: Settlement) -> list[bool]:
    async with database.transaction() as connection:
        return await outbox.settle(connection, results, NOON)


async def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    async with database.reading() as connection:
        return [tuple(row.values()) for row in await connection.fetch(sql)]
