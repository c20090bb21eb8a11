"""
What one webhook costs in bytes, and what a look at many sites costs: the figures of `docs/scaling.md`.

    python -m bench.footprint                   half a minute; bytes do not depend on what else the machine does
    python -m bench.footprint --out-of-line     with bodies beside their rows instead of in them

The calls are the store's own, on a durable Postgres, one after the other: bytes of its log (WAL) between two calls, the
size of the tables after VACUUM FULL, and the time of the worker's and the sweeper's look.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg

from bench import history, statements
from bench.children import cpu_seconds
from bench.figures import median, per_webhook
from bench.filling import fill
from bench.history import key
from bench.place import Place, place
from bench.samples import template
from bench.scale import QUICK
from bench.statements import CONNECTION, LEASE_FOR, NEW, SITE
from bench.tables import markdown
from gateway.store import agenda, bookings, inbox, ledger, outbox, sweep_agenda

Connection = Any
Result = TypeVar("Result")

HEADERS = b"Host: gateway.example\r\nUser-Agent: Paddle\r\nAccept: */*\r\nContent-Type: application/json"
STEPS = ("keep", "claim to read", "book", "claim to deliver", "settle")
BATCHES, CALLS = (1, 8, 64), 8
HISTORY, COUNTED = 20_000, 512
SITES, LOOKS = (1, 100, 1_000), 40
PIECES = template()
OUT_OF_LINE = "ALTER TABLE inbox SET (toast_tuple_target = 128)"


def webhook(number: int, site: str = SITE) -> inbox.Webhook:
    """Return a webhook as it is kept: a body of 4 to 5 KB, some headers."""
    body = key(number).encode().join(PIECES)
    return replace(statements.webhook(number), site=site, body=body, headers=HEADERS)


class Log:
    """Counts the bytes that each step adds to the server's log, where asked to: that costs time."""

    def __init__(self, connection: Connection, *, counting: bool) -> None:
        self._connection = connection
        self._counting = counting
        self.bytes: Counter[str] = Counter()

    async def count(self, step: str, call: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run a call in a transaction and count what it wrote."""
        before = await self._end()
        async with self._connection.transaction():
            result = await call(self._connection)
        self.bytes[step] += await self._end() - before
        return result

    async def _end(self) -> int:
        if not self._counting:
            return 0
        return int(await self._connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def whole_way(log: Log, numbers: Sequence[int]) -> None:
    """Keep, read, book and deliver a batch of sales, each with one attempt."""
    lease, soon = uuid4(), datetime.now(UTC) + timedelta(seconds=1)
    await log.count("keep", lambda at: inbox.keep(at, [webhook(number) for number in numbers]))
    claimed = await log.count(
        "claim to read",
        lambda at: inbox.claim(at, SITE, [CONNECTION], now=soon, lease=lease, lease_for=LEASE_FOR, limit=len(numbers)),
    )
    assert len(claimed) == len(numbers)
    await log.count("book", lambda at: book(at, numbers, lease))
    while found := await log.count(
        "claim to deliver",
        lambda at: outbox.claim(at, SITE, [CONNECTION], now=soon, lease=lease, lease_for=LEASE_FOR, limit=CALLS),
    ):
        settled = [replace(statements.settlement(0), key=row.key, number=row.number, lease=lease) for row in found]
        assert all(await log.count("settle", lambda at, rows=settled: outbox.settle(at, rows, soon)))


async def book(at: Connection, numbers: Sequence[int], lease: UUID) -> None:
    """Book sales as `gateway.flows.book` does."""
    now, events = datetime.now(UTC), [(CONNECTION, statements.event(number)) for number in numbers]
    entries = [statements.entry(number) for number in numbers]
    keys = sorted((CONNECTION, f"evt_01{key(number)}") for number in numbers)
    assert len(await bookings.enter(at, SITE, keys, lease, now)) == len(keys)
    await ledger.read_books(at, SITE, events)
    await bookings.write(
        at,
        SITE,
        now,
        "webhook",
        lines=entries,
        deliveries=[statements.dispatch(number) for number in numbers],
        outcomes=[inbox.Outcome(connection=CONNECTION, event_key=name, outcome="booked") for _, name in keys],
        refs=[(CONNECTION, f"payment:{event.payment_id}") for _, event in events],
    )


async def log_table(here: Place, url: str) -> str:
    """Return bytes of log and CPU time per webhook, for batches of several sizes; the calls of the store alone."""
    rows, first = [], NEW
    connection = await asyncpg.connect(url)
    try:
        for batch in BATCHES:
            times = max(4, COUNTED // batch)
            await here.settle()  # a checkpoint: the first change of a page after it writes the page whole, so the
            log, counted = Log(connection, counting=False), Log(connection, counting=True)  # first round is not counted
            python, postgres = time.process_time(), cpu_seconds([here.postmaster])
            for number in range(first := first + COUNTED, first + batch * times, batch):
                await whole_way(log, range(number, number + batch))
            spent = (time.process_time() - python, cpu_seconds([here.postmaster]) - postgres)
            for number in range(first := first + COUNTED, first + batch * times, batch):
                await whole_way(counted, range(number, number + batch))
            each = [round(counted.bytes[step] / (batch * times)) for step in STEPS]
            cpu = [round(per_webhook(seconds, batch * times)) for seconds in spent]
            rows.append([f"{figure:,}" for figure in (batch, *each, sum(each), *cpu)])
    finally:
        await connection.close()
    return markdown(["webhooks at a time", *STEPS, "whole", "Python, us", "Postgres, us"], rows)


async def disk_table(here: Place) -> str:
    """Return the bytes of a row in each table, packed; `inbox` with its bytes and after they were forgotten."""
    rows = []
    for what, bodies in (("as received", HISTORY), ("forgotten", 0)):
        url = await here.gateway_database("footprint" + str(bodies))
        await fill(url, HISTORY, bodies=bodies)
        connection = await asyncpg.connect(url)
        try:
            for table in history.TABLES if bodies else ("inbox",):
                await connection.execute(f"VACUUM FULL {table}")
                rows.append([f"{table}, {what}" if table == "inbox" else table, *await sizes(connection, table)])
        finally:
            await connection.close()
    return markdown(["table", "bytes of a row", "of its index entries"], rows)


async def sizes(connection: Connection, table: str) -> list[str]:
    """Return the bytes per row of a table and of its indexes."""
    asked = f"pg_table_size('{table}') AS rows, pg_indexes_size('{table}') AS indexes, count(*) AS count"
    found = await connection.fetchrow(f"SELECT {asked} FROM {table}")
    return [str(round(found[name] / found["count"])) for name in ("rows", "indexes")]


async def look_table(here: Place) -> str:
    """Return how long the looks at several sites take, a tenth of which have work."""
    url = await here.gateway_database("looks")
    names = [f"site-{number:04d}" for number in range(SITES[-1])]
    connection = await asyncpg.connect(url)
    rows = []
    try:
        await fill_sites(connection, names)
        for count in SITES:
            places = [(name, CONNECTION) for name in names[:count]]
            times = [await timed(connection, places, read) for read in (agenda.read, sweep_agenda.read)]
            rows.append([str(count), *(f"{milliseconds:.1f}" for milliseconds in times)])
    finally:
        await connection.close()
    return markdown(["sites", "worker's look, ms", "sweeper's look, ms"], rows)


async def fill_sites(connection: Connection, names: Sequence[str]) -> None:
    """Give each site some webhooks and sales; every tenth still has them before it."""
    for place_, name in enumerate(names):
        numbers = range(place_ * 10, place_ * 10 + 3)
        async with connection.transaction():
            await inbox.insert(connection, inbox.merged([webhook(number, name) for number in numbers]))
            lines = [statements.entry(number) for number in numbers]
            due = [statements.dispatch(number) for number in numbers]
            await bookings.write(connection, name, datetime.now(UTC), "webhook", lines=lines, deliveries=due)
    await connection.execute("UPDATE inbox SET outcome = 'booked', due_at = NULL WHERE site NOT LIKE '%7'")
    await connection.execute("UPDATE outbox SET status = 'recorded', due_at = NULL WHERE site NOT LIKE '%7'")
    now = datetime.now(UTC)
    due_at = [now + timedelta(hours=1)] * len(names)
    places = [(name, CONNECTION) for name in names]
    await sweep_agenda.begin(connection, places, now=now, earliest=now, due=due_at)
    await connection.execute("VACUUM ANALYZE inbox, outbox, sweeps")


async def timed(connection: Connection, places: Sequence[tuple[str, str]], read: Callable[..., Any]) -> float:
    """Return the median of a look's milliseconds."""
    times = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        await read(connection, places)
        times.append((time.perf_counter() - started) * 1000)
    return median(times[LOOKS // 4 :])


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.footprint")
    parser.add_argument("--out-of-line", action="store_true", help="bodies beside their rows instead of in them")
    asked = parser.parse_args()
    async with place(QUICK) as here:
        url = await here.gateway_database("log")
        if asked.out_of_line:
            await here.do(url, OUT_OF_LINE)
        await fill(url, HISTORY, bodies=HISTORY)
        print("Bytes of log per webhook, and CPU time of the store's calls:\n\n" + await log_table(here, url))
        print("\nBytes on the disk per row, packed:\n\n" + await disk_table(here))
        print("\nA look:\n\n" + await look_table(here))


if __name__ == "__main__":
    asyncio.run(main())
