"""Connections: lent, given back, broken, frozen, and errors in words of our own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable

import asyncpg
import pytest
import pytest_asyncio
from proxy import DatabaseProxy, database_proxy

from gateway.store.errors import StoreData, StoreError, StoreUnavailable
from gateway.store.pool import Database, StoreConflict, open_database, translated

INSERT = "INSERT INTO sites (site, created_at) VALUES ($1, now())"


@pytest_asyncio.fixture(name="proxy")
async def _proxy(database_url: str) -> AsyncIterator[DatabaseProxy]:
    async with database_proxy(database_url) as proxy:
        yield proxy


@pytest_asyncio.fixture(name="database")
async def _database(proxy: DatabaseProxy) -> AsyncIterator[Database]:
    database = await open_database(proxy.url, size=2)
    yield database
    await database.close()


async def sites(database: Database) -> list[str]:
    async with database.reading() as connection:
        return [row["site"] for row in await connection.fetch("SELECT site FROM sites ORDER BY site")]


async def insert(database: Database, site: str, then: Awaitable[object]) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, site)
        await then


async def backends(database: Database) -> int:
    async with database.reading() as connection:
        found = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    return int(found)


async def test_a_transaction_is_committed_at_its_end_and_rolled_back_on_an_error(database: Database) -> None:
    trouble = asyncio.get_running_loop().create_future()
    trouble.set_exception(LookupError("ours"))
    await insert(database, "kept", asyncio.sleep(0))
    with pytest.raises(LookupError, match="ours"):
        await insert(database, "lost", trouble)
    assert await sites(database) == ["kept"]


@pytest.mark.parametrize(
    ("sql", "arguments", "kind", "says"),
    [
        (INSERT, ["acme"], StoreData, "UniqueViolationError"),
        (INSERT, [None], StoreData, "NotNullViolationError"),
        (INSERT, ["a\0b"], StoreData, "CharacterNotInRepertoireError"),
        (INSERT, ["a\ud800"], StoreData, "DataError"),
        ("SELECT $1::int", [2**40], StoreData, "DataError"),
        ("SELECT 1 / $1::int", [0], StoreData, "DivisionByZeroError"),
        ("SELECT * FROM gone WHERE $1", [True], StoreError, "faurya-gateway migrate"),
        ("SELECT pg_terminate_backend(pg_backend_pid()) WHERE $1", [True], StoreUnavailable, "cannot be used now"),
    ],
)
async def test_the_drivers_errors_become_ours_without_the_values(
    database: Database, sql: str, arguments: list[object], kind: type[StoreError], says: str
) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, "acme")
    with pytest.raises(StoreError, match=says) as caught:
        async with database.transaction() as connection:
            await connection.execute(sql, *arguments)
    assert type(caught.value) is kind
    assert "acme" not in str(caught.value)
    assert await sites(database) == ["acme"], "the pool goes on"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("no route"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncpg.CannotConnectNowError(), StoreUnavailable),
        (asyncpg.TooManyConnectionsError(), StoreUnavailable),
        (asyncpg.DiskFullError(), StoreUnavailable),
        (asyncpg.ReadOnlySQLTransactionError(), StoreUnavailable),
        (asyncpg.InvalidPasswordError(), StoreUnavailable),
        (asyncpg.InvalidCatalogNameError(), StoreUnavailable),
        (asyncpg.InterfaceError("closed"), StoreUnavailable),
        (asyncpg.InternalClientError("cannot switch to state 15"), StoreUnavailable),
        (asyncpg.IdleInTransactionSessionTimeoutError(), StoreUnavailable),
        (asyncpg.InternalServerError(), StoreUnavailable),
        (asyncpg.DeadlockDetectedError(), StoreConflict),
        (asyncpg.SerializationError(), StoreConflict),
        (asyncpg.InvalidCachedStatementError("cached plan must not change result type"), StoreConflict),
        (asyncpg.DuplicatePreparedStatementError(), StoreError),
        (asyncpg.InvalidSQLStatementNameError(), StoreError),
        (asyncpg.InsufficientPrivilegeError(), StoreError),
    ],
)
def test_each_trouble_has_its_class(error: Exception, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError) as caught, translated():
        raise error
    assert type(caught.value) is kind
    assert type(error).__name__ in str(caught.value)


def test_an_error_that_is_not_the_databases_passes() -> None:
    with pytest.raises(LookupError), translated():
        raise LookupError


async def test_an_address_that_nobody_answers_is_a_database_that_is_away() -> None:
    with pytest.raises(StoreUnavailable):
        await open_database("postgresql://nobody@127.0.0.1:1/nothing")


async def test_broken_connections_are_replaced(database: Database, proxy: DatabaseProxy) -> None:
    assert await sites(database) == []
    proxy.break_connections()
    await asyncio.sleep(0.05)
    assert await sites(database) == []


async def test_a_database_that_comes_back_is_used_again(database: Database, proxy: DatabaseProxy) -> None:
    assert await sites(database) == []
    await proxy.cut()
    with pytest.raises(StoreUnavailable):
        await sites(database)
    await proxy.open()
    assert await sites(database) == []


async def test_whoever_stops_waiting_for_a_frozen_database_is_free_at_once(
    database: Database, proxy: DatabaseProxy
) -> None:
    assert await sites(database) == []
    proxy.freeze()
    started = time.monotonic()
    for _ in range(3):  # more often than there are connections
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), database.transaction() as connection:
                await connection.execute(INSERT, "late")
    assert time.monotonic() - started < 1
    proxy.thaw()
    assert await sites(database) == [], "nothing that was given up was committed"


async def test_giving_up_inside_a_transaction_takes_it_back(database: Database) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(insert(database, "half", asyncio.sleep(5)), 0.1)
    assert await sites(database) == []


async def test_a_pool_that_is_all_in_use_makes_the_next_one_wait_its_turn(database: Database) -> None:
    async with database.reading(), database.reading():
        waiting = asyncio.create_task(sites(database))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert await waiting == []


async def test_the_last_connections_are_left_to_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.pool.ACQUIRE_SECONDS", 0.2)
    worker, go_on = database.leaving(1), asyncio.Event()
    first = asyncio.create_task(insert(worker, "first", go_on.wait()))
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailable):
        await sites(worker)
    assert await sites(database) == []
    go_on.set()
    await first
    assert await sites(worker) == ["first"]


async def test_a_serving_process_keeps_one_plan_and_a_command_plans_for_what_it_asks(database_url: str) -> None:
    shown = {}
    for plans_each in (False, True):
        database = await open_database(database_url, size=1, plans_each=plans_each)
        async with database.reading() as connection:
            major = connection.get_server_version().major
            names = ("plan_cache_mode", "enable_seqscan")
            shown[plans_each] = [await connection.fetchval(f"SHOW {name}") for name in names]
        await database.close()
    assert shown == {False: ["force_generic_plan", "on" if major >= 17 else "off"], True: ["auto", "on"]}


async def test_of_a_single_connection_nothing_is_left(database_url: str) -> None:
    database = await open_database(database_url, size=1)
    assert await sites(database.leaving(3)) == []
    await database.close()


async def test_closing_says_good_bye(database_url: str) -> None:
    one, two = await open_database(database_url), await open_database(database_url)
    assert await backends(one) == 2
    await two.close()
    async with asyncio.timeout(10):
        while await backends(one) > 1:
            await asyncio.sleep(0.02)
    await one.close()


async def test_closing_does_not_wait_for_a_frozen_database(proxy: DatabaseProxy) -> None:
    database = await open_database(proxy.url)
    proxy.freeze()
    started = time.monotonic()
    await database.close()
    assert time.monotonic() - started < 3
    proxy.thaw()


async def test_a_statement_whose_table_a_migration_changed_works_when_it_is_tried_again(database: Database) -> None:
    async def everything() -> int:
        async with database.transaction() as connection:
            return len(await connection.fetch("SELECT * FROM holds WHERE site = $1", "acme"))

    async def two_at_once() -> list[int | BaseException]:
        return await asyncio.gather(everything(), everything(), return_exceptions=True)

    assert await two_at_once() == [0, 0]
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE holds ADD COLUMN more text")
    with pytest.raises(StoreConflict, match="changed"):
        await everything()
    assert await two_at_once() == [0, 0], "on every connection"


async def test_a_session_that_became_read_only_is_left_and_so_are_all_others(
    database: Database, database_url: str
) -> None:
    boss = await asyncpg.connect(database_url)
    name = await boss.fetchval("SELECT current_database()")
    await boss.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert await asyncio.gather(sites(database), sites(database)) == [[], []]
    await boss.execute("SET default_transaction_read_only = off")
    await boss.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    await asyncio.sleep(0.1)
    assert await asyncio.gather(sites(database), sites(database)) == [[], []]
    await boss.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        async with database.transaction() as connection:
            await connection.execute(INSERT, "lost")
    await asyncio.gather(insert(database, "one", asyncio.sleep(0)), insert(database, "two", asyncio.sleep(0)))
    assert await sites(database) == ["one", "two"]
    await boss.close()


async def test_after_a_silence_all_connections_are_replaced_and_not_one_after_the_other(
    database: Database, proxy: DatabaseProxy
) -> None:
    assert await asyncio.gather(sites(database), sites(database)) == [[], []]
    proxy.forget()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sites(database), 0.2)
    async with asyncio.timeout(5):
        assert await asyncio.gather(sites(database), sites(database)) == [[], []]


async def test_one_slow_statement_among_quick_ones_does_not_cost_the_others_their_connections(
    database: Database,
) -> None:
    async def pid() -> int:
        async with database.reading() as connection:
            return int(await connection.fetchval("SELECT pg_backend_pid()"))

    before = await pid()

    async def slow() -> None:
        async with database.reading() as connection:
            await connection.execute("SELECT pg_sleep(5)")

    waiting = asyncio.create_task(slow())
    await asyncio.sleep(0.1)
    other = await pid()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await pid() == other != before


async def test_a_process_that_stops_inside_a_transaction_does_not_keep_its_locks(database: Database) -> None:
    async with database.reading() as connection:
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "15s"
        assert await connection.fetchval("SHOW client_connection_check_interval") == "1s"


async def test_behind_pgbouncer_nothing_is_prepared(database_url: str) -> None:
    database = await open_database(database_url, pgbouncer=True)
    for _ in range(2):
        async with database.reading() as connection:
            assert await connection.fetchval("SELECT $1::int", 1) == 1
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
    await database.close()
