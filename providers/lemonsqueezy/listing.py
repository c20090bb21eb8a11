"""
Lemon Squeezy's own lists: `GET /v1/orders`, then `GET /v1/subscription-invoices`, newest first.

There is no date filter, so pages are read until all of one is older than `since` by the days in which refunds are
looked for (https://docs.lemonsqueezy.com/api/orders/list-all-orders). A row counts if it was made or changed since
then: `updated_at` moves with a refund. Pages have numbers; a sale made meanwhile pushes rows to a later page, where
they come a second time, and a row is never missed.

API objects have no custom data, so the webhook, which has it, must go first: sales younger than the settling time are
left to the next sweep. Cursors are `<list>:<page>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from gateway.sdk import Ignored, Malformed, Page, Rejected, RevenueEvent, Unavailable, server_time, time_of
from providers.lemonsqueezy.api import LEMON_SQUEEZY, Account, call
from providers.lemonsqueezy.events import has_refunds, order_wanted, read_refunds, read_sale
from providers.lemonsqueezy.lookup import order_of

PER_PAGE = 100
"""The largest page (https://docs.lemonsqueezy.com/api/getting-started/requests#pagination)."""

LISTS = ("orders", "subscription-invoices")

MAX_PAGE_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep looks for: rows made or changed since, made after `reach`, sales made before `settled`."""

    since: datetime
    reach: datetime
    settled: datetime


def sweep(since: datetime, now: datetime, refund_days: int, settling_minutes: int) -> Sweep:
    """Return what a sweep that begins at `since` looks for; `since` may be any time, also before the first year."""
    try:
        reach = since - timedelta(days=refund_days)
    except OverflowError:
        reach = datetime.min.replace(tzinfo=UTC)
    return Sweep(since=since, reach=reach, settled=now - timedelta(minutes=settling_minutes))


async def list_revenue(http: ClientSession, account: Account, wanted: Sweep, cursor: str | None) -> Page:
    """Return the page of movements that `cursor` names."""
    name, number = place_of(cursor)
    found = LEMON_SQUEEZY.content(await call(http, account, "GET", f"/v1/{name}", query=page_query(account, number)))
    rows = rows_of(found, name)
    events: list[RevenueEvent] = []
    for row in rows:
        if is_wanted(row, wanted):
            subscription = order_wanted(row) if name == "subscription-invoices" else None
            order = await order_of(http, account, subscription) if subscription else None
            events += movements(row, wanted, order)
    return Page(events=events, next_cursor=next_cursor(name, number, found, rows, wanted))


async def probe(http: ClientSession, account: Account) -> datetime | None:
    """Return Lemon Squeezy's clock once the key has proven its mode and that it knows the store."""
    found = LEMON_SQUEEZY.content(await call(http, account, "GET", "/v1/users/me"))
    meta = found.get("meta")
    test_mode = meta.get("test_mode") if isinstance(meta, dict) else None
    if isinstance(test_mode, bool) and test_mode is not account.sandbox:
        mode, environment = ("test", "live") if test_mode else ("live", "sandbox")
        raise Rejected(f"api_key is of {mode} mode, but environment is {environment}: make a key in that mode")
    answer = await call(http, account, "GET", f"/v1/stores/{account.store_id}")
    LEMON_SQUEEZY.content(answer)
    return server_time(answer)


def place_of(cursor: str | None) -> tuple[str, int]:
    """Return the list and the page that a cursor names; raise `Malformed` for one that is not ours."""
    name, _, number = (cursor or f"{LISTS[0]}:1").partition(":")
    usable = number.isascii() and number.isdigit() and 0 < len(number) <= MAX_PAGE_DIGITS
    if name not in LISTS or not usable or int(number) == 0:
        raise Malformed("the cursor is not one of Lemon Squeezy's lists: begin the sweep again")
    return name, int(number)


def page_query(account: Account, number: int) -> Mapping[str, str]:
    """Return the query of one page of the store."""
    return {"filter[store_id]": account.store_id, "page[number]": str(number), "page[size]": str(PER_PAGE)}


def rows_of(found: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the resources of a page; raise `Unavailable` where there is no list of them."""
    rows = found.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("type") == name for row in rows):
        raise Unavailable(f"Lemon Squeezy answered without a list of {name}")
    return rows


def is_wanted(row: Mapping[str, Any], wanted: Sweep) -> bool:
    """Say whether a row was made or changed since; raise `Malformed` for one without times."""
    return max(_time(row, "created_at"), _time(row, "updated_at")) >= wanted.since


def movements(row: Mapping[str, Any], wanted: Sweep, order_id: str | None) -> Sequence[RevenueEvent]:
    """Return the sale and the refunds of a row; raise `Malformed` with its id for an unreadable one: no hidden gaps."""
    if _time(row, "created_at") > wanted.settled:
        return []
    try:
        sale = read_sale(row)
        refunds = read_refunds(row, order_id=order_id) if has_refunds(row) else []
    except Malformed as error:
        raise _unreadable(row, error) from error
    return [event for found in (sale, refunds) if not isinstance(found, Ignored) for event in found]


def next_cursor(
    name: str, number: int, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], wanted: Sweep
) -> str | None:
    """Return where the sweep goes on: the next page, the other list, or nowhere."""
    if _last_page(found) > number and any(_time(row, "created_at") >= wanted.reach for row in rows):
        return f"{name}:{number + 1}"
    return f"{LISTS[1]}:1" if name == LISTS[0] else None


def _last_page(found: Mapping[str, Any]) -> int:
    meta = found.get("meta")
    page = meta.get("page") if isinstance(meta, dict) else None
    last = page.get("lastPage") if isinstance(page, dict) else None
    if type(last) is not int:
        raise Unavailable("Lemon Squeezy's list does not say whether there is more")
    return last


def _time(row: Mapping[str, Any], name: str) -> datetime:
    attributes = row.get("attributes")
    try:
        return time_of(attributes.get(name) if isinstance(attributes, dict) else None, name)
    except Malformed as error:
        raise _unreadable(row, error) from error


def _unreadable(row: Mapping[str, Any], error: Malformed) -> Malformed:
    return Malformed(f"{row.get('type')} {str(row.get('id'))[:64]!r} in Lemon Squeezy's list: {error}")
