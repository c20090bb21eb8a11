"""Gateways that give up soon, for replays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from harness import Harness, harness
from replaying import PAYMENTS, SHORT


@pytest_asyncio.fixture(name="still")
async def _still(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """A gateway without a worker, which gives up after two attempts."""
    async with harness(database_url, tmp_path, text=SHORT, with_worker=False) as gateway:
        yield gateway


@pytest_asyncio.fixture(name="payments")
async def _payments(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """The same, with the payments API."""
    async with harness(database_url, tmp_path, text=PAYMENTS, with_worker=False) as gateway:
        yield gateway
