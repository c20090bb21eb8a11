"""Migrations and what `serve` and `work` think of a schema."""

import asyncio
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from alembic import command
from proxy import database_proxy

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


@pytest_asyncio.fixture(name="empty_url")
async def _empty_url(server_url: str) -> AsyncIterator[str]:
    """The address of a database without anything in it."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


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


async def test_an_older_schema_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.schema.needed_revision", lambda: "0099")
    with pytest.raises(SchemaTooOld, match="the schema is 0002, this version needs 0099"):
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
