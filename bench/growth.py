"""What years of rows and a great backlog cost: accepting, claiming, the worker's look, trace, and their plans."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

from bench import history, statements
from bench.contenders import Round, ours, rounds
from bench.figures import median, percentile, ratio
from bench.filling import fill, fill_due
from bench.history import key
from bench.place import Place
from bench.plans import captured, complaints, complaints_about_reads, explained, reads
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown, times
from gateway.flows.trace import trace
from gateway.store import agenda, inbox, outbox
from gateway.store.pool import Connection, Database, open_database

NAME = "growth"
TITLE = "Growth: accepting, claiming and tracing with years of rows"
MOST_ROWS = 2_000
"""A statement that goes through more rows than this for one batch does not stay flat."""

ENOUGH_ROWS = 10_000
"""Smaller tables are rightly read from end to end."""

SEARCH = "position(word IN body)"
"""trace's last resort looks into bodies, without an index and with a time limit: it is known to grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """Accepting by rows of history; milliseconds of single calls by rows; what is wrong with plans."""

    accept: Mapping[int, Sequence[Round]]
    traces: Mapping[int, Sequence[float]]
    claims: Mapping[str, Mapping[int, Sequence[float]]]
    complaints: Sequence[str]
    statements: int


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    return Section(name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=asdict(found))


async def measure(place: Place) -> Grown:
    """Fill, accept in turns, trace; then fill backlogs and claim."""
    databases: dict[int, str] = {}
    for rows in place.scale.history:
        databases[rows] = await place.gateway_database("history")
        await fill(databases[rows], rows, bodies=min(rows, place.scale.history_bodies))
    traces = {rows: await _traces(place, url, rows) for rows, url in databases.items() if rows}
    most = max(databases)
    wrong, looked_at = await look_at_plans(databases[most], most) if most >= ENOUGH_ROWS else ([], 0)
    accept = await _accept(place, databases)
    claims = await _claims(place, databases[min(rows for rows in databases if rows)])
    for url in databases.values():
        await place.drop(url)
    return Grown(accept=accept, traces=traces, claims=claims, complaints=wrong, statements=looked_at)


async def _accept(place: Place, databases: Mapping[int, str]) -> dict[int, list[Round]]:
    async with AsyncExitStack() as stack:
        contenders = [
            await stack.enter_async_context(ours(place, str(rows), url=url)) for rows, url in databases.items()
        ]
        found = await rounds(place, contenders, place.scale.webhooks)
    return {int(name): each for name, each in found.items()}


async def _traces(place: Place, url: str, rows: int) -> list[float]:
    """Trace payments, orders and events of the history, chosen by chance."""
    chance, took = random.Random(rows), []
    database = await open_database(url, size=1)
    try:
        for number in range(place.scale.traces):
            known = chance.randrange(rows // 4) * 4 or 4  # acme's, and the first of its visitor
            query = ("txn_01", "evt_01", "fv_")[number % 3] + key(known)
            started = time.perf_counter()
            story = await trace(database, ["acme"], query)
            took.append((time.perf_counter() - started) * 1000)
            if not story.webhooks:
                raise RuntimeError(f"trace {query} found nothing")
    finally:
        await database.close()
    return took


Claiming = Callable[[Connection], Awaitable[object]]


async def _claims(place: Place, url: str) -> dict[str, dict[int, list[float]]]:
    """Claim from a small and a great backlog; the claims are committed, as a worker's are."""
    found: dict[str, dict[int, list[float]]] = {}
    begin = max(place.scale.history)
    for total in place.scale.backlog:
        have = sum(place.scale.backlog[: place.scale.backlog.index(total)])
        await fill_due(url, begin + have, total - have)
        await place.settle()
        database = await open_database(url, size=1)
        try:
            for name, (claims, claim) in _claiming(place.scale.claims).items():
                found.setdefault(name, {})[total] = await _timed(database, claims, claim)
        finally:
            await database.close()
    return found


def _claiming(claims: int) -> dict[str, tuple[int, Claiming]]:
    """Return what is timed, and how often; not so often that the small backlog is used up."""
    site, names, lease_for = statements.SITE, [statements.CONNECTION], statements.LEASE_FOR
    places = [(site, statements.CONNECTION)]

    def webhooks(at: Connection) -> Awaitable[object]:
        return inbox.claim(at, site, names, now=datetime.now(UTC), lease=uuid4(), lease_for=lease_for, limit=64)

    def deliveries(at: Connection) -> Awaitable[object]:
        return outbox.claim(at, site, names, now=datetime.now(UTC), lease=uuid4(), lease_for=lease_for, limit=8)

    return {
        "claim 64 webhooks to read": (max(2, claims // 10), webhooks),
        "claim 8 deliveries to send": (claims, deliveries),
        "the worker's look": (claims, lambda at: agenda.read(at, places)),
    }


async def _timed(database: Database, count: int, call: Claiming) -> list[float]:
    took: list[float] = []
    for _ in range(count + 2):  # the first two fill caches
        started = time.perf_counter()
        async with database.transaction() as connection:
            await call(connection)
        took.append((time.perf_counter() - started) * 1000)
    return took[2:]


async def look_at_plans(url: str, rows: int) -> tuple[list[str], int]:
    """Return what is wrong with the plans of the store's statements, and how many there are."""
    known = list(range(4, rows, max(4, rows // 32 * 4)))
    wrong, looked_at = [], 0
    connection = await asyncpg.connect(url)
    try:
        for statement in await captured(connection, statements.everything(known)):
            if SEARCH in statement.sql:
                continue
            looked_at += 1
            wrong += complaints(await explained(connection, statement), history.TABLES, MOST_ROWS)
            read = await reads(connection, statement)
            wrong += complaints_about_reads(statement, read, history.TABLES, MOST_ROWS)
    finally:
        await connection.close()
    return wrong, looked_at


def table(found: Grown) -> str:
    """Return the figures by rows."""
    least = found.accept[min(found.accept)]
    rows = [
        [
            f"{count:,}", figure(median([one.rate for one in each]), "/s"),
            times(ratio([one.rate for one in each], [one.rate for one in least])),
            figure(median([one.cpu_us for one in each]), " us"),
            figure(median(found.traces.get(count, ())), " ms"),
            figure(percentile(found.traces.get(count, ()), 0.95), " ms"),
        ]
        for count, each in found.accept.items()
    ]  # fmt: skip
    head = ["rows of history", "accepted", "to the fewest", "CPU per webhook", "trace", "trace, 95 %"]
    parts = [markdown(head, rows), _claim_table(found.claims), _targets(found)]
    if found.complaints:
        parts.append("Plans that do not stay flat:\n\n" + "\n".join(f"- {line}" for line in found.complaints) + "\n")
    elif found.statements:
        parts.append(
            f"All {found.statements} statements of accepting, booking, delivering and tracing use an index, none sorts "
            "or reads a table; looking into bodies, trace's last resort, is the exception and has a time limit.\n"
        )
    return "\n".join(parts)


def _claim_table(claims: Mapping[str, Mapping[int, Sequence[float]]]) -> str:
    sizes = list(next(iter(claims.values())))
    rows = [
        [name, *(figure(median(by_size[size]), " ms") for size in sizes), times(_grown(by_size))]
        for name, by_size in claims.items()
    ]
    return markdown(["due", *(f"{size:,}" for size in sizes), "grown"], rows)


def _grown(by_size: Mapping[int, Sequence[float]]) -> float:
    sizes = sorted(by_size)
    return median(by_size[sizes[-1]]) / median(by_size[sizes[0]])


def _targets(found: Grown) -> str:
    least, most = min(found.accept), max(found.accept)
    flat = ratio([one.rate for one in found.accept[most]], [one.rate for one in found.accept[least]])
    rows = [[f"accepting with {most:,} rows, to {least:,}", times(flat), "at least 0.8 x (10 million)"]]
    rows += [[f"{name}, a great backlog to a small one", times(_grown(by_size)), "at most 1.5 x"]
             for name, by_size in found.claims.items()]  # fmt: skip
    return markdown(["target", "measured", "wanted"], rows)


def plots(found: Grown) -> dict[str, str]:
    """Return accepting by rows, and claims by backlog."""
    accept = {f"{count:,} rows": median([one.rate for one in each]) for count, each in found.accept.items()}
    claims = {
        f"{name}, {size:,} due": median(took)
        for name, by_size in found.claims.items()
        for size, took in by_size.items()
    }
    return {
        "growth-accept.svg": bars("Webhooks accepted a second, by rows of history", accept, unit="/s"),
        "growth-claims.svg": bars("Milliseconds of a call, by rows due", claims, unit=" ms"),
    }
