"""The HTTP of the stand-in: credentials, switches, the books."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from gateway.dev.faurya_stand_in import pages
from gateway.dev.faurya_stand_in.books import Books
from gateway.dev.faurya_stand_in.calls import BadCall, PaymentsCall, RevenueCall, parse
from gateway.dev.faurya_stand_in.keys import BOOKS, SITES, StandInSite
from gateway.dev.faurya_stand_in.payments import Refusal, of_payments, of_revenue
from gateway.dev.faurya_stand_in.switches import Drop, Switches
from gateway.domain.text import printable

KEPT_BODY = 2000
"""Characters of a refused body that the page shows."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def faurya_stand_in(
    sites: Sequence[StandInSite], switches: Switches | None = None, now: Callable[[], datetime] = _utc_now
) -> web.Application:
    """Return the stand-in as an application to be served on loopback."""
    app = web.Application(middlewares=[_behave])
    app[SITES] = tuple(sites)
    app[BOOKS] = Books(now=now, switches=switches or Switches())
    app.add_routes(
        [
            web.post("/api/revenue", _revenue),
            web.post("/api/v1/payments", _payments),
            web.get("/api/v1/visitors/{visitor_id}", _visitor),
        ]
    )
    pages.add_to(app)
    return app


@web.middleware
async def _behave(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Give the API's calls the switched delay, failures and cuts; turn refusals into answers and note them."""
    if not request.path.startswith("/api/"):
        return await handler(request)
    books = request.app[BOOKS]
    await asyncio.sleep(books.switches.delay_seconds)
    await request.read()
    if books.cuts(Drop.BEFORE_RECORDING):
        return await _cut(request, books, "connection cut before recording")
    try:
        if ordered := books.scripted_refusal():
            raise ordered
        response = await handler(request)
    except Refusal as refusal:
        response = await _refused(request, books, refusal)
    if books.cuts(Drop.AFTER_RECORDING):
        return await _cut(request, books, f"connection cut instead of answering {response.status}")
    return response


async def _revenue(request: web.Request) -> web.Response:
    books = request.app[BOOKS]
    if not books.switches.revenue_exists:
        raise Refusal(404, "Not found")
    site = _site(request)
    call = _parsed(RevenueCall, await request.read())
    payment = of_revenue(call, site, request.path, request.headers.get("Idempotency-Key"), books.switches)
    return _json(books.record(payment))


async def _payments(request: web.Request) -> web.Response:
    books = request.app[BOOKS]
    site = _site(request)
    call = _parsed(PaymentsCall, await request.read())
    books.ask_for_visitor(site, call.faurya_visitor_id)
    payment = of_payments(call, site, request.path, request.headers.get("Idempotency-Key"), books.switches)
    return _json(books.record(payment))


async def _visitor(request: web.Request) -> web.Response:
    visitor_id = request.match_info["visitor_id"]
    if not request.app[BOOKS].knows_visitor(_site(request), visitor_id):
        raise Refusal(404, "Visitor not found")
    return _json({"visitor": {"id": visitor_id}})


def _site(request: web.Request) -> str:
    """Return the name of the site whose credentials the call carries; raise `Refusal` 401."""
    if (site := _site_or_none(request)) is None:
        raise Refusal(401, "Invalid credentials")
    return site


def _site_or_none(request: web.Request) -> str | None:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    pair = (request.headers.get("x-faurya-site-id"), request.headers.get("x-faurya-write-key"))
    by_write_key = request.path == "/api/revenue"
    for site in request.app[SITES]:
        if (pair == (site.site_id, site.write_key)) if by_write_key else (bearer == site.api_key):
            return site.name
    return None


def _parsed(model: Any, body: bytes) -> Any:
    try:
        return parse(model, body)
    except BadCall as wrong:
        raise Refusal(400, str(wrong)) from None


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


async def _refused(request: web.Request, books: Books, refusal: Refusal) -> web.Response:
    await _note(request, books, refusal.status, refusal.message)
    response = _json({"error": refusal.message}, refusal.status)
    response.headers.update(refusal.headers)
    return response


async def _cut(request: web.Request, books: Books, why: str) -> web.Response:
    await _note(request, books, 0, why)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody receives it


async def _note(request: web.Request, books: Books, status: int, why: str) -> None:
    body = printable((await request.read()).decode("utf-8", "replace"), KEPT_BODY)
    books.refuse(_site_or_none(request), request.path, status, why, body)
