"""
Razorpay's own lists: payments, then refunds, then disputes, each newest first, behind one cursor.

    GET /v1/payments    https://razorpay.com/docs/api/payments/fetch-all-payments
    GET /v1/refunds     https://razorpay.com/docs/api/refunds/fetch-all
    GET /v1/disputes    https://razorpay.com/docs/api/disputes/fetch-all

The entities are those of the webhooks and go through the same readers, so the keys are the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Ignored, Malformed, Page, RevenueEvent, Unavailable, server_time
from providers.razorpay import events
from providers.razorpay.api import RAZORPAY, Account, get
from providers.razorpay.fields import EARLIEST, ID
from providers.razorpay.lookup import answered

AT_A_TIME = 4
"""Entities of a page that are read at once, each with up to two questions of its own."""

CURSOR = re.compile(r"(payments|refunds|disputes)\.(\d{9,10})\.(\d{1,9})\.([A-Za-z0-9_]{0,64})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """
    One of the lists.

    `per_page`: a page of 25 payments asks at most 50 questions; at 0.3 s, four at a time, that is 4 s of the core's 10.
    `before`: how long before `since` a movement may have begun, because the lists are by the time of creation: payments
    are captured within 5 days or given back, refunds processed within 7 working days. Disputes take months and there
    is no filter by time, so all of them are read.
    """

    name: str
    entity: str
    read: Callable[[events.Entities], events.Reading]
    per_page: int
    before: timedelta | None


LISTS: Mapping[str, Listed] = {
    listed.name: listed
    for listed in (
        Listed(name="payments", entity="payment", read=events.sale, per_page=25, before=timedelta(days=5)),
        Listed(name="refunds", entity="refund", read=events.refund, per_page=25, before=timedelta(days=10)),
        Listed(name="disputes", entity="dispute", read=events.dispute, per_page=100, before=None),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a sweep is: in which list, up to which time, after how many, the last of them by its id."""

    listed: str = "payments"
    until: int
    skip: int = 0
    last: str = ""

    def cursor(self) -> str:
        """Return the place as the core keeps it."""
        return f"{self.listed}.{self.until}.{self.skip}.{self.last}"


def place_of(cursor: str | None, now: datetime) -> Place:
    """Return the place that a cursor names; the beginning, up to `now`, where there is none."""
    if cursor is None:
        return Place(until=int(now.timestamp()))
    parts = CURSOR.fullmatch(cursor)
    if parts is None:
        raise Malformed("this is not a cursor of Razorpay's lists")
    return Place(listed=parts[1], until=int(parts[2]), skip=int(parts[3]), last=parts[4])


async def list_revenue(
    http: ClientSession, account: Account, since: datetime, place: Place, names: Sequence[str]
) -> Page:
    """Return the page of movements at `place`, from `since` on; `names` are the lists to go through."""
    listed = LISTS[place.listed]
    found = RAZORPAY.content(await get(http, account, f"/v1/{listed.name}", page_query(listed, since, place)))
    rows = found.get("items")
    if not isinstance(rows, list):
        raise Unavailable(f"Razorpay answered without a list of {listed.name}")
    gate = asyncio.Semaphore(AT_A_TIME)
    readings = [_movements(http, account, listed, row, gate) for row in rows]
    results = await asyncio.gather(*readings, return_exceptions=True)
    events_found: list[RevenueEvent] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        events_found.extend(result)
    after = next_place(listed, rows, place, names)
    return Page(events=events_found, next_cursor=after.cursor() if after else None)


async def probe(http: ClientSession, account: Account) -> datetime | None:
    """Return Razorpay's clock once the key has proven that it works."""
    answer = await get(http, account, "/v1/payments", {"count": "1"})
    RAZORPAY.content(answer)
    return server_time(answer)


def page_query(listed: Listed, since: datetime, place: Place) -> Mapping[str, str]:
    """Return the query of one page. `to` stays what it was on the first, or new rows would push old ones along."""
    query = {"count": str(listed.per_page), "skip": str(place.skip)}
    if listed.before is None:
        return query
    begin = max(EARLIEST, int((since - listed.before).timestamp()))
    return {"from": str(begin), "to": str(max(place.until, begin)), **query}


def next_place(listed: Listed, rows: Sequence[Any], place: Place, names: Sequence[str]) -> Place | None:
    """Return where the sweep goes on: behind a full page in the same list, else in the next list, else nowhere."""
    if len(rows) >= listed.per_page:
        last = _id_of(rows[-1])
        if not last or last == place.last:
            raise Unavailable(f"Razorpay's list of {listed.name} does not go on after {place.skip}")
        return Place(listed=listed.name, until=place.until, skip=place.skip + len(rows), last=last)
    following = names[names.index(listed.name) + 1 :] if listed.name in names else ()
    return Place(listed=following[0], until=place.until) if following else None


async def _movements(
    http: ClientSession, account: Account, listed: Listed, row: Any, gate: asyncio.Semaphore
) -> Sequence[RevenueEvent]:
    """Return what a row reports; raise `Malformed` with its id for an unreadable one: no hidden gaps."""
    try:
        async with gate:
            entity = row if isinstance(row, dict) else {}
            found = await answered(http, account, listed.read({listed.entity: entity}))
    except Malformed as error:
        raise Malformed(f"{listed.entity} {_id_of(row)!r} in Razorpay's list: {error}") from error
    return [] if isinstance(found, Ignored) else found


def _id_of(row: Any) -> str:
    name = row.get("id") if isinstance(row, dict) else None
    return name if isinstance(name, str) and ID.fullmatch(name) else ""
