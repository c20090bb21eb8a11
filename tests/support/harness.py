"""A whole gateway on real Postgres and real loopback HTTP, with a clock that tests move."""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson

from gateway.app.assembly import Running, running
from gateway.app.serving import listening
from gateway.app.source import Source
from gateway.dev.faurya_stand_in import StandInSite, faurya_stand_in
from gateway.plugins import PluginRegistry
from gateway.sdk import ENTRY_POINT_GROUP, RevenueKind

SECRET = "whsec_made_up_1"
WAIT_SECONDS = 60.0
START = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

CONFIG = """
server: {{public_url: "http://127.0.0.1:{port}", port: {port}}}
database: {{url: "{database}"}}
sites:
  acme:
    origins: ["https://www.acme.example"]
    faurya: {{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_test: false,
             forward_refunds: true}}
    providers:
      example: {{environment: live, api_key: example-key-acme, webhook_secrets: [whsec_made_up_1, whsec_made_up_1_old],
                base_url: "{provider}"}}
      sandbox: {{plugin: example, environment: sandbox, api_key: example-key-sandbox,
                webhook_secrets: [whsec_made_up_2], base_url: "{provider}"}}
    plans:
      pro: {{provider: example, items: [{{price_id: price_pro}}]}}
      team: {{provider: example, items: [{{price_id: price_seat}}], quantity: {{min: 2, max: 50}}}}
  globex:
    origins: ["https://globex.example"]
    checkout: {{backend_key: globex-backend-key}}
    faurya: {{api: payments, url: "{faurya}", api_key: globex-api-key, currencies: any}}
    providers:
      example: {{environment: live, api_key: example-key-globex, webhook_secrets: [whsec_made_up_3],
                base_url: "{provider}"}}
    plans:
      basic: {{provider: example, amount: {{value: "19.00", currency: EUR}}}}
"""

SECRETS = {
    ("acme", "example"): SECRET,
    ("acme", "sandbox"): "whsec_made_up_2",
    ("globex", "example"): "whsec_made_up_3",
}

UNSETTLED = """
SELECT count(*) FROM outbox LEFT JOIN holds USING (site, destination)
WHERE outbox.lease IS NOT NULL
   OR (outbox.due_at <= $1 AND (holds.site IS NULL OR greatest(holds.until, holds.probe_until) <= $1))
"""


@dataclass
class Clock:
    """The gateway's clock. It stands still until moved."""

    moment: datetime = START

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, by: timedelta) -> None:
        self.moment += by


def free_port() -> int:
    """Return a free port below those that the system hands out, so that nobody else gets it before it is used."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Harness:
    """What a test sees: the gateway's address, its database, the stand-ins, its clock."""

    gateway: Running
    url: str
    faurya_url: str
    provider_url: str
    http: aiohttp.ClientSession
    database: asyncpg.Pool
    clock: Clock
    config_path: Path
    config_values: Mapping[str, Any] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def provider(self, site: str = "acme", connection: str = "example") -> Any:
        return self.gateway.live.connections[site, connection].provider

    async def send(
        self,
        body: bytes,
        site: str = "acme",
        connection: str = "example",
        *,
        headers: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a webhook, signed unless headers are given."""
        signed = headers if headers is not None else self.provider(site, connection).sign(body, at or self.clock())
        answer = await self.http.post(f"{self.url}/webhooks/{site}/{connection}", data=body, headers=signed)
        await answer.read()
        return answer

    async def happen(
        self,
        kind: RevenueKind,
        *,
        site: str = "acme",
        connection: str = "example",
        settle: bool = True,
        patient: bool = False,
        **what: Any,
    ) -> None:
        """
        Send the webhook of a movement of money; every one is an event of its own unless it names its `event_id`.

        A `patient` sender sends again what is answered 503, as providers do.
        """
        what = {"event_id": f"evt_{next(self.numbers)}", "simulated": False, "occurred_at": self.clock(), **what}
        body = self.provider(site, connection).sample(kind, **what)
        answer = await self.send(body, site, connection)
        async with asyncio.timeout(60):
            while patient and answer.status == 503:
                answer = await self.send(body, site, connection)
        assert answer.status == 200, await answer.text()
        if settle:
            await self.settled()

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch(sql, *arguments)]

    async def until(self, sql: str, *arguments: Any, equals: Any = True) -> None:
        """Wait until a query's single value is what is expected."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = await self.database.fetchval(sql, *arguments)
            if found == equals:
                return
            assert time.monotonic() < deadline, f"{sql} is {found!r}, not {equals!r}: {await self.overview()}"
            await asyncio.sleep(0.02)

    async def overview(self) -> dict[str, Any]:
        return {
            "inbox": await self.rows("SELECT site, event_id, outcome, reason, detail FROM inbox"),
            "outbox": await self.rows("SELECT site, revenue_key, status, reason, due_at FROM outbox"),
            "holds": await self.rows("SELECT * FROM holds"),
        }

    async def read(self) -> None:
        """Wait until every webhook is read or waits for something later."""
        self.wake()
        await self.until("SELECT count(*) FROM inbox WHERE due_at <= $1 OR lease IS NOT NULL", self.clock(), equals=0)

    async def settled(self) -> None:
        """Wait until nothing is due any more; what a held site has due is due at its next probe."""
        await self.read()
        await self.until(UNSETTLED, self.clock(), equals=0)

    def wake(self) -> None:
        if self.gateway.worker is not None:
            self.gateway.worker.look()

    async def forward(self, by: timedelta) -> None:
        self.clock.forward(by)
        await self.settled()

    async def inbox(self) -> list[tuple[str, str | None]]:
        rows = await self.rows("SELECT outcome, reason FROM inbox ORDER BY length(event_key), event_key")
        return [(row["outcome"], row["reason"]) for row in rows]

    async def deliveries(self) -> dict[str, tuple[str, str | None]]:
        rows = await self.rows("SELECT revenue_key, status, reason FROM outbox ORDER BY created_at")
        return {row["revenue_key"]: (row["status"], row["reason"]) for row in rows}

    async def switch(self, **switches: Any) -> None:
        """Change how the Faurya stand-in behaves."""
        async with self.http.put(f"{self.faurya_url}/stand-in/switches", json=switches) as answer:
            assert answer.status == 200, await answer.text()

    async def recorded(self, site: str = "acme") -> list[dict[str, Any]]:
        """What the Faurya stand-in recorded for a site."""
        async with self.http.get(f"{self.faurya_url}/stand-in/records", params={"site": site}) as answer:
            content = orjson.loads(await answer.read())
        return content["recorded"] if isinstance(content, dict) else content

    def rewrite_config(self, text: str = CONFIG, **values: Any) -> None:
        self.config_path.write_text(text.format(**{**self.config_values, **values}))


@asynccontextmanager
async def harness(
    database: str,
    folder: Path,
    *,
    text: str = CONFIG,
    with_worker: bool = True,
    clock: Clock | None = None,
    company: str = "example",
    registry: PluginRegistry | None = None,
    faurya_url: str | None = None,
    through: str | None = None,
) -> AsyncIterator[Harness]:
    """
    Yield a running gateway on the database at this URL.

    `faurya_url` lets it share another harness's stand-in, and `through` is the address at which the gateway (not the
    test) reaches the database.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        clock = clock or Clock()
        stand_in = faurya_stand_in(
            [
                StandInSite(name="acme", site_id="acme-site", write_key="acme-write-key", api_key="acme-api-key"),
                StandInSite(
                    name="globex", site_id="globex-site", write_key="globex-write-key", api_key="globex-api-key"
                ),
            ]
        )
        if faurya_url is None:
            faurya_port = await stack.enter_async_context(listening(stand_in, "127.0.0.1", 0))
            faurya_url = f"http://127.0.0.1:{faurya_port}"
        provider_port, port = free_port(), free_port()
        values = {
            "port": port,
            "database": through or database,
            "faurya": faurya_url,
            "provider": f"http://127.0.0.1:{provider_port}",
        }
        path = folder / "config.yaml"
        path.write_text(text.format(**values))
        registry = registry or PluginRegistry(entry_points(group=ENTRY_POINT_GROUP))
        source = Source(path=path, environ={}, registry=registry)
        gateway = await stack.enter_async_context(
            running(source, source.load(), with_worker=with_worker, now=clock, shared_clock=False)
        )
        await stack.enter_async_context(listening(gateway.application, "127.0.0.1", port))
        stand_in = gateway.live.connections["acme", company].provider.stand_in(  # type: ignore[attr-defined]
            values["provider"], f"http://127.0.0.1:{port}/webhooks/acme/{company}", http
        )
        await stack.enter_async_context(listening(stand_in, "127.0.0.1", provider_port))
        pool = await stack.enter_async_context(asyncpg.create_pool(database, min_size=1, max_size=2))
        yield Harness(
            gateway=gateway,
            url=f"http://127.0.0.1:{port}",
            faurya_url=values["faurya"],
            provider_url=values["provider"],
            http=http,
            database=pool,
            clock=clock,
            config_path=path,
            config_values=values,
        )


__all__ = ["CONFIG", "SECRET", "SECRETS", "START", "Clock", "Harness", "harness"]
