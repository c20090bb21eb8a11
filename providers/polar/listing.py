"""
Polar's own lists: `GET /v1/orders/` and then `GET /v1/refunds/`, behind one cursor (`orders:2`, `refunds:1`).

Both lists know when something was created and not when it was paid, so they are read from `LATE` before `since`.
Orders have a date filter and come oldest first, so that new ones appear at the end; refunds have none
(https://polar.sh/docs/api-reference/refunds/list) and come newest first until they get too old.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Answer, Ignored, Malformed, Page, RevenueEvent, Unavailable, server_time
from providers.polar.api import POLAR, Account, call
from providers.polar.events import Found, instant, read_order, read_refund

PATHS = {"orders": "/v1/orders/", "refunds": "/v1/refunds/"}
READERS: Mapping[str, Callable[[Any], Found]] = {"orders": read_order, "refunds": read_refund}

PER_PAGE = 100
"""The largest page that Polar gives (https://polar.sh/docs/api-reference/introduction)."""

LATE = timedelta(days=22)
"""
How long after its creation an order may still be paid: Polar tries a failed renewal again after 2, 5, 7 and 7 days
(`DUNNING_RETRY_INTERVALS` of polarsource/polar). A refund is settled much earlier.
"""

CURSOR = re.compile(r"(orders|refunds):([1-9][0-9]{0,8})", re.ASCII)


async def list_revenue(http: ClientSession, account: Account, since: datetime, cursor: str | None) -> Page:
    """Return the page of movements that `cursor` names: orders first, then refunds."""
    kind, number = place(cursor)
    answer = await call(http, account, "GET", PATHS[kind], query=page_query(kind, number, since))
    return page_of(answer, kind, number, since)


async def probe(http: ClientSession, account: Account) -> datetime | None:
    """Return Polar's clock once the token has proven that it may read orders and refunds."""
    POLAR.content(await call(http, account, "GET", PATHS["orders"], query={"limit": "1"}))
    answer = await call(http, account, "GET", PATHS["refunds"], query={"limit": "1"})
    POLAR.content(answer)
    return server_time(answer)


def place(cursor: str | None) -> tuple[str, int]:
    """Return the list and the page that a cursor names."""
    known = CURSOR.fullmatch("orders:1" if cursor is None else cursor)
    if known is None:
        raise Malformed("the cursor is none of this plugin's: begin the sweep again without one")
    return known[1], int(known[2])


def page_query(kind: str, number: int, since: datetime) -> Mapping[str, str]:
    """Return the query of one page."""
    query = {"page": str(number), "limit": str(PER_PAGE)}
    if kind == "refunds":
        return {**query, "sorting": "-created_at"}
    begin = _begin(since).isoformat().replace("+00:00", "Z")
    return {**query, "sorting": "created_at", "created_after": begin}


def page_of(answer: Answer, kind: str, number: int, since: datetime) -> Page:
    """Return what one answer holds; raise `Malformed` for an unreadable entry: no hidden gaps."""
    found = POLAR.content(answer)
    entries, pagination = found.get("items"), found.get("pagination")
    last = pagination.get("max_page") if isinstance(pagination, dict) else None
    if not isinstance(entries, list) or type(last) is not int:
        raise Unavailable(f"Polar answered without a list of {kind} and the number of its pages")
    events = [event for entry in entries for event in _movements(kind, entry)]
    more = bool(entries) and number < last
    if kind == "refunds":
        more = more and _created(entries[-1]) >= _begin(since)
        return Page(events=events, next_cursor=f"refunds:{number + 1}" if more else None)
    return Page(events=events, next_cursor=f"orders:{number + 1}" if more else "refunds:1")


def _movements(kind: str, entry: Any) -> list[RevenueEvent]:
    try:
        found = READERS[kind](entry)
    except Malformed as error:
        name = entry.get("id") if isinstance(entry, dict) else None
        raise Malformed(f"{str(name)[:64]!r} in Polar's list of {kind}: {error}") from error
    return [] if isinstance(found, Ignored) else list(found)


def _created(entry: Mapping[str, Any]) -> datetime:
    return instant(entry.get("created_at"))


def _begin(since: datetime) -> datetime:
    return since.astimezone(UTC) - LATE
