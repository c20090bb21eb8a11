"""The statements of accepting, booking, delivering and tracing use their indexes, however many rows there are."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from bench import history, statements
from bench.databases import fresh_database
from bench.filling import fill, fill_due
from bench.growth import MOST_ROWS, SEARCH
from bench.plans import captured, complaints, complaints_about_reads, explained, reads

ROWS, DUE = 40_000, 10_000
KNOWN = (200, 2_000, 10_000, 20_000)
CALLS = statements.everything(KNOWN)


@pytest_asyncio.fixture(name="filled", scope="module", loop_scope="module")
async def _filled(server_url: str, template: str) -> AsyncIterator[str]:
    """A database with a history and a backlog; every test leaves it as it was."""
    async with fresh_database(server_url, "plans", template) as url:
        await fill(url, ROWS, bodies=2_000)
        await fill_due(url, ROWS, DUE)
        yield url


@pytest.mark.parametrize("name", CALLS)
async def test_no_statement_reads_or_sorts_a_table(filled: str, name: str) -> None:
    connection = await asyncpg.connect(filled)
    try:
        sent = await captured(connection, {name: CALLS[name]})
        looked_at = [statement for statement in sent if SEARCH not in statement.sql]  # it has a time limit instead
        assert looked_at
        for statement in looked_at:
            assert not complaints(await explained(connection, statement), history.TABLES, MOST_ROWS), statement.sql
            read = await reads(connection, statement)
            assert not complaints_about_reads(statement, read, history.TABLES, MOST_ROWS), statement.sql
    finally:
        await connection.close()
