import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from provider_api import Script

from gateway.sdk import Runtime, WebhookRequest, headers_of
from providers.razorpay import plugin
from providers.razorpay.config import RazorpayConfig
from providers.razorpay.events import read

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "providers" / "razorpay"
NOW = datetime(2026, 9, 1, 9, 30, 15, tzinfo=UTC)
API = "https://api.razorpay.com"
KEY_ID = "rzp_test_Invented000001"
KEY_SECRET = "inventedKeySecret0000001"
SECRET, OLD_SECRET = "an invented webhook secret", "the one before"


@pytest.fixture
def official() -> Path:
    """Vectors recorded from Razorpay's SDK; they are not part of this repository."""
    folder = Path(os.environ.get("GATEWAY_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "providers" / "razorpay"
    if not folder.is_dir():
        pytest.skip("the recorded Razorpay fixtures are not here; set GATEWAY_FIXTURES to their folder")
    return folder


@pytest.fixture
def config() -> RazorpayConfig:
    return RazorpayConfig(
        environment="sandbox", key_id=KEY_ID, key_secret=KEY_SECRET, webhook_secrets=[SECRET, OLD_SECRET]
    )


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(config, http):
    return plugin.open(config, Runtime(http=http, now=lambda: NOW))


@pytest.fixture
def razorpay() -> Iterator[Script]:
    """Razorpay's API, answered from a script."""
    with Script() as script:
        yield script


def webhook(body: bytes, headers, at: datetime = NOW) -> WebhookRequest:
    pairs = list(headers.items()) if hasattr(headers, "items") else list(headers)
    return WebhookRequest(
        method="POST",
        url="https://pay.example.com/webhooks/acme/razorpay",
        headers=headers_of(pairs),
        body=body,
        received_at=at,
    )


def fixture(name):
    return json.loads((FOLDER / "fixtures" / f"{name}.json").read_bytes())


def entity(name, part):
    return fixture(name)["payload"][part]["entity"]


def told(reading, answers=None):
    """Return what a reading read, and what it asked; `answers` are by path."""
    asked = []
    try:
        path = next(reading)
        while True:
            asked.append(path)
            path = reading.send((answers or {})[path])
    except StopIteration as done:
        return done.value, asked


def read_fixture(name):
    """Return what a fixture gives with the answers recorded beside it, and what was asked."""
    beside = FOLDER / "fixtures" / f"{name}.api.json"
    recorded = json.loads(beside.read_bytes()) if beside.exists() else {}
    answers = {call.removeprefix("GET "): answer["body"] for call, answer in recorded.items()}
    return told(read(fixture(name)), answers)
