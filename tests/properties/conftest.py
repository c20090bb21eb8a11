"""A gateway without a worker whose provider means what a test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import scripted
from harness import harness

from tests.properties.walking import Walker
from tests.properties.world import Company, text_of

CLAIMING = """      claiming: {{plugin: scripted, environment: live, claims: [price_ours]}}
      elsewhere: {{plugin: scripted, environment: live, forward: false}}
      own: {{plugin: scripted, environment: live, claims: own_checkouts}}
    plans:
      pro:"""

Walks = Callable[..., AbstractAsyncContextManager[Walker]]


@pytest.fixture(name="walks")
def _walks(database_url: str, tmp_path: Path) -> Walks:
    """Open a gateway whose site records this figure, with one text of its configuration replaced by another."""

    @asynccontextmanager
    async def opened(basis: str = "gross", old: str = "", new: str = "") -> AsyncIterator[Walker]:
        company = Company()
        text = text_of(basis, bad_key=False).replace("    plans:\n      pro:", CLAIMING).replace(old or "~", new)
        registry = scripted.registry(company)
        async with harness(database_url, tmp_path, text=text, registry=registry, with_worker=False) as gateway:
            yield Walker(gateway, company)

    return opened
