"""Migrations and what `serve` and `work` think of a schema."""

import asyncio
import io
import re
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from alembic import command
from proxy import database_proxy

from gateway.flows.receive import KEEP_SECONDS
from gateway.store.errors import SchemaTooOld, StoreError, StoreUnavailable
from gateway.store.pool import open_database
from gateway.store.schema import (
    check_schema,
    current_revision,
    known_revisions,
    migrate,
    migration_sql,
    migrations,
    needed_revision,
)

TABLES = ["attempts", "checkouts", "holds", "inbox", "ledger", "outbox", "refusals", "sites", "sweeps", "watches"]


async def tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    await connection.close()
    return [row["tablename"] for row in found if row["tablename"] != "alembic_version"]


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def verdict(url: str) -> str | None:
    database = await open_database(url)
    try:
        return await check_schema(database)
    finally:
        await database.close()


async def test_an_empty_database_is_too_old_until_it_is_migrated(empty_url: str) -> None:
    with pytest.raises(SchemaTooOld, match=r"missing.*faurya-gateway migrate"):
        await verdict(empty_url)
    await migrate(empty_url)
    assert await verdict(empty_url) is None
    assert await tables(empty_url) == TABLES


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    await execute(database_url, "INSERT INTO sites VALUES ('acme', now())")
    await migrate(database_url)
    database = await open_database(database_url)
    assert await current_revision(database) == needed_revision()
    async with database.reading() as connection:
        assert await connection.fetchval("SELECT count(*) FROM sites") == 1
    await database.close()


async def test_processes_that_migrate_at_the_same_moment_all_succeed(empty_url: str) -> None:
    program = "import asyncio, sys; from gateway.store.schema import migrate; asyncio.run(migrate(sys.argv[1]))"
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, empty_url, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
        )
        for _ in range(3)
    ]
    said = [await process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert await verdict(empty_url) is None


async def test_whoever_comes_second_finds_the_work_done(empty_url: str) -> None:
    first = await asyncpg.connect(empty_url)
    async with first.transaction():
        await first.execute(migration_sql().replace("BEGIN;", "").replace("COMMIT;", ""))
        second = asyncio.create_task(migrate(empty_url))
        await asyncio.sleep(0.5)
        assert not second.done(), "it waits for the first"
    await second
    await first.close()
    assert await verdict(empty_url) is None


async def test_bodies_are_compressed_with_lz4_where_the_server_has_it(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    available = await connection.fetchval(
        "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    )
    chosen = await connection.fetchval(
        "SELECT attcompression FROM pg_attribute WHERE attrelid = 'inbox'::regclass AND attname = 'body'"
    )
    await connection.close()
    assert chosen == (b"l" if available else b"\0")


async def test_an_older_schema_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.schema.needed_revision", lambda: "0099")
    with pytest.raises(SchemaTooOld, match="the schema is 0003, this version needs 0099"):
        await verdict(database_url)


async def test_a_newer_schema_is_used_with_a_warning(database_url: str) -> None:
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    assert "9999 is newer" in (await verdict(database_url) or "")
    await migrate(database_url)
    assert "9999 is newer" in (await verdict(database_url) or ""), "an older program leaves it alone"


async def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    await execute(empty_url, "CREATE TABLE outbox (mine text)")
    with pytest.raises(StoreError, match=r"rolled back.*outbox"):
        await migrate(empty_url)
    assert await tables(empty_url) == ["outbox"]


async def test_a_database_that_is_away_cannot_be_migrated(empty_url: str) -> None:
    async with database_proxy(empty_url) as proxy:
        await proxy.cut()
        with pytest.raises(StoreUnavailable):
            await migrate(proxy.url)
        await proxy.open()


def test_the_sql_for_reviews_names_every_table_and_the_revision() -> None:
    written = migration_sql()
    assert all(f"CREATE TABLE {table} (" in written for table in TABLES)
    assert f"VALUES ('{needed_revision()}')" in written or needed_revision() in written


def test_the_needed_revision_is_a_known_one() -> None:
    assert needed_revision() in known_revisions()


async def test_going_back_from_the_first_schema_leaves_an_empty_database(database_url: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    def downgrade(connection: object) -> None:
        config = migrations()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database_url), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(downgrade)
    await engine.dispose()
    assert await tables(database_url) == []


@pytest_asyncio.fixture(name="first_url")
async def _first_url(empty_url: str) -> str:
    """The address of a database with the first schema."""
    written = io.StringIO()
    command.upgrade(migrations(output_buffer=written), "0001", sql=True)
    await execute(empty_url, written.getvalue())
    return empty_url


async def test_a_migration_that_meets_a_long_transaction_gives_up_says_what_to_do_and_leaves_nothing(
    first_url: str,
) -> None:
    before = await tables(first_url)
    reader = await asyncpg.connect(first_url)
    writer = await asyncpg.connect(first_url)
    async with reader.transaction():
        await reader.execute("SELECT count(*) FROM inbox")
        migrating = asyncio.create_task(migrate(first_url, tries=2, pause=0.3))
        await asyncio.sleep(0.3)
        slowest = 0.0
        while not migrating.done():
            started = time.monotonic()
            await writer.execute("UPDATE inbox SET seen = seen + 1")
            slowest = max(slowest, time.monotonic() - started)
            await asyncio.sleep(0.01)
        with pytest.raises(StoreError, match=r"nothing was changed.*run `faurya-gateway migrate` again"):
            await migrating
    assert slowest < KEEP_SECONDS, "no webhook was turned away"
    assert await tables(first_url) == before
    with pytest.raises(SchemaTooOld, match="the schema is 0001"):
        await verdict(first_url)
    await migrate(first_url)
    assert await verdict(first_url) is None
    await reader.close()
    await writer.close()


async def test_a_migration_tries_again_until_the_transaction_in_its_way_is_over(first_url: str) -> None:
    reader = await asyncpg.connect(first_url)
    async with reader.transaction():
        await reader.execute("SELECT count(*) FROM inbox")
        migrating = asyncio.create_task(migrate(first_url, pause=0.2))
        await asyncio.sleep(1.5)
        assert not migrating.done()
    await migrating
    await reader.close()
    assert await verdict(first_url) is None


async def test_processes_that_migrate_an_older_schema_at_the_same_moment_all_succeed(first_url: str) -> None:
    await asyncio.gather(*(migrate(first_url, pause=0.2) for _ in range(4)))
    assert await verdict(first_url) is None


async def test_a_migration_whose_connection_breaks_is_a_database_that_is_away(first_url: str) -> None:
    async with database_proxy(first_url) as proxy:
        proxy.commits_to_lose = 1
        with pytest.raises(StoreUnavailable):
            await migrate(proxy.url)
    assert await verdict(first_url) is None, "it was committed; only the answer was lost"


async def test_indexes_that_were_built_beforehand_are_left_as_they_are(first_url: str) -> None:
    later = migration_sql().partition("-- Running upgrade 0001 ->")[2]
    existing = re.findall(r"CREATE INDEX IF NOT EXISTS[^;]*", later)
    assert existing
    for statement in existing:
        await execute(first_url, statement.replace("INDEX", "INDEX CONCURRENTLY", 1))
    await migrate(first_url)
    assert await verdict(first_url) is None
