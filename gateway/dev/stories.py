"""The shop's pages about sales: thank you, the list, and the whole story of one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from gateway.dev.forwarding import order_cookie, with_way_back
from gateway.dev.shop import SHOP, render
from gateway.flows.trace import Story, trace
from gateway.store.pool import Database

SHOWN = 100
"""Sales on the page, the latest first."""

TONES = {
    "attributed": "good",
    "unattributed": "warn",
    "pending": "quiet",
    "held": "warn",
    "not_revenue": "quiet",
    "skipped": "quiet",
    "unknown": "bad",
    "rejected": "bad",
    "dead": "bad",
}
"""Colours of the verdicts."""

STATUS_TONES = {"recorded": "good", "already_recorded": "good", "recorded_assumed": "good", "unattributed": "warn"} | {
    "rejected": "bad",
    "dead": "bad",
    "held": "warn",
    "booked": "good",
    "unreadable": "bad",
}
"""Colours of the statuses of deliveries and the outcomes of webhooks; others are quiet."""


async def tell(request: web.Request, query: str) -> Story:
    """Return what the gateway knows of an id of this shop's site."""
    shop = request.app[SHOP]
    return await trace(shop.database, [shop.site.name], query)


async def thanks_page(request: web.Request) -> web.Response:
    """Show how far the sale has come; the page looks again until it has arrived."""
    shop = request.app[SHOP]
    order = request.query.get("order") or request.cookies.get(order_cookie(shop.site.name), "")
    if not order:
        raise web.HTTPSeeOther("/")
    story = await tell(request, order)
    if story.checkout is None:
        return render(request, "unknown_order.html", 404, order=order)
    return render(
        request,
        "thanks.html",
        order=order,
        provider=shop.title_of(story.checkout["connection"]),
        attributed=any(story.checkout["attribution"].values()),
        checkout_url=await _checkout_url(request, order),
        **progress(story),
    )


def progress(story: Story) -> Mapping[str, Any]:
    """Return how far a sale has come: `paid` once it is booked, `arrived` once its delivery moves no more."""
    sale = story.revenue[0] if story.revenue else None
    arrived = sale is not None and story.verdict.word not in ("pending", "held")
    return {
        "sale": sale,
        "webhooks": len(story.webhooks),
        "arrived": arrived,
        "recorded": arrived and any(delivery["recorded_at"] for delivery in story.deliveries),
        "verdict": story.verdict,
        "tone": TONES[story.verdict.word],
    }


async def _checkout_url(request: web.Request, order: str) -> str | None:
    """Return where the buyer paid, and can ask for the money back."""
    shop = request.app[SHOP]
    async with shop.database.reading() as connection:
        url: str | None = await connection.fetchval(
            "SELECT url FROM checkouts WHERE site = $1 AND order_id = $2", shop.site.name, order
        )
    return url and with_way_back(url, shop.address, order)


async def look_up(request: web.Request) -> web.Response:
    """Lead from the search field to the story."""
    name = request.query.get("id", "").strip()
    raise web.HTTPSeeOther(f"/trace/{quote(name, safe='')}" if name else "/sales")


async def trace_page(request: web.Request) -> web.Response:
    """Show the verdict, then everything that led to it."""
    story = await tell(request, request.match_info["id"])
    status = 404 if story.verdict.word == "unknown" else 200
    unpaid = story.checkout is not None and not story.revenue
    return render(
        request,
        "trace.html",
        status,
        story=story,
        tone=TONES[story.verdict.word],
        tones=STATUS_TONES,
        moving=unpaid or story.verdict.word == "pending",
    )


RECENT = """
SELECT checkouts.order_id, checkouts.connection, checkouts.created_at, checkouts.visitor_id,
       ledger.amount_minor, ledger.currency, outbox.status, outbox.reason
FROM checkouts
LEFT JOIN ledger ON ledger.site = checkouts.site AND ledger.order_id = checkouts.order_id AND ledger.carries_order
LEFT JOIN outbox ON outbox.site = ledger.site AND outbox.connection = ledger.connection
                AND outbox.revenue_key = ledger.revenue_key
WHERE checkouts.site = $1 ORDER BY checkouts.created_at DESC LIMIT $2
"""


async def sales_page(request: web.Request) -> web.Response:
    """List the shop's checkouts with what became of them."""
    shop = request.app[SHOP]
    rows = await recent(shop.database, shop.site.name)
    sales = [
        {**row, "provider": shop.title_of(row["connection"]), "at": _day_and_time(row["created_at"])} for row in rows
    ]
    return render(request, "sales.html", sales=sales, tones=STATUS_TONES)


async def recent(database: Database, site: str) -> list[dict[str, Any]]:
    """Return the latest checkouts of a site, each with its first sale."""
    async with database.reading() as connection:
        return [dict(row) for row in await connection.fetch(RECENT, site, SHOWN)]


def _day_and_time(moment: datetime) -> str:
    return f"{moment:%d %b %H:%M:%S}"
