"""A local imitation of the make-believe company: opens checkouts, has a Pay button, sends signed webhooks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp import web

from gateway.sdk import Attribution, Money, RevenueKind

if TYPE_CHECKING:
    from providers.example.provider import ExampleProvider

RETRY_SECONDS = (0.1, 1.0, 5.0, 30.0)
PER_PAGE = 100


class Company:
    """What the company remembers, in memory only."""

    def __init__(self, provider: ExampleProvider, address: str, deliver_to: str, http: aiohttp.ClientSession) -> None:
        self._provider, self._address, self._deliver_to, self._http = provider, address, deliver_to, http
        self.checkouts: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def open_checkout(self, request: web.Request) -> web.Response:
        """`POST /checkouts`."""
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return web.json_response({"error": "the key is missing", "code": "unauthorized"}, status=401)
        body = await request.json()
        checkout_id = f"chk_{len(self.checkouts) + 1}"
        self.checkouts[checkout_id] = body
        return web.json_response({"id": checkout_id, "url": f"{self._address}/pay/{checkout_id}"})

    async def page(self, request: web.Request) -> web.Response:
        """The buyer's page."""
        checkout = self.checkouts.get(request.match_info["id"])
        if checkout is None:
            raise web.HTTPNotFound
        back = escape(checkout.get("success_url") or "", quote=True)
        link = f'<p><a href="{back}">Back to the shop</a></p>' if back else ""
        text = (
            "<!doctype html><meta charset=utf-8><title>Example checkout</title><h1>Example checkout</h1>"
            "<form method=post><button name=do value=pay id=pay>Pay</button> "
            f"<button name=do value=refund id=refund>Refund</button></form>{link}"
        )
        return web.Response(text=text, content_type="text/html")

    async def act(self, request: web.Request) -> web.Response:
        """Pay or refund, and send the webhook."""
        checkout_id = request.match_info["id"]
        what = (await request.post()).get("do")
        kind = RevenueKind.REFUND if what == "refund" else RevenueKind.PURCHASE
        self.emit(kind, checkout_id)
        raise web.HTTPSeeOther(request.path)

    def emit(self, kind: RevenueKind, checkout_id: str) -> None:
        """Record an event and start sending it."""
        checkout = self.checkouts[checkout_id]
        metadata = checkout.get("metadata", {})
        number = len(self.events) + 1
        body = self._provider.sample(
            kind,
            event_id=f"evt_{number}",
            payment_id=checkout_id.replace("chk", "pay"),
            refund_id=f"ref_{number}",
            checkout_id=checkout_id,
            amount=Money(checkout.get("amount") or 4900, checkout.get("currency") or "USD"),
            items=[item["price"] for item in checkout.get("items", [])],
            reference=metadata.get("order", ""),
            attribution=Attribution(
                visitor_id=metadata.get("visitor"), session_id=metadata.get("session"), token=metadata.get("token")
            ),
            occurred_at=datetime.now(UTC),
            simulated=False,
        )
        self.events.append(orjson.loads(body))
        task = asyncio.create_task(self._deliver(body))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, body: bytes) -> None:
        for wait in (0.0, *RETRY_SECONDS):
            await asyncio.sleep(wait)
            try:
                headers = dict(self._provider.sign(body, datetime.now(UTC)))
                async with self._http.post(self._deliver_to, data=body, headers=headers) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                continue

    async def listed(self, request: web.Request) -> web.Response:
        """`GET /events`, of one checkout or from a time on, in pages."""
        query = request.query
        since, after, checkout = int(query.get("since", "0")), query.get("after", "0"), query.get("checkout")
        if not after.isdigit():
            return web.json_response({"error": "there is no such page", "code": "bad_cursor"}, status=400)
        found = [event for event in self.events if event["created"] >= since]
        found = [event for event in found if checkout in (None, event["data"]["checkout"])]
        end = int(after) + PER_PAGE
        return web.json_response({"events": found[int(after) : end], "next": str(end) if end < len(found) else None})

    async def lose(self, request: web.Request) -> web.Response:
        """`POST /stand-in/events`, for tests: an event whose webhook never comes."""
        self.events.append(await request.json())
        return web.json_response({})

    async def close(self, _app: web.Application) -> None:
        """Stop sending."""
        for task in list(self._sending):
            task.cancel()


def stand_in(provider: ExampleProvider, address: str, deliver_to: str, http: aiohttp.ClientSession) -> web.Application:
    """Return the company's application."""
    company = Company(provider, address.rstrip("/"), deliver_to, http)
    app = web.Application()
    app.add_routes(
        [
            web.post("/checkouts", company.open_checkout),
            web.get("/events", company.listed),
            web.post("/stand-in/events", company.lose),
            web.get("/pay/{id}", company.page),
            web.post("/pay/{id}", company.act),
        ]
    )
    app.on_cleanup.append(company.close)
    return app
