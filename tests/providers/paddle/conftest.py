import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from gateway.sdk import Runtime, WebhookRequest, headers_of
from providers.paddle import plugin
from providers.paddle.config import PaddleConfig

ROOT = Path(__file__).parents[3]
OWN_FIXTURES = ROOT / "providers" / "paddle" / "fixtures"
VECTORS = ROOT / "providers" / "paddle" / "vectors"
NOW = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
KEY = "pdl_sdbx_apikey_" + "a" * 26 + "_" + "B" * 22 + "_xyz"
SECRET = "pdl_ntfset_01kjinvented00000000000001_Ab+/cdEFghIJklMNopQRstUVwxYZ0123"


class CompleteResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not pass what aiohttp 3.14 wants to be given."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Script(aioresponses):
    def add(self, *args, **kwargs):
        super().add(*args, **{"response_class": CompleteResponse, **kwargs})


@pytest.fixture
def official() -> Path:
    """The fixtures of Paddle's SDKs; they are not part of this repository."""
    folder = Path(os.environ.get("GATEWAY_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "paddle"
    if not folder.is_dir():
        pytest.skip("the official Paddle fixtures are not here; set GATEWAY_FIXTURES to their folder")
    return folder


@pytest.fixture
def config() -> PaddleConfig:
    return PaddleConfig(environment="sandbox", api_key=KEY, webhook_secrets=[SECRET])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(config, http):
    return plugin.open(config, Runtime(http=http, now=lambda: NOW))


@pytest.fixture
def paddle() -> Iterator[Script]:
    """Paddle's API, answered from a script."""
    with Script() as script:
        yield script


def webhook(body: bytes, headers, at: datetime = NOW) -> WebhookRequest:
    pairs = list(headers.items()) if hasattr(headers, "items") else list(headers)
    return WebhookRequest(
        method="POST",
        url="https://pay.example.com/webhooks/acme/paddle",
        headers=headers_of(pairs),
        body=body,
        received_at=at,
    )
