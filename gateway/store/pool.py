"""
The connections to Postgres, and the translation of its errors into ours.

    StoreUnavailable
    └── StoreConflict    our transaction was taken back: a deadlock, or a table that was changed by a migration
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
from asyncpg.exceptions._base import DataError as Unsendable  # asyncpg.DataError is the server's, this the driver's
from asyncpg.pool import PoolConnectionProxy

from gateway.store.errors import StoreData, StoreError, StoreUnavailable

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_SECONDS = 5.0
"""How long the worker and the commands wait for a free connection; the accept path has its own, shorter deadline."""

STATEMENT_SECONDS = 10.0
"""No statement of ours needs more; one that does has met a lock or a dead network."""

IDLE_SECONDS = 60.0
"""
How long an unused connection is kept. Firewalls forget idle connections without telling either end (Azure after 4
minutes, AWS after 350 seconds), and the next statement on one of those would wait for an answer that never comes.
"""

CLOSE_SECONDS = 2.0
"""How long connections may take to say good-bye; a server that does not answer is hung up on."""

# What the server does about a client that is gone, dead or stopped. It does not notice by itself: measured, a backend
# whose client gave up waiting for a lock goes on waiting for it, so that a lock held for some minutes used up all of
# the server's connections; and a process that is stopped in the middle of a booking kept its site's lock for hours.
SESSION = """
SET client_connection_check_interval = '1s';
SET idle_in_transaction_session_timeout = '15s';
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '30s'
"""


def serving_settings(major: int) -> Mapping[str, str]:
    """
    Return how a server of this major version plans for a serving process: each statement once, by its indexes.

    Every statement of one is written for one plan, whatever the site (`tests/store/test_plans.py`). Left to itself,
    Postgres plans the larger ones anew at each call, because a plan for few keys looks cheaper than one for any number:
    that took half of its time where sales come one by one. Before 17 it also thinks an index dear for several lists of
    keys: settling read all of a table of 40,000 attempts, 90 ms instead of 6.
    """
    return {"plan_cache_mode": "force_generic_plan", **({"enable_seqscan": "off"} if major < 17 else {})}


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
    """The transaction was taken back; the same call works right away."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the store's own errors instead of the driver's, without the values that the driver may quote."""
    try:
        yield
    except asyncpg.TransactionRollbackError as error:
        raise StoreConflict(f"the database ended a deadlock ({type(error).__name__})") from error
    except asyncpg.InvalidCachedStatementError as error:  # the driver has forgotten all such statements by now
        raise StoreConflict(f"a table was changed since a statement was prepared ({type(error).__name__})") from error
    except (Unsendable, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise StoreData(f"the database refused a value ({type(error).__name__})") from error
    except AWAY as error:
        raise StoreUnavailable(f"the database cannot be used now ({type(error).__name__})") from error
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError) as error:
        raise StoreError(
            f"a prepared statement was lost ({type(error).__name__}): a pooler in transaction mode stands before the "
            "database; set database.pgbouncer: true"
        ) from error
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


@dataclass(slots=True)
class _Pulse:
    """When the pool was last answered, by the monotonic clock."""

    answered_at: float = field(default_factory=time.monotonic)


class Database:
    """
    A pool of connections. Everything is read and written in `async with database.transaction() as connection`.

    Behind a pooler in transaction mode (`pooled`) reading takes a transaction too: without one, the steps of a single
    statement may reach different servers.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        pooled: bool = False,
        places: asyncio.Semaphore | None = None,
        pulse: _Pulse | None = None,
    ) -> None:
        self._pool = pool
        self._pooled = pooled
        self._places = places
        self._pulse = pulse or _Pulse()

    def leaving(self, free: int) -> "Database":
        """
        Return the same pool for callers that never take its last `free` connections; of one it may take that one.

        The worker gets this: a hundred busy sites wait for each other, and a webhook that is to be kept for none.
        """
        places = asyncio.Semaphore(max(self._pool.get_max_size() - free, 1))
        return Database(self._pool, pooled=self._pooled, places=places, pulse=self._pulse)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction; commit at the end, roll back on an error."""
        async with self._lent() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except GIVEN_UP:
                raise  # `_lent` hangs up, which rolls back without waiting for an answer
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
        async with self.transaction() if self._pooled else self._lent() as connection:
            yield connection

    def single(self) -> AbstractAsyncContextManager[Connection]:
        """Yield a connection for a statement that is a transaction by itself: BEGIN and COMMIT are two more ways."""
        return self.reading()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._place(), self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                lent_at = time.monotonic()
                try:
                    yield connection
                except GIVEN_UP:
                    connection.terminate()  # the server may be frozen; a polite end would wait for it
                    if self._pulse.answered_at < lent_at:  # nobody else was answered meanwhile: all lines may be dead
                        await self._pool.expire_connections()
                    raise
                except asyncpg.ReadOnlySQLTransactionError:  # it leads to what is a replica now; so may all others
                    await self._pool.expire_connections()
                    raise
                self._pulse.answered_at = time.monotonic()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places is None:
            yield
            return
        async with asyncio.timeout(ACQUIRE_SECONDS):
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close the connections; those still in use are given two seconds."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _prepare_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute(SESSION)


async def _prepare_serving_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await _prepare_session(connection)
    settings = serving_settings(connection.get_server_version().major)
    await connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))


async def _leave_session(_connection: object) -> None:
    """Nothing of ours outlives a transaction; the driver's own way asks the server for it after every use."""


async def open_database(url: str, *, size: int = 10, pgbouncer: bool = False, plans_each: bool = False) -> Database:
    """
    Open a pool on `url` (postgresql://...), checked by one connection.

    With `plans_each` statements are planned for what they ask for, which suits few and large questions.
    Behind pgbouncer in transaction mode no prepared statement and no setting of a session survives: nothing is
    prepared by name there, and nothing set.
    """
    with translated():
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=size,
            timeout=ACQUIRE_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            statement_cache_size=0 if pgbouncer else 200,
            init=None if pgbouncer else _prepare_session if plans_each else _prepare_serving_session,
            reset=_leave_session,
        )
        await pool
    database = Database(pool, pooled=pgbouncer)
    async with database.reading():
        return database
