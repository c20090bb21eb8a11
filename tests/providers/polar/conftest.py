import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from provider_api import Script

from gateway.sdk import Runtime, WebhookRequest, headers_of
from providers.polar import plugin
from providers.polar.config import PolarConfig

ROOT = Path(__file__).parents[3]
OWN_FIXTURES = ROOT / "providers" / "polar" / "fixtures"
VECTORS = ROOT / "providers" / "polar" / "vectors"
NOW = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
TOKEN = "polar_oat_" + "a" * 43
SECRET = "whsec_Inv3ntedSecretOfTheYear2025abcdefghijklmnopq"
STANDARD_SECRET = "whsec_BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY="


@pytest.fixture
def recorded() -> Path:
    """Vectors that several providers' tests share; they are not part of this repository."""
    folder = Path(os.environ.get("GATEWAY_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "providers"
    if not folder.is_dir():
        pytest.skip("the shared provider vectors are not here; set GATEWAY_FIXTURES to their folder")
    return folder


@pytest.fixture
def config() -> PolarConfig:
    return PolarConfig(environment="sandbox", access_token=TOKEN, webhook_secrets=[SECRET])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(config, http):
    return plugin.open(config, Runtime(http=http, now=lambda: NOW))


@pytest.fixture
def polar() -> Iterator[Script]:
    """Polar's API, answered from a script."""
    with Script() as script:
        yield script


def webhook(body: bytes, headers, at: datetime = NOW) -> WebhookRequest:
    pairs = list(headers.items()) if hasattr(headers, "items") else list(headers)
    return WebhookRequest(
        method="POST",
        url="https://pay.example.com/webhooks/acme/polar",
        headers=headers_of(pairs),
        body=body,
        received_at=at,
    )
