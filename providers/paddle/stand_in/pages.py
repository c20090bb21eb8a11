"""The buyer's page, rendered on the server; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from gateway.sdk import Money
from gateway.sdk.stand_in import NotPossible, Pages, web_address
from providers.paddle.stand_in import actions
from providers.paddle.stand_in.objects import Entity
from providers.paddle.stand_in.state import SELLER, STORIES
from providers.paddle.stand_in.stories import Stories

PAGES = Pages(
    "Paddle",
    Path(__file__).parent / "templates",
    (("event", "event_type", "event_id"), ("entity", "entity_status", "entity_id")),
)

BUTTONS: Mapping[str, Callable[[Stories, Entity], object]] = {
    "pay": actions.pay,
    "decline": actions.decline,
    "refund": actions.refund,
}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/checkout", checkout_page),
        web.post("/checkout/{id}/{action:pay|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    name = request.query.get("_ptxn", "")
    sale = request.app[SELLER].transactions.get(name)
    if sale is None:
        return PAGES.missing("checkout", name)
    _remember_shop(request, name)
    return PAGES.answer("checkout.html", title="Checkout", refresh=_is_moving(request, sale), **_shown(request, sale))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    stories = request.app[STORIES]
    try:
        sale = actions.sale_of(stories, request.match_info["id"])
    except NotPossible:
        return PAGES.missing("checkout", request.match_info["id"])
    try:
        BUTTONS[request.match_info["action"]](stories, sale)
    except NotPossible as error:
        return PAGES.answer("checkout.html", 409, title="Checkout", refresh=False, **_shown(request, sale, str(error)))
    back = URL(f"{request.app[SELLER].address}/checkout").with_query({"_ptxn": sale["id"]})
    raise web.HTTPSeeOther(back)


def _remember_shop(request: web.Request, name: str) -> None:
    """Note where the buyer came from: `return_to` in the query, the setting, else the origin of the page before."""
    seller = request.app[SELLER]
    referer = web_address(request.headers.get("Referer"))
    came_from = str(URL(referer).origin()) if referer else None
    own = str(URL(seller.address).origin())
    shop = web_address(request.query.get("return_to")) or seller.settings.return_to
    if shop or (came_from and came_from != own and name not in seller.return_to):
        seller.return_to[name] = shop or came_from or ""


def _is_moving(request: web.Request, sale: Entity) -> bool:
    """Say whether the page will look different in a moment."""
    seller = request.app[SELLER]
    pending = any(
        entity["transaction_id"] == sale["id"] and entity["status"] == "pending_approval"
        for entity in seller.adjustments.values()
    )
    return sale["status"] == "paid" or sale["id"] in seller.paying or pending


def _shown(request: web.Request, sale: Entity, problem: str | None = None) -> dict[str, Any]:
    seller = request.app[SELLER]
    currency = sale["currency_code"]
    adjustments = [entity for entity in seller.adjustments.values() if entity["transaction_id"] == sale["id"]]
    return {
        "address": seller.address,
        "sale": sale,
        "busy": sale["id"] in seller.paying,
        "declined": sale["status"] == "ready" and bool(sale["payments"]),
        "problem": problem,
        "lines": [
            (item["price"]["name"], item["quantity"], _price(item["price"]["unit_price"], item["quantity"]))
            for item in sale["items"]
        ],
        "total": str(Money(int(sale["details"]["totals"]["grand_total"]), currency)),
        "tax": str(Money(int(sale["details"]["totals"]["tax"]), currency)),
        "left": str(Money(seller.refundable(sale["id"]), currency)) if seller.refundable(sale["id"]) else None,
        "adjustments": [
            (entity["action"].replace("_", " "), entity["status"].replace("_", " "), _total(entity))
            for entity in adjustments
        ],
        "return_to": seller.return_to.get(sale["id"]),
    }


def _price(unit: Entity, quantity: int) -> str:
    return str(Money(int(unit["amount"]) * quantity, unit["currency_code"]))


def _total(entity: Entity) -> str:
    return str(Money(int(entity["totals"]["total"]), entity["currency_code"]))
