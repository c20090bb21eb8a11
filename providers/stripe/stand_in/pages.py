"""The buyer's page, rendered on the server; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from gateway.sdk.stand_in import NotPossible, Pages, web_address
from providers.stripe.money import money, share
from providers.stripe.stand_in import actions
from providers.stripe.stand_in.objects import Entity
from providers.stripe.stand_in.state import SELLER, STORIES
from providers.stripe.stand_in.stories import Stories

PAGES = Pages(
    "Stripe",
    Path(__file__).parent / "templates",
    (("event", "event_type", "event_id"), ("object", "object_status", "object_id")),
)

BUTTONS: Mapping[str, Callable[[Stories, Entity], None]] = {
    "pay": actions.pay,
    "later": actions.pay_later,
    "decline": actions.decline,
    "refund": lambda stories, sale: actions.refund(stories, sale["id"]),
}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/c/pay/{id}", checkout_page),
        web.post("/c/pay/{id}/{action:pay|later|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    sale = request.app[SELLER].sessions.get(request.match_info["id"])
    if sale is None:
        return PAGES.missing("checkout", request.match_info["id"])
    shop = web_address(request.query.get("return_to"))
    if shop:
        request.app[SELLER].return_to[sale["id"]] = shop
    return PAGES.answer("checkout.html", title="Checkout", **_shown(request, sale))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    sale = request.app[SELLER].sessions.get(request.match_info["id"])
    if sale is None:
        return PAGES.missing("checkout", request.match_info["id"])
    try:
        BUTTONS[request.match_info["action"]](request.app[STORIES], sale)
    except NotPossible as error:
        return PAGES.answer("checkout.html", 409, title="Checkout", **_shown(request, sale, str(error)))
    raise web.HTTPSeeOther(URL(f"{request.app[SELLER].address}/c/pay/{sale['id']}"))


def _back(request: web.Request, sale: Entity) -> str | None:
    """Return the way back: `return_to` of the page or the setting, else the session's own success_url."""
    seller = request.app[SELLER]
    own = str(sale["success_url"] or "").replace("{CHECKOUT_SESSION_ID}", sale["id"])
    return seller.return_to.get(sale["id"]) or seller.settings.return_to or web_address(own)


def _shown(request: web.Request, sale: Entity, problem: str | None = None) -> dict[str, Any]:
    seller, currency = request.app[SELLER], sale["currency"]
    payment = seller.payment_of(sale)
    refunds = payment.refunds if payment else []
    busy = sale["id"] in seller.paying or any(refund["status"] == "pending" for refund in refunds)
    return {
        "address": seller.address,
        "sale": sale,
        "refresh": busy,
        "paid": sale["status"] == "complete" and sale["payment_status"] != "unpaid",
        "declined": sale["id"] in seller.declined and sale["status"] == "open" and not busy,
        "problem": problem,
        "lines": [
            (item.price.name, item.quantity, str(money(item.total, currency))) for item in seller.items[sale["id"]]
        ],
        "total": str(money(sale["amount_total"], currency)),
        "tax": str(share(sale["total_details"]["amount_tax"], 1, 1, currency)),
        "left": str(money(payment.left, currency)) if payment and payment.left else None,
        "refunds": [(refund["status"], str(money(refund["amount"], currency))) for refund in refunds],
        "dispute": payment.dispute["status"].replace("_", " ") if payment and payment.dispute else None,
        "back": _back(request, sale),
    }
