"""The schema and its versions: Alembic with plain SQL."""

import asyncio
import io
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from asyncpg.pool import PoolConnectionProxy

from gateway.store.errors import SchemaTooOld, StoreError
from gateway.store.pool import Database, translated

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

TRIES = 10
PAUSE_SECONDS = 3.0
"""
A migration waits a second for a lock, because every webhook behind it waits too, and then lets them pass for this long
before it tries again. Half a minute is longer than any transaction of ours.
"""

CONNECT_SECONDS = 10.0

BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""Another transaction was in the way; it may be gone next time."""


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
    return _sql("base", bare=False)


def _sql(current: str, *, bare: bool) -> str:
    """Return the statements that lead from `current` to the newest revision; bare ones without BEGIN and COMMIT."""
    written = io.StringIO()
    config = migrations(output_buffer=written)
    config.attributes["bare"] = bare
    command.upgrade(config, f"{current}:head", sql=True)
    return written.getvalue()


async def migrate(url: str, *, tries: int = TRIES, pause: float = PAUSE_SECONDS) -> None:
    """
    Bring the schema of the database at `url` up to date; nothing happens where it is, or where it is newer.

    What runs is what `migration_sql` prints, in one transaction and one message, so that it works through a pooler too.
    Processes may do this at the same moment. Raises `StoreError` where it failed and nothing of it stayed.
    """
    for left in reversed(range(tries)):
        failure = await _try_migrating(url)
        if failure is None:
            return
        if not isinstance(failure, BUSY):
            raise StoreError(f"the migration failed and was rolled back: {failure}") from failure
        if left:
            await asyncio.sleep(pause)
    raise StoreError(
        f"a table that the migration changes was in use for too long, and nothing was changed ({failure}): run "
        "`faurya-gateway migrate` again; pg_stat_activity shows the oldest transaction (order by xact_start)"
    ) from failure


async def _try_migrating(url: str) -> asyncpg.PostgresError | None:
    """Return None once the schema is not older than this version, else why it cannot be changed."""
    with translated():
        connection = await asyncpg.connect(url, statement_cache_size=0, timeout=CONNECT_SECONDS)
        try:
            await _upgrade(connection)
        except asyncpg.PostgresError as error:
            if connection.is_closed():
                raise
            async with connection.transaction():
                if await _revision(connection) == needed_revision():
                    return None  # another process migrated at the same moment
            return error
        finally:
            await connection.close()
    return None


async def _upgrade(connection: Session) -> None:
    async with connection.transaction():
        current = await _revision(connection)
        if current is None or current in known_revisions() - {needed_revision()}:
            await connection.execute(_sql(current or "base", bare=True))
        # a revision that is not known was made by a newer version; `check_schema` warns


async def _revision(connection: Session) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def current_revision(database: Database) -> str | None:
    """Return the database's revision; None where no migration ever ran."""
    async with database.reading() as connection:
        return await _revision(connection)


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
