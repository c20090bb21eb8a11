import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from provider_api import Script

from gateway.sdk import Runtime, WebhookRequest, headers_of
from providers.stripe import plugin
from providers.stripe.config import StripeConfig
from providers.stripe.events import read

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "providers" / "stripe"
NOW = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)
KEY = "rk_test_invented0000000000000001"
SECRET = "whsec_invented0000000000000000000A1"


@pytest.fixture
def official() -> Path:
    """Vectors and payloads recorded from Stripe's SDKs; they are not part of this repository."""
    folder = Path(os.environ.get("GATEWAY_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "providers" / "stripe"
    if not folder.is_dir():
        pytest.skip("the recorded Stripe fixtures are not here; set GATEWAY_FIXTURES to their folder")
    return folder


@pytest.fixture
def config() -> StripeConfig:
    return StripeConfig(environment="sandbox", api_key=KEY, webhook_secrets=[SECRET])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(config, http):
    return plugin.open(config, Runtime(http=http, now=lambda: NOW))


@pytest.fixture
def stripe() -> Iterator[Script]:
    """Stripe's API, answered from a script."""
    with Script() as script:
        yield script


def webhook(body: bytes, headers, at: datetime = NOW) -> WebhookRequest:
    pairs = list(headers.items()) if hasattr(headers, "items") else list(headers)
    return WebhookRequest(
        method="POST",
        url="https://pay.example.com/webhooks/acme/stripe",
        headers=headers_of(pairs),
        body=body,
        received_at=at,
    )


def fixture(name: str) -> dict:
    return json.loads((FOLDER / "fixtures" / f"{name}.json").read_bytes())


def answers(name: str) -> dict:
    path = FOLDER / "fixtures" / f"{name}.api.json"
    return json.loads(path.read_bytes()) if path.exists() else {}


def drive(event, api=None):
    """Let a reading run to its end without a network; return what it read and what it asked."""
    asked, reading = [], read(event)
    try:
        question = next(reading)
        while True:
            asked.append(question)
            question = reading.send((api or {})[f"GET {question.path}"]["body"])
    except StopIteration as done:
        return done.value, asked


def case(name: str):
    """Return what comes out of a fixture."""
    return drive(fixture(name), answers(name))[0]
