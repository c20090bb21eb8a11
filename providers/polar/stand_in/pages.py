"""The buyer's page, rendered on the server; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from gateway.sdk.stand_in import NotPossible, Pages, web_address
from providers.polar.money import nearest
from providers.polar.stand_in.state import SELLER, STORIES
from providers.polar.stand_in.wire import Entity

PAGES = Pages(
    "Polar",
    Path(__file__).parent / "templates",
    (("event", "event_type", "event_id"), ("object", "entity_status", "entity_id")),
)


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/checkout/{secret}", checkout_page),
        web.get("/checkout/{secret}/confirmation", checkout_page),
        web.post("/checkout/{secret}/{action:pay|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    try:
        checkout = request.app[SELLER].checkout(request.match_info["secret"])
    except NotPossible:
        return PAGES.missing("checkout")
    back = web_address(request.query.get("return_to"))
    if back:
        request.app[SELLER].return_to[checkout["id"]] = back
    return PAGES.answer("checkout.html", title="Checkout", **_shown(request, checkout))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    seller, stories = request.app[SELLER], request.app[STORIES]
    try:
        checkout = seller.checkout(request.match_info["secret"])
    except NotPossible:
        return PAGES.missing("checkout")
    action = request.match_info["action"]
    try:
        if action == "refund":
            stories.refund(seller.order_of(checkout["id"]))
        else:
            stories.pay(checkout, decline=action == "decline")
    except NotPossible as error:
        return PAGES.answer("checkout.html", 409, title="Checkout", **_shown(request, checkout, str(error)))
    raise web.HTTPSeeOther(URL(checkout["url"]))


def _shown(request: web.Request, checkout: Entity, problem: str | None = None) -> dict[str, Any]:
    seller = request.app[SELLER]
    currency, sale = checkout["currency"].upper(), seller.paid_by(checkout["id"])
    busy = checkout["id"] in seller.paying
    left = seller.refundable(sale["id"]) if sale else 0
    back = seller.return_to.get(checkout["id"]) or seller.settings.return_to
    shop = back or web_address(checkout["success_url"] if sale else checkout["return_url"])
    refunds = [entity for entity in seller.refunds.values() if sale and entity["order_id"] == sale["id"]]
    return {
        "checkout": checkout,
        "sale": sale,
        "busy": busy,
        "refresh": busy or any(entity["status"] == "pending" for entity in refunds),
        "declined": checkout["id"] in seller.declined and not busy and not sale,
        "problem": problem,
        "name": checkout["products"][0]["name"],
        "quantity": checkout["seats"] or checkout["units"] or 1,
        "total": str(nearest(checkout["total_amount"], currency)),
        "tax": str(nearest(checkout["tax_amount"], currency)),
        "left": str(nearest(left, currency)) if left else None,
        "refunds": [
            (entity["status"], str(nearest(entity["amount"] + entity["tax_amount"], currency))) for entity in refunds
        ],
        "shop": None if shop and shop.startswith(checkout["url"]) else shop,
        "address": seller.address,
    }
