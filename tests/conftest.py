"""Real Postgres for every test that wants one: a template with the schema, copied per test."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from harness import Harness, harness
from hypothesis import settings

from bench.databases import fresh_database
from gateway.store import embedded
from gateway.store.schema import migrate

# A busy machine is no failure, and the same tree gives the same examples, so that `make test` does not surprise.
# `--hypothesis-profile=long` looks further, at random, and prints how to see a failure again.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("steady")


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
async def _template(server_url: str) -> AsyncIterator[str]:
    """The name of a database with the schema, made once."""
    async with fresh_database(server_url, "template") as url:
        await migrate(url)
        yield urlsplit(url).path[1:]


@pytest_asyncio.fixture(name="database_url")
async def _database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a fresh database with the schema."""
    async with fresh_database(server_url, template=template) as url:
        yield url


@pytest_asyncio.fixture(name="empty_url")
async def _empty_url(server_url: str) -> AsyncIterator[str]:
    """The address of a database without anything in it."""
    async with fresh_database(server_url) as url:
        yield url


@pytest_asyncio.fixture(name="gateway")
async def _gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """A whole gateway with its worker."""
    async with harness(database_url, tmp_path) as running:
        yield running
