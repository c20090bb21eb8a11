"""
Every statement names its site: what that is true of, and what it is not.

`docs/scaling.md` tells what each list below means where the tables are distributed by site. A statement that is new is
in none of the lists; whoever writes it decides where it belongs.
"""

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import every_statement
import pytest
import pytest_asyncio
from single_site import generic_plan, sites_of, tables_with_site

from bench import statements
from bench.plans import captured

SEVERAL_AT_WORK = {
    "inbox.INSERT": "a batch of webhooks, whosoever they are",
    "inbox.LOCK": "repeats among a batch of webhooks",
    "inbox.READ_AGAIN": "repeats among a batch of webhooks",
    "outbox.SETTLE": "a batch of results",
    "outbox.RELEASE": "refunds of the sales in a batch of results",
    "refusals.NOTE": "a batch of refused webhooks",
    "agenda.AGENDA": "the worker's look",
    "sweep_agenda.AGENDA": "the sweeper's look",
    "sweep_agenda.BEGIN": "connections that are new",
    "holds.find_all": "a claim asks for one site, people for many",
    "holds.probe_now": "at the start and after a reload",
    "retention.SITES": "once an hour: which sites hold old bytes",
    "retention.forget_callers": "once an hour",
    "retention.forget_watches": "once an hour",
}
"""On the way of a webhook, or done by every worker by itself."""

SEVERAL_FOR_PEOPLE = {
    "health.BACKLOG",
    "health.last_sweeps",
    "health.last_webhooks",
    "holds.lift",
    "refusals.find",
    "reports.HELD",
    "reports.LEFT_BEHIND",
    "reports.PLACES",
    "reports.STUCK",
    "sweeps.find",
}
"""Asked by a probe, a scrape or a command."""

SAID_ONCE = {
    "retention.FORGET": "the rows to change come out of a subquery",
    "watches.CLAIM": "the rows to change come out of a subquery",
    "replays.AT": "`attempts` follows the row of `outbox`",
    "replays.LOCKED": "`attempts` follows the row of `outbox`",
    "replays.SKIPPED": "`attempts` follows the row of `outbox`",
    "replays.STUCK": "`attempts` follows the row of `outbox`",
}
"""One site, but a table is limited to it only by way of another one's rows, which a planner does not see through."""

NO_TABLE = {
    "health.clock": "the database's clock",
    "schema._revision": "the table of Alembic",
    "schema._revision'": "the table of Alembic",
    "statistics.OUTGROWN": "the catalogue",
}
"""Reads no table that has a site."""

NO_PLAN = {
    "pool.SESSION": "settings",
    "pool._prepare_serving_session": "settings",
    "retention.IN_ORDER": "a setting",
    "schema._upgrade": "the migrations",
    "statistics.refresh": "ANALYZE",
    "selling.sale": "a plugin's `prepare`",
    "selling.stand_in": "a plugin's `prepare`",
}
"""No statement that Postgres plans, or no statement at all."""

ELSEWHERE = {*SEVERAL_AT_WORK, *SEVERAL_FOR_PEOPLE, *SAID_ONCE, *NO_TABLE, *NO_PLAN}
PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
TEXTS = every_statement.of_the_gateway()
ONE_SITE = sorted(set(TEXTS) - ELSEWHERE)


@pytest_asyncio.fixture(name="connection")
async def _connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def sites(connection: asyncpg.Connection, sql: str) -> set[str | None]:
    return sites_of(await generic_plan(connection, sql), await tables_with_site(connection))


async def test_every_other_statement_stays_within_one_site(connection: asyncpg.Connection) -> None:
    assert all(TEXTS[name].is_planned for name in ONE_SITE)
    found = {name: await sites(connection, str(TEXTS[name].sql)) for name in ONE_SITE}
    assert {name: where for name, where in found.items() if len(where) != 1 or None in where} == {}
    assert {where for each in found.values() for where in each} == {"$1", "''"}  # the trial of `health` has no name
    assert len(ONE_SITE) > 60


async def test_the_exceptions_are_what_they_are_said_to_be(connection: asyncpg.Connection) -> None:
    assert set(TEXTS) >= ELSEWHERE  # none is left over from a statement that is gone
    for name in {*SEVERAL_AT_WORK, *SEVERAL_FOR_PEOPLE}:
        assert await sites(connection, str(TEXTS[name].sql)) == {None}, name
    for name in SAID_ONCE:
        assert await sites(connection, str(TEXTS[name].sql)) == {"$1", None}, name
    for name in NO_TABLE:
        assert await sites(connection, str(TEXTS[name].sql)) == set(), name
    assert not any(TEXTS[name].is_planned for name in NO_PLAN)


async def test_what_the_driver_is_given_was_found_in_the_code(connection: asyncpg.Connection) -> None:
    sent = {each.sql for each in await captured(connection, statements.everything((200, 2_000)))}
    ours = {sql for sql in sent if "'jit'" not in sql}  # the driver's own, beside its questions about types
    assert len(ours) > 25
    assert ours <= {text.sql for text in TEXTS.values()}


def test_the_page_tells_of_every_exception_and_counts_right() -> None:
    page = PAGE.read_text()
    assert [name for name in (*SEVERAL_AT_WORK, *SEVERAL_FOR_PEOPLE, *SAID_ONCE) if f"`{name}`" not in page] == []
    table = page.partition("## Distributed by `site`")[2].partition("### Within one site")[0]
    counted = [int(count) for count in re.findall(r"\| (\d+) \|$", table, re.MULTILINE)]
    assert counted == [len(each) for each in (ONE_SITE, SEVERAL_AT_WORK, SEVERAL_FOR_PEOPLE, SAID_ONCE, NO_TABLE)]


WITHIN = {
    "SELECT 1 FROM inbox WHERE site = $1": "$1",
    "SELECT 1 FROM inbox WHERE connection = $1 AND (site = $2 AND event_key = ANY($3::text[]))": "$2",
    "SELECT 1 FROM outbox JOIN ledger USING (site, connection, revenue_key) WHERE ledger.site = $1": "$1",
    "UPDATE holds SET until = $2 WHERE site = $1 AND until > $2": "$1",
    "DELETE FROM sites WHERE site = 'acme'": "'acme'",
    "INSERT INTO sites (created_at, site) VALUES ($2, $1)": "$1",
    """
    WITH gone AS (DELETE FROM holds WHERE site = $1 RETURNING *)
    INSERT INTO sites (site, created_at) SELECT site, since FROM gone
    """: "$1",
}

BEYOND = {
    "no site": "SELECT 1 FROM inbox WHERE connection = $1",
    "an array of sites": "SELECT 1 FROM inbox WHERE site = ANY($1::text[])",
    "a choice": "SELECT 1 FROM inbox WHERE site = $1 OR event_id = $2",
    "any but one": "SELECT 1 FROM inbox WHERE site <> $1",
    "a join that leaves the site out": "SELECT 1 FROM outbox JOIN ledger USING (revenue_key) WHERE outbox.site = $1",
    "a subquery without it": "SELECT (SELECT count(*) FROM holds) FROM inbox WHERE site = $1",
    "a part of a statement": "WITH gone AS (DELETE FROM holds WHERE until < $2) SELECT 1 FROM inbox WHERE site = $1",
    "two sites": "SELECT 1 FROM outbox, ledger WHERE outbox.site = $1 AND ledger.site = $2",
    "sites by their rows": "UPDATE holds SET probes = 0 WHERE site IN (SELECT site FROM sites WHERE created_at < $1)",
    "many rows": "INSERT INTO sites (site, created_at) SELECT site, $2 FROM unnest($1::text[]) AS new (site)",
    "many values": "INSERT INTO sites (site, created_at) VALUES ($1, $3), ($2, $3)",
    "another site's row": "INSERT INTO sites (site, created_at) SELECT $2, since FROM holds WHERE site = $1",
    "rows made elsewhere": """
        WITH new AS MATERIALIZED (SELECT * FROM unnest($1::text[]) AS new (site))
        INSERT INTO sites (site, created_at) SELECT site, $2 FROM new
    """,
}


@pytest.mark.parametrize("sql", WITHIN)
async def test_a_statement_within_one_site_is_known(connection: asyncpg.Connection, sql: str) -> None:
    assert await sites(connection, sql) == {WITHIN[sql]}


@pytest.mark.parametrize("name", BEYOND)
async def test_a_statement_that_leaves_its_site_is_noticed(connection: asyncpg.Connection, name: str) -> None:
    found = await sites(connection, BEYOND[name])
    assert None in found or len(found) > 1


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("async def f(c): await c.fetch('SELECT 1')", {"m.f": "SELECT 1"}),
        ("async def f(c): await c.execute(FIRST, 1)", {"m.FIRST": "INSERT"}),
        ("async def f(c, x): await c.fetchval(FIRST if x else 'SELECT 2')", {"m.FIRST": "INSERT", "m.f": "SELECT 2"}),
        ("async def f(c): await c.fetch('A'); await c.fetch('B')", {"m.f": "A", "m.f'": "B"}),
        ("async def f(c): await _rows(c, 'SELECT 3', 4)", {"m.f": "SELECT 3"}),
        ("async def f(c, x): await c.fetch(f'SELECT {x}')", {"m.f": None}),
        ("async def f(c, sql): await c.fetchrow(sql)", {"m.f": None}),
        ("async def f(c): await c.prepare(made())", {"m.f": None}),
        ("def f(x): x.other('SELECT 1')", {}),
    ],
)
def test_statements_are_found_in_code(code: str, found: dict[str, str | None]) -> None:
    texts = every_statement.of_module("m", ast.parse(code), {"FIRST": "INSERT"})
    assert {name: text.sql for name, text in texts.items()} == found


KEYS = """
SELECT indrelid::regclass::text AS table, relname AS index, indisprimary AS is_primary,
    array(SELECT attname::text FROM unnest(indkey::smallint[]) WITH ORDINALITY AS part (number, place)
          JOIN pg_attribute ON attrelid = indrelid AND attnum = part.number ORDER BY place) AS columns
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indisunique AND indrelid::regclass::text = ANY($1::text[])
"""
FIRST_COLUMNS = """
SELECT attrelid::regclass::text AS table, attname::text AS column, collname AS collation
FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attnum = 1 AND attrelid::regclass::text = ANY($1::text[])
"""


async def test_every_key_begins_with_the_site(connection: asyncpg.Connection) -> None:
    tables = await tables_with_site(connection)
    keys = await connection.fetch(KEYS, tables)
    assert sorted(row["table"] for row in keys if row["is_primary"]) == tables
    assert {row["index"] for row in keys if not row["is_primary"]} == {"checkouts_idempotency", "ledger_order_once"}
    assert [row["index"] for row in keys if row["columns"][0] != "site"] == []


async def test_the_site_is_every_tables_first_column_and_compared_alike(connection: asyncpg.Connection) -> None:
    tables = await tables_with_site(connection)
    found = await connection.fetch(FIRST_COLUMNS, tables)
    assert {(row["table"], row["column"], row["collation"]) for row in found} == {
        (table, "site", "C") for table in tables
    }


async def test_a_key_without_the_site_is_noticed(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE UNIQUE INDEX by_id ON inbox (id, site)")
    keys = await connection.fetch(KEYS, await tables_with_site(connection))
    assert [row["index"] for row in keys if row["columns"][0] != "site"] == ["by_id"]


async def test_no_other_table_lacks_a_site(connection: asyncpg.Connection) -> None:
    names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in names} - set(await tables_with_site(connection)) == {"alembic_version"}
