"""
How fast webhooks are accepted and booked, as ratios within one run; absolute numbers are this machine's only.

    make bench

Everything is real: a durable embedded Postgres, loopback HTTP, signed bodies. The client shares the machine's cores, so
the baseline that only verifies and answers pays for the same client.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from gateway.app.serving import listening
from gateway.domain.messages import WebhookRequest
from gateway.flows import book as book_flow
from gateway.sdk import RevenueKind
from gateway.store import batches, embedded
from gateway.store.schema import migrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from harness import Harness, harness

REQUESTS = 3000
AT_ONCE = 64


def bodies(gateway: Harness, run: str) -> list[bytes]:
    """Return distinct signed-to-be sales."""
    sample = gateway.provider().sample
    return [
        sample(RevenueKind.PURCHASE, event_id=f"evt_{run}_{i}", payment_id=f"pay_{run}_{i}", simulated=False)
        for i in range(REQUESTS)
    ]


async def flood(send: Callable[[bytes], Awaitable[int]], payloads: list[bytes]) -> tuple[float, float, float]:
    """Send everything, `AT_ONCE` at a time; return requests per second, median and 99th percentile in milliseconds."""
    queue = list(payloads)
    took: list[float] = []

    async def client() -> None:
        while queue:
            body = queue.pop()
            started = time.perf_counter()
            status = await send(body)
            took.append((time.perf_counter() - started) * 1000)
            if status != 200:
                raise SystemExit(f"the gateway answered {status}")

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - started
    took.sort()
    return len(payloads) / seconds, statistics.median(took), took[int(len(took) * 0.99)]


async def baseline(gateway: Harness, payloads: list[bytes]) -> tuple[float, float, float]:
    """The same server and signature check, keeping nothing."""
    provider = gateway.provider()

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        provider.verify(
            WebhookRequest(method="POST", url="", headers=request.headers, body=body, received_at=gateway.clock())
        )
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handler)
    async with listening(app, "127.0.0.1", 0) as port:

        async def send(body: bytes) -> int:
            headers = provider.sign(body, gateway.clock())
            async with gateway.http.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as answer:
                return answer.status

        return await flood(send, payloads)


async def kept(gateway: Harness, payloads: list[bytes]) -> tuple[float, float, float]:
    """Through the gateway's accept path."""

    async def send(body: bytes) -> int:
        return (await gateway.send(body)).status

    return await flood(send, payloads)


async def booked(gateway: Harness) -> float:
    """Book everything that was kept; return webhooks per second."""
    started, count = time.perf_counter(), 0
    while done := await book_flow.book(gateway.gateway.context, gateway.gateway.live, "acme"):
        count += done
    return count / (time.perf_counter() - started)


def line(name: str, figures: tuple[float, float, float], reference: tuple[float, float, float]) -> str:
    rate, median, late = figures
    return f"{name:<44} {rate:>8.0f}/s {rate / reference[0]:>6.2f} x   median {median:>6.1f} ms   99 % {late:>6.1f} ms"


async def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    async with await embedded.start(folder / "data") as server:
        await migrate(server.url)
        async with harness(server.url, folder, with_worker=False) as gateway:
            gateway.clock.moment = datetime.now(UTC)
            await kept(gateway, bodies(gateway, "warm")[:200])
            bare = await baseline(gateway, bodies(gateway, "bare"))
            grouped = await kept(gateway, bodies(gateway, "grouped"))
            grouped_booking = await booked(gateway)
            limit, batches.MAX_BATCH = batches.MAX_BATCH, 1
            single = await kept(gateway, bodies(gateway, "single"))
            batches.MAX_BATCH = limit
            batch, book_flow.BATCH = book_flow.BATCH, 1
            single_booking = await booked(gateway)
            book_flow.BATCH = batch
    print(f"{REQUESTS} webhooks, {AT_ONCE} at once, client and server on the same cores\n")
    print(line("verify and answer, keep nothing", bare, bare))
    print(line("keep, group commit", grouped, bare))
    print(line("keep, one commit per webhook", single, bare))
    print(f"\n{'book, batches of ' + str(batch):<44} {grouped_booking:>8.0f}/s {1:>6.2f} x")
    print(f"{'book, one webhook at a time':<44} {single_booking:>8.0f}/s {single_booking / grouped_booking:>6.2f} x")


if __name__ == "__main__":
    asyncio.run(main())
