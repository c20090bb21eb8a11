"""Behind a real PgBouncer in transaction mode, with fewer servers than clients, the whole story works."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import orjson
import pytest
import pytest_asyncio
from harness import CONFIG, Harness, harness
from pgbouncer import SERVERS, Bouncer, needs_pgbouncer, pgbouncer
from server import Server, server
from whole import halves

from gateway.sdk import Attribution, RevenueKind
from gateway.store.errors import StoreError
from gateway.store.pool import Database, open_database
from gateway.store.schema import check_schema, migrate

pytestmark = needs_pgbouncer

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND
ANNA = Attribution(visitor_id="anna")
POOL_SIZE = 10
POOLED = CONFIG.replace(
    'database: {{url: "{database}"}}', f'database: {{{{url: "{{database}}", pgbouncer: true, pool_size: {POOL_SIZE}}}}}'
)
assert POOLED != CONFIG
POOLED += "limits: {{checkouts_per_minute_per_ip: 1000, checkouts_per_minute: 1000}}\n"
CHANGED = """
SELECT name FROM pg_settings
WHERE source = 'session' AND setting IS DISTINCT FROM reset_val AND name NOT IN ('client_encoding', 'application_name')
"""
"""Settings of a session that somebody left behind; those two are looked after by PgBouncer itself."""


@pytest_asyncio.fixture(name="postgres", scope="module", loop_scope="module")
async def _postgres() -> AsyncIterator[Server]:
    async with server() as one:
        yield one


@pytest_asyncio.fixture(name="bouncer", scope="module", loop_scope="module")
async def _bouncer(postgres: Server) -> AsyncIterator[Bouncer]:
    async with pgbouncer(postgres.url) as one:
        yield one


async def command(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a command of the gateway as a process of its own; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words),
        cwd=folder, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def sell(gateway: Harness, number: int) -> None:
    """One buyer: an order, its sale twice, and for some a refund."""
    site = ("acme", "globex")[number % 2]
    order = {"plan": "pro"} if site == "acme" else {"plan": "basic"}
    headers = {} if site == "acme" else {"Authorization": "Bearer globex-backend-key"}
    async with gateway.http.post(
        f"{gateway.url}/checkouts/{site}", json={**order, "faVisitorId": "anna"}, headers=headers
    ) as answer:
        assert answer.status == 201, await answer.text()
    sale = {
        "event_id": f"sale_{number}",
        "payment_id": f"p{number}",
        "site": site,
        "attribution": ANNA,
        "settle": False,
    }
    await asyncio.gather(gateway.happen(PURCHASE, **sale), gateway.happen(PURCHASE, **sale))
    if number % 4 == 0:
        await gateway.happen(REFUND, payment_id=f"p{number}", refund_id=f"r{number}", site=site, settle=False)


async def test_the_whole_story_through_servers_that_are_shared(
    postgres: Server, bouncer: Bouncer, tmp_path: Path
) -> None:
    direct, through = await postgres.database("story"), bouncer.url("story")
    await migrate(through)
    await migrate(through)
    async with harness(direct, tmp_path, text=POOLED, through=through) as gateway:
        for start in range(0, 120, 30):
            await asyncio.gather(*(sell(gateway, number) for number in range(start, start + 30)))
        await gateway.settled()
        assert await bouncer.servers("story") == SERVERS
        assert await bouncer.clients("story") > SERVERS, "the servers were shared"
        assert sorted(one["payment_id"] for one in await gateway.recorded()) == sorted(
            [f"p{number}" for number in range(0, 120, 2)] + [f"p{number}" for number in range(0, 120, 4)]
        )
        assert len(await gateway.recorded("globex")) == 60
        assert await halves(gateway.database) == {}
        assert await gateway.rows("SELECT DISTINCT seen FROM inbox ORDER BY seen") == [{"seen": 1}, {"seen": 2}]
        for path in ("/readyz", "/metrics"):
            async with gateway.http.get(gateway.url + path) as answer:
                assert answer.status == 200
        code, out, err = await command(tmp_path, "migrate", "--json")
        assert (code, orjson.loads(out)["changed"]) == (0, False), err
        code, out, err = await command(tmp_path, "trace", "p4", "--json")
        assert code == 0, err
        assert orjson.loads(out)["verdict"] == "attributed"
        code, out, err = await command(tmp_path, "check")
        assert "database" in out, err


async def test_nothing_of_a_session_is_left_on_a_shared_server(postgres: Server, bouncer: Bouncer) -> None:
    await postgres.database("clean")
    url = bouncer.url("clean")
    await migrate(url)
    database = await open_database(url, pgbouncer=True)

    async def use(number: int) -> None:
        async with database.transaction() as connection:
            await connection.fetch("SELECT pg_sleep(0.01), $1::text[], $2::uuid[]", ["x"], [])
        async with database.reading() as connection:
            assert await connection.fetchval("SELECT $1::int + $2::int", number, 1) == number + 1

    await asyncio.gather(*(use(number) for number in range(60)))
    assert await check_schema(database) is None
    await database.close()
    watcher = await asyncpg.connect(url, statement_cache_size=0)
    for _ in range(10):  # whichever servers it gets
        async with watcher.transaction():
            assert await watcher.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
            assert [row["name"] for row in await watcher.fetch(CHANGED)] == []
    await watcher.close()


async def used_at_once(database: Database) -> None:
    async def use() -> None:
        async with database.transaction() as connection:
            await connection.fetch("SELECT $1::text, pg_sleep(0.05)", "x")

    for _ in range(5):
        await asyncio.gather(*(use() for _ in range(10)))


async def test_without_the_setting_the_error_names_it(postgres: Server, bouncer: Bouncer) -> None:
    await postgres.database("unset")
    database = await open_database(bouncer.url("unset"))
    with pytest.raises(StoreError, match=r"set database\.pgbouncer: true"):
        await used_at_once(database)
    await database.close()


async def test_a_pgbouncer_that_loses_its_servers_costs_nothing_but_time(
    postgres: Server, bouncer: Bouncer, tmp_path: Path
) -> None:
    direct, through = await postgres.database("losing"), bouncer.url("losing")
    await migrate(through)
    async with harness(direct, tmp_path, text=POOLED, through=through) as gateway:
        statuses = []
        for number in range(40):
            what = {"event_id": f"e{number}", "simulated": False, "occurred_at": gateway.clock(), "attribution": ANNA}
            body = gateway.provider().sample(PURCHASE, payment_id=f"p{number}", **what)
            while (answer := await gateway.send(body)).status != 200:
                statuses.append(answer.status)
                await asyncio.sleep(0.02)
            if number % 8 == 0:
                await gateway.database.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = 'losing' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            gateway.clock.forward(gateway.gateway.live.config.worker.lease)
        gateway.clock.forward(gateway.gateway.live.config.worker.lease)
        await gateway.settled()
        assert set(statuses) <= {503}
        assert len({one["payment_id"] for one in await gateway.recorded()}) == 40
        assert await halves(gateway.database) == {}
