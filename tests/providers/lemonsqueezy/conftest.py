import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from provider_api import Script

from gateway.sdk import Runtime, WebhookRequest, headers_of
from providers.lemonsqueezy import plugin
from providers.lemonsqueezy.config import LemonSqueezyConfig

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "providers" / "lemonsqueezy"
NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
KEY = "eyJ0eXAi.invented-key-0000000001"
SECRET = "ls_invented_secret_0001"
STORE_ID = "4711"
API = "https://api.lemonsqueezy.com"


@pytest.fixture
def recorded() -> Path:
    """Payloads and vectors recorded from elsewhere; they are not part of this repository."""
    root = Path(os.environ.get("GATEWAY_FIXTURES", ROOT.parent / "shared" / "fixtures"))
    folder = root / "providers" / "lemonsqueezy"
    if not folder.is_dir():
        pytest.skip("the recorded Lemon Squeezy fixtures are not here; set GATEWAY_FIXTURES to their folder")
    return folder


@pytest.fixture
def config() -> LemonSqueezyConfig:
    return LemonSqueezyConfig(environment="sandbox", api_key=KEY, webhook_secrets=[SECRET], store_id=STORE_ID)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(config, http):
    return plugin.open(config, Runtime(http=http, now=lambda: NOW))


@pytest.fixture
def lemonsqueezy() -> Iterator[Script]:
    """Lemon Squeezy's API, answered from a script."""
    with Script() as script:
        yield script


def webhook(body: bytes, headers, at: datetime = NOW) -> WebhookRequest:
    pairs = list(headers.items()) if hasattr(headers, "items") else list(headers)
    return WebhookRequest(
        method="POST",
        url="https://pay.example.com/webhooks/acme/lemonsqueezy",
        headers=headers_of(pairs),
        body=body,
        received_at=at,
    )


def fixture(name: str) -> dict:
    return json.loads((FOLDER / "fixtures" / f"{name}.json").read_bytes())
