"""The connections to Postgres, and the translation of its errors into ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.store.errors import StoreData, StoreUnavailable

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_SECONDS = 5.0
"""How long the worker and the commands wait for a free connection; the accept path has its own, shorter deadline."""

STATEMENT_SECONDS = 30.0
"""No statement of ours needs more; one that does has met a lock or a dead network."""

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
    asyncpg.TransactionRollbackError,
)
"""The database is not there, going down, full, a replica, or ended a deadlock: the same call may work later."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the store's own errors instead of the driver's, without the values that the driver may quote."""
    try:
        yield
    except AWAY as error:
        raise StoreUnavailable(f"the database cannot be used now ({type(error).__name__})") from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise StoreData(f"the database refused a value ({type(error).__name__})") from error


class Database:
    """A pool of connections. Everything is read and written in `async with database.transaction() as connection`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction; commit at the end, roll back on an error."""
        with translated():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Yield a connection for reading, each statement on its own."""
        with translated():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection

    async def close(self) -> None:
        """Close the connections; those still in use are given a few seconds."""
        with translated():
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
