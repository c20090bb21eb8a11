"""A whole gateway for tests of its accept side: one connection more, whose plugin does what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
from harness import CONFIG, Harness, harness
from prometheus_client.parser import text_string_to_metric_families
from scripted import Scripted, ScriptedProvider, registry

from gateway.sdk import Checkout, CheckoutRequest, Runtime
from gateway.web.gateway import GATEWAY, Gateway

WITH_SCRIPTED = CONFIG.replace(
    "    plans:\n      pro:",
    "      scripted: {{environment: live}}\n"
    "    plans:\n"
    "      tuned: {{provider: scripted, items: [{{price_id: price_tuned}}]}}\n"
    "      pro:",
    1,
)
assert WITH_SCRIPTED != CONFIG
WEBHOOKS = "/webhooks/acme/scripted"


class Tuned(Scripted):
    """`verdict` is what `verify` does, `checkout` what `create_checkout` does."""

    secret_headers = frozenset({"X-Token"})
    secret_query = frozenset({"token"})

    def __init__(self) -> None:
        super().__init__()
        self.checkout: Callable[[CheckoutRequest], Any] = lambda request: Checkout(
            url=f"https://pay.example/{request.reference}", checkout_id="chk_tuned"
        )
        self.ordered: list[CheckoutRequest] = []

    def open(self, config: Any, runtime: Runtime) -> Any:
        return TunedProvider(self)


class TunedProvider(ScriptedProvider):
    """A connection of the plugin."""

    plugin: Tuned

    async def create_checkout(self, request: CheckoutRequest) -> Any:
        self.plugin.ordered.append(request)
        found = self.plugin.checkout(request)
        return await found if hasattr(found, "__await__") else found


@asynccontextmanager
async def accepting(
    database: str, folder: Path, *, text: str = WITH_SCRIPTED, **options: Any
) -> AsyncIterator[tuple[Harness, Tuned]]:
    """Yield a gateway (without its worker, unless asked for) and the plugin of acme/scripted."""
    plugin = Tuned()
    options = {"with_worker": False, "registry": registry(plugin), **options}
    async with harness(database, folder, text=text, **options) as gateway:
        yield gateway, plugin


def inside(gateway: Harness) -> Gateway:
    """What the web layer shares."""
    return gateway.gateway.application[GATEWAY]


async def raw(gateway: Harness, request: bytes, *, then_close: bool = False) -> bytes:
    """Send bytes as they are; return what comes back until the gateway is silent or hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(request)
    if then_close:
        writer.transport.abort()
        return b""
    answer = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 5):
            answer += chunk
            head, end, body = answer.partition(b"\r\n\r\n")
            sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if end and sizes and len(body) >= int(sizes[0].partition(b":")[2]):
                break
    finally:
        writer.close()
    return answer


async def noted(gateway: Harness) -> None:
    """Wait until refusals are written down and looked at."""
    background = inside(gateway).receiver._background
    while background:
        await asyncio.wait(set(background))


async def metric(gateway: Harness, name: str, **labels: str) -> float:
    """A sample's value at this moment; 0 where there is none."""
    async with gateway.http.get(f"{gateway.url}/metrics") as answer:
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )


async def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The RFC 9457 content of an answer, checked."""
    content: dict[str, Any] = orjson.loads(await answer.read())
    assert (answer.status, content.get("code")) == (status, code), content
    assert answer.content_type == "application/problem+json"
    assert content["status"] == status
    assert content["type"] == "about:blank"
    assert content["title"]
    assert content["detail"]
    assert content["request_id"] == answer.headers["X-Request-Id"]
    return content


@contextmanager
def log_lines() -> Iterator[list[Any]]:
    """The log lines of a block."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def events(lines: list[Any], event: str) -> list[Any]:
    """The lines of one event name."""
    return [line for line in lines if line["event"] == event]
