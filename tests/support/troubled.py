"""What can go wrong with a database, each as a block during which it is wrong, and what a client sees of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from harness import Harness
from proxy import DatabaseProxy
from whole import halves

from gateway.flows.receive import KEEP_SECONDS
from gateway.sdk import Attribution, RevenueKind

ANNA = Attribution(visitor_id="anna")
SOON = KEEP_SECONDS + 1.2
"""How long an answer may take while the database is in trouble: ours, and room for a busy machine. Paddle waits 5 s."""

RECOVERY_SECONDS = 20.0


@dataclass
class Scene:
    """A gateway, the way to its database, and another database of the same server to give orders from."""

    gateway: Harness
    proxy: DatabaseProxy
    server_url: str
    database_url: str
    numbers: int = field(default=0)

    async def order(self, *statements: str) -> None:
        """Run statements in the gateway's database, on a connection of their own."""
        await execute(self.database_url, *statements)

    async def alter_database(self, *clauses: str, hang_up: bool = True) -> None:
        """Change settings of the gateway's database, and let its sessions begin anew."""
        name = urlsplit(self.database_url).path[1:]
        await execute(self.server_url, *(f"ALTER DATABASE {name} {clause}" for clause in clauses))
        if hang_up:
            await self.hang_up()

    async def hang_up(self) -> None:
        name = urlsplit(self.database_url).path[1:]
        await execute(
            self.server_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND backend_type = 'client backend'",
        )

    def sale(self, payment_id: str) -> bytes:
        """The webhook of a sale; the same bytes for the same payment."""
        what: dict[str, Any] = {"event_id": f"evt_{payment_id}", "simulated": False}
        return bytes(
            self.gateway.provider().sample(
                RevenueKind.PURCHASE, payment_id=payment_id, occurred_at=self.gateway.clock(), attribution=ANNA, **what
            )
        )

    async def post(self, payment_id: str) -> tuple[aiohttp.ClientResponse, float]:
        """Send a sale; return the answer and how long it took."""
        started = time.monotonic()
        answer = await self.gateway.send(self.sale(payment_id))
        return answer, time.monotonic() - started

    async def turned_away(self, *payment_ids: str) -> None:
        """Send sales at once; all are asked to come again, and soon."""
        for answer, seconds in await asyncio.gather(*(self.post(payment_id) for payment_id in payment_ids)):
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "5"), await answer.text()
            assert seconds < SOON

    async def kept_at_last(self, payment_id: str) -> int:
        """Send a sale until it is kept, as its provider does; return how often it was turned away."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        for away in range(1000):
            answer, seconds = await self.post(payment_id)
            assert seconds < SOON
            if answer.status == 200:
                return away
            assert answer.status == 503, await answer.text()
            assert time.monotonic() < deadline, "the gateway does not recover"
            await asyncio.sleep(0.05)
        raise AssertionError

    async def ready(self) -> int:
        started = time.monotonic()
        async with self.gateway.http.get(f"{self.gateway.url}/readyz") as answer:
            assert time.monotonic() - started < SOON + 1
            return answer.status

    async def all_is_well(self, *payment_ids: str) -> None:
        """Each of these sales, and nothing else, is recorded once, and nothing is half-written."""
        await self.gateway.settled()
        recorded = await self.gateway.recorded()
        assert sorted(one["payment_id"] for one in recorded) == sorted(payment_ids)
        assert await halves(self.gateway.database) == {}


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


Fault = Callable[[Scene], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def cut(scene: Scene) -> AsyncIterator[None]:
    await scene.proxy.cut()
    yield
    await scene.proxy.open()


@asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[None]:
    scene.proxy.freeze()
    yield
    scene.proxy.thaw()


@asynccontextmanager
async def read_only(scene: Scene) -> AsyncIterator[None]:
    """Sessions that began meanwhile stay read-only when it is over, as those to a demoted primary do."""
    await scene.alter_database("SET default_transaction_read_only = on")
    yield
    await scene.alter_database("RESET default_transaction_read_only", hang_up=False)


@asynccontextmanager
async def too_many_connections(scene: Scene) -> AsyncIterator[None]:
    await scene.alter_database("CONNECTION LIMIT 0")
    yield
    await scene.alter_database("CONNECTION LIMIT -1")


@asynccontextmanager
async def inbox_locked(scene: Scene) -> AsyncIterator[None]:
    connection = await asyncpg.connect(scene.database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        yield
    await connection.close()


@asynccontextmanager
async def lock_timeout(scene: Scene) -> AsyncIterator[None]:
    await scene.alter_database("SET lock_timeout = '50ms'")
    async with inbox_locked(scene):
        yield
    await scene.alter_database("RESET lock_timeout")


@asynccontextmanager
async def pool_exhausted(scene: Scene) -> AsyncIterator[None]:
    database = scene.gateway.gateway.context.database
    async with AsyncExitStack() as stack:
        for _ in range(scene.gateway.gateway.live.config.database.pool_size):
            await stack.enter_async_context(database.reading())
        yield


def on_inbox(body: str, *, at_commit: bool = False) -> Fault:
    """A fault that strikes inside Postgres when a webhook is inserted, or when that is committed."""
    when = "AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED" if at_commit else "BEFORE INSERT ON inbox"

    @asynccontextmanager
    async def fault(scene: Scene) -> AsyncIterator[None]:
        await scene.order(
            f"CREATE FUNCTION strikes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$",
            f"CREATE {'CONSTRAINT ' * at_commit}TRIGGER strikes {when} FOR EACH ROW EXECUTE FUNCTION strikes()",
        )
        yield
        await scene.order("SET lock_timeout = '10s'", "DROP TRIGGER strikes ON inbox", "DROP FUNCTION strikes")

    return fault


@asynccontextmanager
async def statement_timeout(scene: Scene) -> AsyncIterator[None]:
    await scene.alter_database("SET statement_timeout = '100ms'")
    async with on_inbox("PERFORM pg_sleep(3)")(scene):
        yield
    await scene.alter_database("RESET statement_timeout")


FAULTS: dict[str, tuple[Fault, int]] = {
    "the line is cut": (cut, 503),
    "the line is frozen": (frozen, 503),
    "read-only": (read_only, 503),
    "too many connections": (too_many_connections, 503),
    "every connection of the pool is in use": (pool_exhausted, 503),
    "the inbox is locked": (inbox_locked, 200),
    "a lock times out": (lock_timeout, 200),
    "a statement times out": (statement_timeout, 200),
    "the disk is full (an error raised in Postgres)": (
        on_inbox("RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'"), 200,
    ),
    "out of memory (an error raised in Postgres)": (on_inbox("RAISE EXCEPTION 'x' USING ERRCODE = '53200'"), 200),
    "the commit is slow": (on_inbox("PERFORM pg_sleep(5)", at_commit=True), 200),
    "the backend is killed while it inserts": (on_inbox("PERFORM pg_terminate_backend(pg_backend_pid())"), 200),
    "the backend is killed while it commits": (
        on_inbox("PERFORM pg_terminate_backend(pg_backend_pid())", at_commit=True), 200,
    ),
}  # fmt: skip
"""Faults by name, and what `/readyz` says during each: only a database that takes no row at all makes it 503."""
