"""For the walk of what is swept and watched: a provider that answers as a test says, and its connection's rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import scripted
from harness import CONFIG, START, Harness
from scripted import EVENT
from sweeping import listing, read

from gateway.domain.errors import Malformed, ProviderError, Rejected, Unavailable, Unsupported
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.flows.pace import Paces
from gateway.flows.retention import forget_old
from gateway.flows.sweeper import Sweeper
from gateway.sdk import Page

HERE = ("acme", "scripted")
PAGES = {None: ("p1", "b"), "b": ("p2", None)}
"""The provider's list: by cursor, which payment is on the page and where the list goes on."""

FAULTS = [Unavailable(), Unavailable(retry_after=timedelta(minutes=9)), Rejected(), Malformed(), KeyError("a bug")]
"""What a provider or its plugin may answer; the plugin's own error becomes a fault of the plugin."""

assert {type(fault) for fault in FAULTS} | {Unsupported} >= set(ProviderError.__subclasses__())


@dataclass
class Seller:
    """
    One gateway without a worker, and the provider behind its connection `scripted`.

    `troubles` says what a page's cursor is answered with instead of the page, each as often as it is there; `found` is
    what the provider knows of any checkout.
    """

    gateway: Harness
    plugin: scripted.Scripted
    troubles: dict[str | None, list[Exception]] = field(default_factory=dict)
    lists: bool = True
    found: Any = field(default_factory=list)
    hangs_at: Any = "nowhere"
    stops: asyncio.Event | None = None
    order_id: str = ""
    _hanging: asyncio.Event = field(default_factory=asyncio.Event)
    _configured: str = ""

    async def works(self, stopping: asyncio.Event | None = None) -> None:
        """One look of a worker at what is due, until all of that is done."""
        running = self.gateway.gateway
        sweeper = Sweeper(running.context, lambda: running.live, Paces(seconds=0))
        await sweeper.look(stopping or asyncio.Event())
        await asyncio.gather(*sweeper._busy.values())

    async def dies(self, at: Any) -> None:
        """A worker whose process ends while the provider is asked."""
        self.hangs_at = at
        killed = asyncio.create_task(self.works())
        await asyncio.wait([killed, hung := asyncio.create_task(self._hanging.wait())], return_when="FIRST_COMPLETED")
        assert hung.done(), "nobody was asked"
        killed.cancel()
        await asyncio.wait([killed])
        self.hangs_at = "nowhere"

    async def stops_after_a_page(self) -> None:
        """A worker that is told to stop while its provider is asked."""
        self.stops = asyncio.Event()
        await self.works(self.stops)

    def forward(self, **by: float) -> None:
        self.gateway.clock.forward(timedelta(**by))

    async def removed(self) -> None:
        """Somebody takes the connection out of the configuration."""
        self._configured = self.gateway.config_path.read_text()
        self.gateway.rewrite_config(CONFIG)
        assert await self.gateway.gateway.reload()

    async def put_back(self) -> None:
        self.gateway.config_path.write_text(self._configured)
        assert await self.gateway.gateway.reload()

    async def orders(self) -> None:
        """A buyer is about to pay."""
        url, body = f"{self.gateway.url}/checkouts/acme", {"plan": "pro", "faVisitorId": "anna"}
        headers = {"Origin": "https://www.acme.example"}
        async with self.gateway.http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            self.order_id = (await answer.json(content_type=None))["orderId"]

    def pays(self, *, ago: timedelta = timedelta(minutes=10)) -> None:
        """The buyer paid, and no webhook says so."""
        self.found = [sale("p1", reference=self.order_id, occurred_at=self.gateway.clock() - ago)]

    async def webhook_comes(self) -> None:
        self.pays()
        self.plugin.readings["e1"] = self.found
        await self.gateway.send(b"{}", connection="scripted", headers={EVENT: "e1"})
        await read(self.gateway)

    async def forgets(self) -> None:
        """What the worker does about what is old."""
        await forget_old(self.gateway.gateway.context, self.gateway.gateway.live.config, asyncio.Event())

    async def booked(self) -> set[str]:
        return {row["payment_id"] for row in await self.gateway.rows("SELECT payment_id FROM ledger")}

    async def sweep_state(self) -> str:
        rows = await self.gateway.rows("SELECT * FROM sweeps WHERE (site, connection) = ($1, $2)", *HERE)
        if not rows:
            return "not begun"
        if HERE not in self.gateway.gateway.live.connections:
            return "of no connection"
        (row,) = rows
        return self._named(row) + (", at a page" if row["cursor"] else "")

    def _named(self, row: Any) -> str:
        is_due = row["due_at"] <= self.gateway.clock()
        if row["lease"] and not is_due:
            return "being read"
        if row["problem"]:
            return "failing" if row["failures"] else "lists nothing"
        if row["since"]:
            return "broken off"
        return "due" if is_due else "at rest"

    async def watch_state(self) -> str:
        rows = await self.gateway.rows("SELECT * FROM watches")
        if not rows:
            return "gone"
        (row,) = rows
        if HERE not in self.gateway.gateway.live.connections:
            return "of no connection"
        if row["due_at"] <= self.gateway.clock():
            return "due"
        return "being looked up" if row["lease"] else f"after {row['looks']} looks"

    async def _listed(self, _since: Any, cursor: str | None) -> Any:
        if not self.lists:
            return Unsupported()
        await self._asked(cursor)
        if self.stops is not None:
            self.stops.set()
        if self.troubles.get(cursor):
            return self.troubles[cursor].pop()
        payment, following = PAGES[cursor]
        return Page(events=[sale(payment)], next_cursor=following)

    async def _looked_up(self, _checkout_id: str) -> Any:
        await self._asked("look")
        return self.found

    async def _asked(self, what: Any) -> None:
        if what == self.hangs_at:
            self._hanging.set()
            await asyncio.Event().wait()


def sale(payment: str, **what: Any) -> RevenueEvent:
    values = {"kind": RevenueKind.PURCHASE, "amount": Money(1000, "USD"), "occurred_at": START + timedelta(minutes=1)}
    return RevenueEvent(key=f"payment:{payment}", payment_id=payment, **{**values, **what})


@asynccontextmanager
async def selling(database: str, folder: Path, *, lists: bool = True) -> AsyncIterator[Seller]:
    """A gateway whose plan `pro` is sold through the connection `scripted`; its provider may have no list."""
    plugin = scripted.Scripted()
    plugin.lookup, plugin.checkout = (lambda _checkout_id: []), scripted.checkout
    async with listing(database, folder, plugin, plan="scripted") as gateway:
        seller = Seller(gateway, plugin, lists=lists)
        plugin.listing, plugin.lookup = seller._listed, seller._looked_up
        yield seller
