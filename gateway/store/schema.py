"""The schema and its versions: Alembic with plain SQL."""

import io
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.store.errors import SchemaTooOld, StoreError
from gateway.store.pool import Database, translated


def migrations(**options: Any) -> Config:
    """Return Alembic's configuration for this package's own migrations."""
    config = Config(**options)
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def needed_revision() -> str:
    """Return the revision that this version of the program needs."""
    return str(ScriptDirectory.from_config(migrations()).get_current_head())


def known_revisions() -> frozenset[str]:
    """Return every revision that this version of the program knows."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions())


def migration_sql() -> str:
    """Return the SQL of the whole schema, for a review."""
    written = io.StringIO()
    command.upgrade(migrations(output_buffer=written), "head", sql=True)
    return written.getvalue()


async def migrate(url: str) -> None:
    """
    Bring the schema of the database at `url` up to date; nothing happens where it is, or where it is newer.

    Processes may do this at the same moment; one process does it once at a time, because Alembic's context is global.
    Raises `StoreError` where a migration failed and nothing of it stayed.
    """

    def upgrade(connection: Connection) -> None:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known_revisions():
            return  # a newer version made it; `check_schema` warns
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    def connect() -> Awaitable[asyncpg.Connection]:
        return asyncpg.connect(url, statement_cache_size=0)  # the driver reads the address, as it does for the pool

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        with translated():
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
    except DBAPIError as error:
        if await _revision_at(engine) != needed_revision():  # else another process migrated at the same moment
            raise StoreError(f"the migration failed and was rolled back: {error.orig}") from error
    finally:
        await engine.dispose()


async def _revision_at(engine: AsyncEngine) -> str | None:
    with translated():
        async with engine.connect() as connection:
            if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            return str(await connection.scalar(text("SELECT version_num FROM alembic_version")))


async def current_revision(database: Database) -> str | None:
    """Return the database's revision; None where no migration ever ran."""
    async with database.reading() as connection:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision


async def check_schema(database: Database) -> str | None:
    """
    Return None where the schema is the one this version needs, and a warning where it is newer.

    Raises `SchemaTooOld` where it is older or missing. An unknown revision is one that a newer version made.
    """
    current, needed = await current_revision(database), needed_revision()
    if current == needed:
        return None
    if current is None or current in known_revisions():
        raise SchemaTooOld(
            f"the schema is {current or 'missing'}, this version needs {needed}: run `faurya-gateway migrate`"
        )
    return f"the database's schema {current} is newer than this version, which needs {needed}; it is used as it is"
