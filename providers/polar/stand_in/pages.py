"""The buyer's page and the list of deliveries, rendered on the server; they work without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from yarl import URL

from providers.polar.money import nearest
from providers.polar.stand_in.seller import NotPossible
from providers.polar.stand_in.state import DELIVERIES, SELLER, STORIES
from providers.polar.stand_in.wire import Entity

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

SHOWN = 200
"""The latest webhooks on the page; `/stand-in/deliveries.json` has all."""

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/", deliveries_page),
        web.get("/checkout/{secret}", checkout_page),
        web.get("/checkout/{secret}/confirmation", checkout_page),
        web.post("/checkout/{secret}/{action:pay|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    try:
        checkout = request.app[SELLER].checkout(request.match_info["secret"])
    except NotPossible:
        return _missing()
    back = web_address(request.query.get("return_to"))
    if back:
        request.app[SELLER].return_to[checkout["id"]] = back
    return _page("checkout.html", title="Checkout", **_shown(request, checkout))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    seller, stories = request.app[SELLER], request.app[STORIES]
    try:
        checkout = seller.checkout(request.match_info["secret"])
    except NotPossible:
        return _missing()
    action = request.match_info["action"]
    try:
        if action == "refund":
            stories.refund(seller.order_of(checkout["id"]))
        else:
            stories.pay(checkout, decline=action == "decline")
    except NotPossible as error:
        return _page("checkout.html", 409, title="Checkout", **_shown(request, checkout, str(error)))
    raise web.HTTPSeeOther(URL(checkout["url"]))


async def deliveries_page(request: web.Request) -> web.Response:
    """Show the webhooks, newest first."""
    rows = [webhook.shown() for webhook in request.app[DELIVERIES].webhooks[-SHOWN:]]
    enabled = request.app[SELLER].settings.enabled
    return _page(
        "deliveries.html",
        title="Deliveries",
        rows=rows[::-1],
        target=request.app[DELIVERIES].target,
        enabled=enabled,
        address=request.app[SELLER].address,
    )


def web_address(text: str | None) -> str | None:
    """Return `text` if it is a whole http or https address: only such things become links."""
    try:
        usable = text is not None and URL(text).scheme in ("http", "https") and bool(URL(text).host)
    except ValueError:
        usable = False
    return text if usable else None


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


def _missing() -> web.Response:
    return _page("missing.html", 404, title="No such checkout")


def _page(template: str, status: int = 200, /, **values: Any) -> web.Response:
    text = TEMPLATES.get_template(template).render(**{"refresh": False, **values})
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
