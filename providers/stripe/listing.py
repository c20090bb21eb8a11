"""
Stripe's own list of what happened: `GET /v1/events` (https://docs.stripe.com/api/events/list).

It holds the events of the last 30 days, newest first, in the shape of the account's API version, and goes through the
readers of the webhooks: the keys are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Ignored, Malformed, Page, RevenueEvent, Unavailable, server_time
from providers.stripe.api import STRIPE, Account, Pairs, get
from providers.stripe.events import READERS, read
from providers.stripe.lookup import answered

PATH = "/v1/events"

PER_PAGE = 20
"""Events of a page. Each asks up to three questions; at 0.2 s, four at a time, a page takes 3 s of the core's 10."""

AT_A_TIME = 4

PROBED = ("/v1/checkout/sessions", "/v1/invoice_payments", PATH)
"""What webhooks and sweeps read; a restricted key may lack any of them."""


async def list_revenue(http: ClientSession, account: Account, since: datetime, cursor: str | None) -> Page:
    """Return the page of movements after `cursor`, from `since` on."""
    found = STRIPE.content(await get(http, account, PATH, page_query(since, cursor)))
    listed = found.get("data")
    if not isinstance(listed, list) or not isinstance(found.get("has_more"), bool):
        raise Unavailable("Stripe answered without a list of events")
    gate = asyncio.Semaphore(AT_A_TIME)
    readings = [_movements(http, account, event, gate) for event in listed]
    results = await asyncio.gather(*readings, return_exceptions=True)
    events: list[RevenueEvent] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        events.extend(result)
    return Page(events=events, next_cursor=_next_cursor(listed, cursor) if found["has_more"] else None)


async def probe(http: ClientSession, account: Account) -> datetime | None:
    """Return Stripe's clock once the key has proven that it may read what is needed."""
    answers = [await get(http, account, path, {"limit": "1"}) for path in PROBED]
    for answer in answers:
        STRIPE.content(answer)
    return server_time(answers[-1])


def page_query(since: datetime, cursor: str | None) -> Pairs:
    """Return the query of one page, the same filters on every one."""
    query = [("limit", str(PER_PAGE)), ("created[gte]", str(int(since.timestamp())))]
    query += [("types[]", name) for name in sorted(READERS)]
    return query if cursor is None else [*query, ("starting_after", cursor)]


async def _movements(
    http: ClientSession, account: Account, event: Any, gate: asyncio.Semaphore
) -> Sequence[RevenueEvent]:
    """Return what an event reports; raise `Malformed` with its id for an unreadable one: no hidden gaps."""
    try:
        async with gate:
            found = await answered(http, account, read(event))
    except Malformed as error:
        name = event.get("id") if isinstance(event, dict) else None
        raise Malformed(f"event {str(name)[:64]!r} in Stripe's list: {error}") from error
    return [] if isinstance(found, Ignored) else found


def _next_cursor(listed: list[Any], cursor: str | None) -> str:
    last = listed[-1].get("id") if listed and isinstance(listed[-1], dict) else None
    if not isinstance(last, str) or not last or last == cursor:
        raise Unavailable("Stripe's list says that there is more, but not where it goes on")
    return last
