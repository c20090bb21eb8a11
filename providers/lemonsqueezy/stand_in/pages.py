"""The buyer's page and the list of webhooks, rendered on the server; they work without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from yarl import URL

from gateway.sdk import Money
from providers.lemonsqueezy.stand_in.actions import Actions, NotPossible
from providers.lemonsqueezy.stand_in.state import ACTIONS, DELIVERIES, STORE
from providers.lemonsqueezy.stand_in.store import Sold

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

SHOWN = 200
"""The latest webhooks on the page; `/stand-in/deliveries.json` has all."""

BUTTONS: Mapping[str, Callable[[Actions, Sold], object]] = {
    "pay": Actions.pay,
    "decline": Actions.decline,
    "refund": Actions.refund,
}

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/", deliveries_page),
        web.get("/stand-in/deliveries", deliveries_page),
        web.get("/checkout/custom/{id}", checkout_page),
        web.post("/checkout/custom/{id}/{action:pay|decline|refund}", act),
    ]


async def checkout_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    try:
        sold = request.app[ACTIONS].sold(request.match_info["id"])
    except NotPossible:
        return _missing(request)
    return _page("checkout.html", title="Checkout", **_shown(request, sold))


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    actions = request.app[ACTIONS]
    try:
        sold = actions.sold(request.match_info["id"])
    except NotPossible:
        return _missing(request)
    try:
        BUTTONS[request.match_info["action"]](actions, sold)
    except NotPossible as error:
        return _page("checkout.html", 409, title="Checkout", **_shown(request, sold, str(error)))
    return_to = web_address(request.query.get("return_to"))
    page = URL(f"{request.app[STORE].address}/checkout/custom/{request.match_info['id']}")
    raise web.HTTPSeeOther(page.with_query({"return_to": return_to} if return_to else None))


async def deliveries_page(request: web.Request) -> web.Response:
    """Show the webhooks, newest first."""
    rows = [sent.shown() for sent in request.app[DELIVERIES].log[-SHOWN:]]
    return _page(
        "deliveries.html",
        title="Webhooks",
        rows=rows[::-1],
        address=request.app[STORE].address,
        target=request.app[DELIVERIES].target,
    )


def web_address(text: str | None) -> str | None:
    """Return an http or https address; None for anything that a link must not lead to."""
    try:
        url = URL(text or "")
    except ValueError:
        return None
    return str(url) if url.scheme in ("http", "https") and url.host else None


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


def _missing(request: web.Request) -> web.Response:
    return _page("missing.html", 404, title="No such checkout", checkout_id=request.match_info["id"])


def _page(template: str, status: int = 200, **values: Any) -> web.Response:
    text = TEMPLATES.get_template(template).render(**values)
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
