"""A gateway whose way to the database passes through a test's hands."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from harness import harness
from proxy import database_proxy
from troubled import Scene


@pytest_asyncio.fixture(name="scene")
async def _scene(server_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        database_proxy(database_url) as proxy,
        harness(database_url, tmp_path, through=proxy.url) as gateway,
    ):
        yield Scene(gateway, proxy, server_url, database_url)
