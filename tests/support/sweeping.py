"""Sweeps and looks at checkouts, done by a test instead of a clock."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import scripted
from harness import CONFIG, Harness, harness

from gateway.domain.revenue import RevenueEvent
from gateway.flows.book import book
from gateway.flows.pace import Paces
from gateway.flows.sweep import sweep
from gateway.flows.watch import watch
from gateway.plugins import Opened
from gateway.sdk import Money, Page, RevenueKind
from gateway.store import sweep_agenda

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OLD = timedelta(minutes=30)
"""How long ago the money of these tests moved: beyond the grace, within the first hour."""

LINE = "      scripted: {{environment: live{scripted}}}\n"
SCRIPTED = CONFIG.replace("    plans:\n      pro:", LINE + "    plans:\n      pro:")


def listing(
    database: str, folder: Path, plugin: scripted.Scripted, *, settings: str = "", plan: str = "example", **what: Any
) -> AbstractAsyncContextManager[Harness]:
    """A gateway without a worker, with a connection whose list says what the test says; it may sell the plan `pro`."""
    text = SCRIPTED.replace("{scripted}", settings).replace("pro: {{provider: example", f"pro: {{{{provider: {plan}")
    return harness(database, folder, text=text, with_worker=False, registry=scripted.registry(plugin), **what)


def opened(gateway: Harness, name: str, site: str = "acme") -> Opened:
    return gateway.gateway.live.connections[site, name]


async def begin(gateway: Harness, name: str = "scripted", *, ago: timedelta = HOUR, site: str = "acme") -> None:
    """Let the connection's first sweep be due now, for money of the last hour."""
    now = gateway.clock()
    async with gateway.gateway.context.database.transaction() as connection:
        await sweep_agenda.begin(connection, [(site, name)], now=now - ago, earliest=now - ago, due=[now])


async def swept(
    gateway: Harness,
    name: str = "scripted",
    *,
    site: str = "acme",
    paces: Paces | None = None,
    stopping: asyncio.Event | None = None,
) -> None:
    """Do a turn of the sweep, if one is due."""
    running, paces, stopping = gateway.gateway, paces or Paces(seconds=0), stopping or asyncio.Event()
    await sweep(running.context, running.live, opened(gateway, name, site), paces, stopping)


async def again(gateway: Harness, name: str = "scripted", *, after: timedelta = HOUR) -> None:
    """Do the next sweep."""
    gateway.clock.forward(after)
    await swept(gateway, name)


async def looked(gateway: Harness, name: str = "scripted", *, after: timedelta = timedelta()) -> None:
    """Look up the checkouts that are due."""
    gateway.clock.forward(after)
    running = gateway.gateway
    await watch(running.context, running.live, opened(gateway, name), Paces(seconds=0), asyncio.Event())


async def read(gateway: Harness, site: str = "acme") -> None:
    """Read and book the kept webhooks."""
    while await book(gateway.gateway.context, gateway.gateway.live, site):
        pass


async def lost(gateway: Harness, kind: RevenueKind = RevenueKind.PURCHASE, *, number: int = 1, **what: Any) -> bytes:
    """Let money move at the example company whose webhook never comes; return the webhook."""
    values = {
        "event_id": f"evt_lost_{kind}_{number}",
        "payment_id": f"pay_{number}",
        "refund_id": f"ref_{number}",
        "occurred_at": gateway.clock() - OLD,
        "simulated": False,
    }
    body: bytes = gateway.provider().sample(kind, **{**values, **what})
    async with gateway.http.post(f"{gateway.provider_url}/stand-in/events", json=orjson.loads(body)) as answer:
        assert answer.status == 200
    return body


def movement(gateway: Harness, key: str = "payment:p1", **what: Any) -> RevenueEvent:
    """A movement in the scripted list, half an hour old."""
    values: dict[str, Any] = {
        "kind": RevenueKind.PURCHASE,
        "payment_id": "p1",
        "amount": Money(1000, "USD"),
        "occurred_at": gateway.clock() - OLD,
    }
    return RevenueEvent(key=key, **{**values, **what})


def pages(*lists: Sequence[RevenueEvent]) -> Any:
    """A list in pages: their cursors are 1, 2 and so on."""

    def listed(_since: Any, cursor: str | None) -> Page:
        at = int(cursor or 0)
        return Page(events=lists[at], next_cursor=str(at + 1) if at + 1 < len(lists) else None)

    return listed


async def lines(gateway: Harness, columns: str = "revenue_key, amount_minor, source") -> list[tuple[Any, ...]]:
    """What the ledger has, in the order of the keys."""
    sql = f"SELECT {columns} FROM (SELECT * FROM ledger ORDER BY revenue_key) AS ledger"
    return [tuple(row.values()) for row in await gateway.rows(sql)]


async def row(gateway: Harness, name: str = "scripted", site: str = "acme") -> dict[str, Any]:
    (found,) = await gateway.rows("SELECT * FROM sweeps WHERE site = $1 AND connection = $2", site, name)
    return found
