"""
Paddle's own list of what happened: `GET /events` (https://developer.paddle.com/api-reference/events/list-events).

The list holds the envelopes of the webhooks of the last 90 days, so a sweep gives the keys that webhooks give. Of the
pagination only the cursor is used, never the host in `next`: the API key goes nowhere but to the configured address.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from gateway.sdk import Answer, Ignored, Malformed, Page, RevenueEvent, Unavailable, server_time
from providers.paddle.api import PADDLE, Account, call
from providers.paddle.events import ADJUSTMENT_EVENTS, read

PATH = "/events"

PER_PAGE = 200
"""The largest page that Paddle gives."""

MONEY_EVENTS = (*sorted(ADJUSTMENT_EVENTS), "transaction.completed", "transaction.revised", "transaction.updated")
"""The event types that can report money; a comma list since https://developer.paddle.com/changelog/2025/filter-events-by-type."""


async def list_revenue(http: ClientSession, account: Account, since: datetime, cursor: str | None) -> Page:
    """Return the page of movements after `cursor`, from `since` on."""
    return page_of(await call(http, account, "GET", PATH, query=page_query(since, cursor)), cursor)


async def probe(http: ClientSession, account: Account) -> datetime | None:
    """Return Paddle's clock once the key has proven that it may read transactions and events."""
    PADDLE.content(await call(http, account, "GET", "/transactions", query={"per_page": "1"}))
    answer = await call(http, account, "GET", PATH, query={"per_page": "1"})
    PADDLE.content(answer)
    return server_time(answer)


def page_query(since: datetime, cursor: str | None) -> Mapping[str, str]:
    """Return the query of one page. The filters are repeated on every page, as in Paddle's own `next` links."""
    query = {
        "per_page": str(PER_PAGE),
        "order_by": "id[ASC]",
        "event_type": ",".join(MONEY_EVENTS),
        "from": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    return query if cursor is None else {**query, "after": cursor}


def page_of(answer: Answer, cursor: str | None) -> Page:
    """Return what one answer holds; raise `Malformed` for an unreadable event: no hidden gaps."""
    found = PADDLE.content(answer)
    envelopes = found.get("data")
    if not isinstance(envelopes, list):
        raise Unavailable("Paddle answered without a list of events")
    events = [event for envelope in envelopes for event in _movements(envelope)]
    return Page(events=events, next_cursor=_next_cursor(found.get("meta"), envelopes, cursor))


def _movements(envelope: Any) -> list[RevenueEvent]:
    try:
        found = read(envelope)
    except Malformed as error:
        name = envelope.get("event_id") if isinstance(envelope, dict) else None
        raise Malformed(f"event {str(name)[:64]!r} in Paddle's list: {error}") from error
    return [] if isinstance(found, Ignored) else list(found)


def _next_cursor(meta: Any, envelopes: list[Any], cursor: str | None) -> str | None:
    """Return the cursor of the next page; `next` is there on the last page too, so only `has_more` decides."""
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict) or not isinstance(pagination.get("has_more"), bool):
        raise Unavailable("Paddle's list does not say whether there is more")
    if not pagination["has_more"]:
        return None
    after = _after(pagination.get("next")) or _last_id(envelopes)
    if not after or after == cursor:
        raise Unavailable("Paddle's list says that there is more, but not where it goes on")
    return after


def _after(link: Any) -> str | None:
    try:
        return URL(link).query.get("after") if isinstance(link, str) else None
    except ValueError:
        return None


def _last_id(envelopes: list[Any]) -> str | None:
    name = envelopes[-1].get("event_id") if envelopes and isinstance(envelopes[-1], dict) else None
    return name if isinstance(name, str) else None
