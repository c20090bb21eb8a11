"""
How Postgres carries out the gateway's own statements.

The statements are not copied: the store's functions are run on a connection that notes what they send, in a
transaction that is taken back. Then each statement is explained with the arguments that it had.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from gateway.store.pool import serving_settings

Connection = Any
Call = Callable[[Connection], Awaitable[object]]
PLAIN = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that a function of the store sent, with its arguments."""

    source: str
    sql: str
    arguments: Sequence[Any]
    settings: Sequence[str] = ()
    """What the same call had set for its transaction before."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement and its plan, which was carried out."""

    statement: Statement
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Rows that a statement read out of a table, under a plan that knows no arguments."""

    table: str
    by_scanning: int
    by_index: int


class TakenBack(Exception):
    """Ends a transaction without keeping anything."""


async def captured(connection: "asyncpg.Connection[asyncpg.Record]", calls: Mapping[str, Call]) -> list[Statement]:
    """Run calls one after the other, each taken back; return the statements that they sent."""
    found = []
    for source, call in calls.items():
        sent: list[Any] = []
        with connection.query_logger(sent.append):
            await taken_back(connection, call)
        settings = [query.query for query in sent if query.query.startswith("SET LOCAL")]
        found += [
            Statement(source, query.query, tuple(query.args), settings)
            for query in sent
            if not query.query.strip().upper().startswith(PLAIN) and "pg_type" not in query.query
        ]
    return found


async def explained(connection: "asyncpg.Connection[asyncpg.Record]", statement: Statement) -> Explained:
    """Explain a statement in a session like a serving process's, and carry it out for that, and take it back."""
    plans: list[Any] = []

    async def explain(inside: Connection) -> None:
        await _as_serving(inside, statement)
        asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}"
        many = is_many(statement)
        plans.append(await inside.fetchval(asked, *(statement.arguments[0] if many else statement.arguments)))

    await taken_back(connection, explain)
    return Explained(statement, orjson.loads(plans[0])[0]["Plan"])


async def _as_serving(inside: Connection, statement: Statement) -> None:
    """Set what a serving process sets for its sessions, and what the call itself had set for its transaction."""
    serving = serving_settings(inside.get_server_version().major)
    if statement.source.startswith("stories."):  # only commands ask these
        serving = {name: value for name, value in serving.items() if name == "plan_cache_mode"}
    for setting in (*(f"SET LOCAL {name} = {value}" for name, value in serving.items()), *statement.settings):
        await inside.execute(setting)


def is_many(statement: Statement) -> bool:
    """Say whether the arguments are those of executemany: rows of them."""
    return bool(statement.arguments) and isinstance(statement.arguments[0], tuple)


COUNTED = """
SELECT relname AS name, seq_tup_read AS by_scanning, coalesce(idx_tup_fetch, 0) AS by_index
FROM pg_stat_xact_user_tables
"""


async def reads(connection: "asyncpg.Connection[asyncpg.Record]", statement: Statement) -> list[Read]:
    """Carry a statement out as a serving process does; return what it read, table by table."""
    found: list[Read] = []

    async def count(inside: Connection) -> None:
        await _as_serving(inside, statement)
        arguments = statement.arguments[0] if is_many(statement) else statement.arguments
        prepared = await inside.prepare(statement.sql)
        before = await counters(inside)
        await prepared.fetch(*arguments)
        for table, (scanned, fetched) in (await counters(inside)).items():
            earlier = before.get(table, (0, 0))
            found.append(Read(table, scanned - earlier[0], fetched - earlier[1]))

    await taken_back(connection, count)
    return found


async def counters(inside: Connection) -> dict[str, tuple[int, int]]:
    """Return the rows read so far by scanning and by index; they also count what earlier transactions read."""
    return {row["name"]: (row["by_scanning"], row["by_index"]) for row in await inside.fetch(COUNTED)}


async def taken_back(connection: "asyncpg.Connection[asyncpg.Record]", call: Call) -> None:
    """Run a call in a transaction, of which nothing stays."""
    try:
        async with connection.transaction():
            await call(connection)
            raise TakenBack  # noqa: TRY301 - how a transaction is told
    except TakenBack:
        pass


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def complaints(found: Explained, tables: Sequence[str], most: int) -> list[str]:
    """Return what is wrong with a plan: a table read from end to end, or more than `most` rows read or sorted."""
    said = []
    for node in nodes(found.plan):
        kind, rows = node["Node Type"], node["Actual Rows"] * node["Actual Loops"]
        rows += node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        rows += node.get("Rows Removed by Index Recheck", 0) * node["Actual Loops"]
        table = node.get("Relation Name")
        if kind == "Seq Scan" and table in tables:
            said.append(f"{table} is read from end to end")
        elif (table in tables or "Sort" in kind) and rows > most:
            what = " ".join(filter(None, (kind, node.get("Index Name") or table)))
            said.append(f"{what} goes through {rows:.0f} rows")
    return [f"{found.statement.source}: {what}" for what in dict.fromkeys(said)]


def complaints_about_reads(statement: Statement, found: Sequence[Read], tables: Sequence[str], most: int) -> list[str]:
    """Return what is wrong with what a statement read under a generic plan."""
    return [
        f"{statement.source}, generic plan: {read.by_scanning} rows of {read.table} read by scanning, "
        f"{read.by_index} by index"
        for read in found
        if read.table in tables and (read.by_scanning or read.by_index > most)
    ]
