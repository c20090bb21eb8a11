"""Real Postgres for every test that wants one: a template with the schema, copied per test."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from harness import Harness, harness
from hypothesis import settings

from gateway.store import embedded
from gateway.store.schema import migrate

# A busy machine is no failure, and the same tree gives the same examples, so that `make test` does not surprise.
# `--hypothesis-profile=long` looks further, at random, and prints how to see a failure again.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("steady")


def _database(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="server_url")
async def _server_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a server: `GATEWAY_TEST_DATABASE` where set (any Postgres 14 to 18), else an embedded one."""
    given = os.environ.get("GATEWAY_TEST_DATABASE")
    if given:
        yield given
        return
    async with embedded.throwaway(tmp_path_factory.mktemp("postgres") / "data") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="template")
async def _template(server_url: str) -> str:
    """A database with the schema, made once."""
    name = f"template_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    await migrate(_database(server_url, name))
    return name


async def _drop(connection: asyncpg.Connection, name: str) -> None:
    """Drop a database; an autovacuum worker that is in it just now may not be ended by our role, and soon leaves."""
    for _ in range(100):
        try:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail(f"{name} could not be dropped")


@pytest_asyncio.fixture(name="database_url")
async def _database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a fresh database with the schema."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _database(server_url, name)
        await _drop(connection, name)
    finally:
        await connection.close()


@pytest_asyncio.fixture(name="gateway")
async def _gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """A whole gateway with its worker."""
    async with harness(database_url, tmp_path) as running:
        yield running
