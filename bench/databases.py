"""Databases of a server for a while: made, used and dropped, whatever is at work in them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

TRIES = 20
"""A drop waits up to 5 seconds for those who leave; one of a database in which autovacuum begins again is repeated."""


async def create(server: str, name: str, template: str | None = None) -> str:
    """Create a database, a copy of `template` where one is given, under `name` and some letters; return its address."""
    fresh = f"{name}_{secrets.token_hex(6)}"
    copied = f" TEMPLATE {template}" if template else ""
    await do(server, f"CREATE DATABASE {fresh}{copied}")
    return urlunsplit(urlsplit(server)._replace(path=f"/{fresh}"))


async def drop(server: str, url: str) -> None:
    """
    Drop a database and send away who uses it.

    `DROP DATABASE ... WITH (FORCE)` is refused to all but superusers while autovacuum works there. Without `FORCE`
    Postgres itself ends autovacuum, and waits for it; then only the other sessions are ours to end.
    """
    name = urlsplit(url).path[1:]
    connection = await asyncpg.connect(server)
    try:
        for _ in range(TRIES):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = $1 AND backend_type = 'client backend' AND pg_has_role(usesysid, 'MEMBER')",
                name,
            )
            try:
                await connection.execute(f"DROP DATABASE {name}")
            except asyncpg.ObjectInUseError:
                await asyncio.sleep(0.1)
            else:
                return
        raise TimeoutError(f"{name} is in use and could not be dropped")
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_database(server: str, name: str = "test", template: str | None = None) -> AsyncIterator[str]:
    """Yield the address of a new database that is gone afterwards."""
    url = await create(server, name, template)
    try:
        yield url
    finally:
        await drop(server, url)


async def do(url: str, statement: str) -> None:
    """Run one statement."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
