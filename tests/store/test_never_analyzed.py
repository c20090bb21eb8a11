"""
Plans made before there was anything to know: on empty tables, and kept while thousands of rows came.

So it is in the first minutes of every installation, until autovacuum has looked at the tables for the first time.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from bench import history, statements
from bench.databases import fresh_database
from bench.filling import fill, fill_due
from bench.growth import SEARCH
from bench.plans import Connection, Read, Statement, captured, complaints_about_reads, counters, is_many, taken_back
from gateway.store import statistics
from gateway.store.pool import serving_settings

ROWS, DUE = 4_000, 2_000
KNOWN = tuple(range(0, 256, 4))
MOST_ROWS = 1_300
"""For 64 keys at once: some rows each in every table, and far less than the tables have."""

ALL_ROWS = 3 * (ROWS + DUE)
"""What a statement may read of a table of which nothing is known: a few times all of it, never for each row."""

READ_WHOLE = {"ledger.read_books of refunds", "leases.renew_deliveries", "outbox.claim", "outbox.settle"}
"""Before Postgres 17 their index is thought dearer than all of a site in a table as small as this."""

CALLS = {name: call for name, call in statements.everything(KNOWN).items() if not name.startswith("retention.")}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement and its plan, made while its tables were empty."""

    statement: Statement
    run: "asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Young:
    """A connection that was there from the beginning, and its statements by the call that sends them."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    prepared: Mapping[str, list[Prepared]]


@pytest_asyncio.fixture(name="young", scope="module", loop_scope="module")
async def _young(server_url: str, template: str) -> AsyncIterator[Young]:
    """A database that was filled in a moment, as nobody's statistics know yet."""
    async with (
        fresh_database(server_url, "spoken", template) as spoken,
        fresh_database(server_url, "young", template) as url,
    ):
        sent = await _sent(spoken)
        connection = await asyncpg.connect(url)
        for table in history.TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        for setting, value in serving_settings(connection.get_server_version().major).items():
            await connection.execute(f"SET {setting} = {value}")
        prepared = {name: [await _prepared(connection, each) for each in those] for name, those in sent.items()}
        await _fill(url)
        yield Young(connection, prepared)
        await connection.close()


@pytest_asyncio.fixture(name="looked_at", scope="module", loop_scope="module")
async def _looked_at(young: Young) -> list[str]:
    return await statistics.refresh(young.connection)


async def _fill(url: str) -> None:
    await fill(url, ROWS, bodies=100, analyze=False)
    await fill_due(url, ROWS, DUE, analyze=False)


async def _sent(url: str) -> dict[str, list[Statement]]:
    """What the calls send where there are rows: some statements are sent for what others found."""
    await _fill(url)
    connection = await asyncpg.connect(url)
    try:
        return {
            name: [each for each in await captured(connection, {name: call}) if SEARCH not in each.sql]
            for name, call in CALLS.items()
        }
    finally:
        await connection.close()


async def _prepared(connection: "asyncpg.Connection[asyncpg.Record]", statement: Statement) -> Prepared:
    made = Prepared(statement, await connection.prepare(statement.sql))

    async def once(inside: Connection) -> None:
        await _run(inside, made)

    await taken_back(connection, once)
    return made


async def _run(inside: Connection, made: Prepared) -> None:
    for setting in made.statement.settings:
        await inside.execute(setting)
    arguments = made.statement.arguments
    await made.run.fetch(*(arguments[0] if is_many(made.statement) else arguments))


async def _reads(young: Young, made: Prepared) -> list[Read]:
    found: list[Read] = []

    async def count(inside: Connection) -> None:
        before = await counters(inside)
        await _run(inside, made)
        for table, (scanned, fetched) in (await counters(inside)).items():
            earlier = before.get(table, (0, 0))
            found.append(Read(table, scanned - earlier[0], fetched - earlier[1]))

    await taken_back(young.connection, count)
    return found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith("stories.")])
async def test_before_postgres_knows_anything_no_statement_reads_a_table_for_each_row(young: Young, name: str) -> None:
    assert young.prepared[name]
    for made in young.prepared[name]:
        found = await _reads(young, made)
        assert all(read.by_scanning + read.by_index <= ALL_ROWS for read in found), (made.statement.sql, found)


@pytest.mark.asyncio(loop_scope="module")
async def test_tables_that_outgrew_what_is_known_are_looked_at_once(young: Young, looked_at: list[str]) -> None:
    assert looked_at == sorted(history.TABLES)
    assert await statistics.refresh(young.connection) == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("looked_at")
@pytest.mark.parametrize("name", CALLS)
async def test_after_that_look_plans_made_on_empty_tables_are_forgotten(young: Young, name: str) -> None:
    if name in READ_WHOLE and young.connection.get_server_version().major < 17:
        pytest.skip("Postgres before 17 reads all of a site here; in test_plans the tables are large enough")
    for made in young.prepared[name]:
        found = await _reads(young, made)
        assert not complaints_about_reads(made.statement, found, history.TABLES, MOST_ROWS), made.statement.sql
