"""
The connections to Postgres, and the translation of its errors into ours.

    StoreUnavailable
    └── StoreConflict    Postgres ended a deadlock by taking our transaction back
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.exceptions._base import DataError as Unsendable  # asyncpg.DataError is the server's, this the driver's
from asyncpg.pool import PoolConnectionProxy

from gateway.store.errors import StoreData, StoreError, StoreUnavailable

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_SECONDS = 5.0
"""How long the worker and the commands wait for a free connection; the accept path has its own, shorter deadline."""

STATEMENT_SECONDS = 30.0
"""No statement of ours needs more; one that does has met a lock or a dead network."""

CLOSE_SECONDS = 2.0
"""How long connections may take to say good-bye; a server that does not answer is hung up on."""

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""The database is not there, going down, full or a replica: the same call may work later."""


class StoreConflict(StoreUnavailable):
    """Two transactions waited for each other and this one was taken back; the same call works right away."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the store's own errors instead of the driver's, without the values that the driver may quote."""
    try:
        yield
    except asyncpg.TransactionRollbackError as error:
        raise StoreConflict(f"the database ended a deadlock ({type(error).__name__})") from error
    except (Unsendable, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise StoreData(f"the database refused a value ({type(error).__name__})") from error
    except AWAY as error:
        raise StoreUnavailable(f"the database cannot be used now ({type(error).__name__})") from error
    except asyncpg.SyntaxOrAccessError as error:
        what = type(error).__name__
        raise StoreError(
            f"the database refused a statement ({what}): run `faurya-gateway migrate`, or check the role's rights"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InternalClientError) as error:  # a connection lost at an odd moment, mostly
        raise StoreUnavailable(f"the database cannot be used now ({type(error).__name__})") from error


class _Undo(Exception):
    """Ends a trial without leaving anything behind."""


GIVEN_UP = (asyncio.CancelledError, TimeoutError)
"""Somebody stopped waiting for the database."""


class Database:
    """A pool of connections. Everything is read and written in `async with database.transaction() as connection`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction; commit at the end, roll back on an error."""
        async with self.reading() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except GIVEN_UP:
                raise  # `reading` hangs up, which rolls back without waiting for an answer
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction that is taken back at the end: nothing of what is done stays."""
        try:
            async with self.transaction() as connection:
                yield connection
                raise _Undo  # noqa: TRY301 - the rollback is the point
        except _Undo:
            return

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Yield a connection for reading, each statement on its own."""
        with translated():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                try:
                    yield connection
                except GIVEN_UP:
                    connection.terminate()  # the server may be frozen; a polite end would wait for it
                    raise

    async def close(self) -> None:
        """Close the connections; those still in use are given two seconds."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def open_database(url: str, *, size: int = 10, pgbouncer: bool = False) -> Database:
    """
    Open a pool on `url` (postgresql://...), checked by one connection.

    Behind pgbouncer in transaction mode no prepared statement survives, so none is cached.
    """
    with translated():
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            timeout=ACQUIRE_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            statement_cache_size=0 if pgbouncer else 200,
        )
    return Database(pool)
