"""What `simulate` sends, where, and what it expects."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.app.serving import listening
from gateway.config import Config, Server, load
from gateway.flows.simulate import CannotSimulate, Prepared, Simulation, address, prepare, send
from gateway.plugins import Live, PluginRegistry, open_all
from gateway.sdk import (
    Accepted,
    Answered,
    RefusalReason,
    Refused,
    Reply,
    RevenueKind,
    Runtime,
    WebhookRequest,
    headers_of,
)

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
CONFIG = """
server: {port: 8123}
database: {url: "postgresql://127.0.0.1:9/nothing"}
sites:
  acme:
    faurya: {api: revenue, url: "http://127.0.0.1:9", site_id: s, write_key: acme-write-key}
    providers:
      sandbox: {plugin: example, environment: sandbox, api_key: key-1, webhook_secrets: [whsec_1]}
      example: {environment: live, api_key: key-2, webhook_secrets: [whsec_2]}
"""


@pytest.fixture(name="live")
async def _live(tmp_path: Path) -> Any:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    config: Config = load(path, PluginRegistry(), {})
    async with aiohttp.ClientSession() as http:
        yield open_all(config, PluginRegistry(), Runtime(http=http, now=lambda: NOW))


def simulation(**what: Any) -> Simulation:
    return Simulation(**{"site": "acme", "connection": "sandbox", "kind": RevenueKind.PURCHASE, **what})


@pytest.mark.parametrize(
    ("server", "base", "headers"),
    [
        ({}, "http://127.0.0.1:8080", {}),
        ({"host": "0.0.0.0", "public_url": "http://p.example"}, "http://127.0.0.1:8080", {}),
        ({"host": "::", "public_url": "http://p.example"}, "http://[::1]:8080", {}),
        ({"host": "gateway.example", "public_url": "http://p.example"}, "http://gateway.example:8080", {}),
        ({"public_url": "https://p.example"}, "https://p.example", {}),
        ({"public_url": "https://p.example", "require_https": False}, "http://127.0.0.1:8080", {}),
        (
            {"public_url": "https://p.example", "trusted_proxies": ["127.0.0.0/8"]},
            "http://127.0.0.1:8080",
            {"X-Forwarded-Proto": "https"},
        ),
        (
            {"host": "localhost", "public_url": "https://p.example", "trusted_proxies": ["127.0.0.1"]},
            "http://localhost:8080",
            {"X-Forwarded-Proto": "https"},
        ),
        (
            {"host": "10.0.0.5", "public_url": "https://p.example", "trusted_proxies": ["10.0.0.0/8"]},
            "https://p.example",
            {},
        ),
        (
            {"host": "gateway.example", "public_url": "https://p.example", "trusted_proxies": ["10.0.0.0/8"]},
            "https://p.example",
            {},
        ),
    ],
)
def test_the_running_gateway_is_found(server: dict[str, Any], base: str, headers: dict[str, str]) -> None:
    assert address(Server.model_validate(server)) == (base, headers)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, 200),
        ({"kind": RevenueKind.REFUND, "as_real": True}, 200),
        ({"tamper": True}, 401),
        ({"age": timedelta(seconds=299)}, 200),
        ({"age": timedelta(seconds=301)}, 401),
        ({"age": timedelta(seconds=-301)}, 401),
    ],
)
async def test_the_answer_is_foreseen(live: Live, what: dict[str, Any], expected: int) -> None:
    prepared = prepare(live, simulation(**what), NOW)
    assert prepared.expected == expected
    assert prepared.url == "http://127.0.0.1:8123/webhooks/acme/sandbox"
    assert prepared.trace_id.startswith("evt_" if what.get("as_real") else "sim_")
    assert "whsec" not in repr(prepared)


async def test_a_tampered_webhook_differs_in_one_bit(live: Live) -> None:
    tampered = prepare(live, simulation(tamper=True), NOW)
    provider = live.connections["acme", "sandbox"].provider

    def is_genuine(position: int) -> bool:
        body = bytearray(tampered.body)
        body[position] ^= 1
        headers = headers_of(list(tampered.headers.items()))
        request = WebhookRequest(method="POST", url="", headers=headers, body=bytes(body), received_at=NOW)
        return isinstance(provider.verify(request), Accepted)

    assert sum(is_genuine(position) for position in range(len(tampered.body))) == 1


class Odd:
    """A provider with samples that answers `verify` as told."""

    def __init__(self, verdict: Any) -> None:
        self._verdict = verdict

    def verify(self, request: WebhookRequest) -> Any:
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict

    def stand_in(self, address: str, deliver_to: str, http: Any) -> Any:
        raise NotImplementedError

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        if self._verdict == "no sample":
            raise KeyError(kind)
        return b"body"

    def sign(self, body: bytes, at: datetime) -> dict[str, str]:
        return {}


def with_provider(live: Live, provider: Any) -> Live:
    from dataclasses import replace

    opened = replace(live.connections["acme", "sandbox"], provider=provider)
    return Live(config=live.config, connections={("acme", "sandbox"): opened})


@pytest.mark.parametrize(
    ("verdict", "tamper", "expected"),
    [
        (Accepted(proof="signature", event_id=None, event_type=None), True, 401),
        (Accepted(proof="none", event_id=None, event_type=None, reply=Reply(202)), True, 202),
        (Refused(reason=RefusalReason.SIGNATURE_MISMATCH, detail="no", reply=Reply(403)), True, 403),
        (Answered(reply=Reply(204)), False, 204),
    ],
)
async def test_the_plugin_decides_what_is_expected(live: Live, verdict: Any, tamper: bool, expected: int) -> None:
    prepared = prepare(with_provider(live, Odd(verdict)), simulation(tamper=tamper), NOW)
    assert prepared.expected == expected
    assert prepared.trace_id.startswith("sha256:")


@pytest.mark.parametrize(
    ("provider", "what", "said"),
    [
        (None, {"connection": "nothing"}, "acme/nothing is not a connection of this configuration (there are: acme/"),
        (None, {"connection": "example"}, "acme/example is live"),
        (object(), {}, "the plugin 'example' makes no sample webhooks"),
        (Odd("no sample"), {}, "the plugin 'example' raised KeyError while it made the webhook"),
        (Odd(ValueError("x")), {}, "the plugin 'example' raised in verify: ValueError"),
    ],
)
async def test_what_cannot_be_simulated_is_said(live: Live, provider: Any, what: dict[str, Any], said: str) -> None:
    with pytest.raises(CannotSimulate) as raised:
        prepare(with_provider(live, provider) if provider else live, simulation(**what), NOW)
    assert str(raised.value).startswith(said)


async def test_nobody_there_ends_it() -> None:
    prepared = Prepared(url="http://127.0.0.1:9/webhooks/a/b", headers={}, body=b"", expected=200, trace_id="evt_1")
    async with aiohttp.ClientSession() as http:
        (sent,) = await send(http, prepared, 5)
    assert (sent.status, sent.as_expected) == (None, False)


async def test_it_is_sent_as_often_as_asked() -> None:
    async def kept(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks/a/b", kept)
    async with aiohttp.ClientSession() as http, listening(app, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/webhooks/a/b"
        prepared = Prepared(url=url, headers={}, body=b"x", expected=200, trace_id="evt_1")
        assert [one.status for one in await send(http, prepared, 3)] == [200, 200, 200]
