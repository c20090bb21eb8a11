"""A gateway without its worker, and the plugin of acme/scripted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from accepting import Tuned, accepting
from harness import Harness


@pytest_asyncio.fixture(name="site")
async def _site(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Tuned]]:
    async with accepting(database_url, tmp_path) as site:
        yield site


@pytest.fixture(name="here")
def _here(site: tuple[Harness, Tuned]) -> Harness:
    return site[0]


@pytest.fixture(name="plugin")
def _plugin(site: tuple[Harness, Tuned]) -> Tuned:
    return site[1]
