"""The buyer's page, rendered on the server; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from gateway.sdk import Money
from gateway.sdk.stand_in import NotPossible, Pages, web_address
from providers.lemonsqueezy.stand_in.actions import Actions
from providers.lemonsqueezy.stand_in.state import ACTIONS, STORE
from providers.lemonsqueezy.stand_in.store import Sold

PAGES = Pages(
    "Lemon Squeezy",
    Path(__file__).parent / "templates",
    (("event", "event_name", None), ("resource", None, "resource")),
)

BUTTONS: Mapping[str, Callable[[Actions, Sold], object]] = {
    "pay": Actions.pay,
    "decline": Actions.decline,
    "refund": Actions.refund,
}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/checkout/custom/{id}", checkout_page),
        web.post("/checkout/custom/{id}/{action:pay|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    try:
        sold = request.app[ACTIONS].sold(request.match_info["id"])
    except NotPossible:
        return PAGES.missing("checkout", request.match_info["id"])
    return PAGES.answer("checkout.html", title="Checkout", **_shown(request, sold))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    actions = request.app[ACTIONS]
    try:
        sold = actions.sold(request.match_info["id"])
    except NotPossible:
        return PAGES.missing("checkout", request.match_info["id"])
    try:
        BUTTONS[request.match_info["action"]](actions, sold)
    except NotPossible as error:
        return PAGES.answer("checkout.html", 409, title="Checkout", **_shown(request, sold, str(error)))
    return_to = web_address(request.query.get("return_to"))
    page = URL(f"{request.app[STORE].address}/checkout/custom/{request.match_info['id']}")
    raise web.HTTPSeeOther(page.with_query({"return_to": return_to} if return_to else None))


def _shown(request: web.Request, sold: Sold, problem: str | None = None) -> Mapping[str, Any]:
    store, left = request.app[STORE], request.app[ACTIONS].left(sold)
    of = sold.order["attributes"] if sold.order else None
    price = Money(of["total"], of["currency"]) if of else store.price(sold)
    asked = web_address(request.query.get("return_to"))
    back = asked or web_address(sold.redirect_url) or web_address(store.settings.return_to)
    form = URL(f"{store.address}/checkout/custom/{sold.checkout['id']}")
    return {
        "action": {name: str((form / name).with_query({"return_to": asked} if asked else None)) for name in BUTTONS},
        "address": store.address,
        "sold": sold,
        "total": str(price),
        "tax": str(Money(price.minor // 6, price.currency)),
        "refunded": str(Money(of["refunded_amount"], price.currency)) if of and of["refunded_amount"] else None,
        "left": str(Money(left, price.currency)) if left else None,
        "return_to": back,
        "recurring": store.settings.recurring,
        "problem": problem,
    }
