"""The buyer's page and the list of webhooks, rendered on the server; they work without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from yarl import URL

from gateway.sdk import Money
from providers.razorpay.stand_in.objects import Entity
from providers.razorpay.stand_in.seller import NotPossible, Seller
from providers.razorpay.stand_in.state import DELIVERIES, SELLER, STORIES
from providers.razorpay.stand_in.stories import Stories

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

SHOWN = 200
"""The latest webhooks on the page; `/stand-in/deliveries.json` has all."""

BUTTONS: Mapping[str, Callable[[Stories, Entity], object]] = {
    "pay": lambda stories, link: stories.pay(link),
    "decline": lambda stories, link: stories.decline(link),
    "refund": lambda stories, link: stories.refund(stories.seller.payment(link["id"])),
}

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/", deliveries_page),
        web.get("/stand-in/deliveries", deliveries_page),
        web.get("/pay/{id}", payment_page),
        web.post("/pay/{id}/{action:pay|decline|refund}", act),
    ]


async def payment_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    seller, name = request.app[SELLER], request.match_info["id"]
    if name not in seller.links:
        return _page("missing.html", 404, title="No such payment link", name=name)
    shop = web_address(request.query.get("return_to")) or seller.settings.return_to
    if shop:
        seller.return_to[name] = shop
    return _page("checkout.html", title="Payment", **_shown(seller, seller.links[name]), problem=None)


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    seller, name = request.app[SELLER], request.match_info["id"]
    if name not in seller.links:
        return _page("missing.html", 404, title="No such payment link", name=name)
    try:
        BUTTONS[request.match_info["action"]](request.app[STORIES], seller.links[name])
    except NotPossible as error:
        return _page("checkout.html", 409, title="Payment", **_shown(seller, seller.links[name]), problem=str(error))
    raise web.HTTPSeeOther(f"{seller.address}/pay/{name}")


async def deliveries_page(request: web.Request) -> web.Response:
    """Show the webhooks, newest first."""
    deliveries = request.app[DELIVERIES]
    rows = [sending.shown() for sending in deliveries.sendings[-SHOWN:]]
    return _page("deliveries.html", title="Webhooks", rows=rows[::-1], target=deliveries.target)


def web_address(text: str | None) -> str | None:
    """Return `text` if it is a whole http or https address: only such things become links."""
    try:
        is_usable = text is not None and URL(text).scheme in ("http", "https") and bool(URL(text).host)
    except ValueError:
        is_usable = False
    return text if is_usable else None


def _shown(seller: Seller, link: Entity) -> dict[str, Any]:
    paid = seller.payments.get(link["payments"][-1]["payment_id"]) if link["payments"] else None
    back = paid["amount_refunded"] if paid else 0
    currency = link["currency"]
    return {
        "address": seller.address,
        "link": link,
        "total": str(Money(link["amount"], currency)),
        "refunded": str(Money(back, currency)) if back else None,
        "left": str(Money(paid["amount"] - back, currency)) if paid and paid["amount"] > back else None,
        "return_to": seller.return_to.get(link["id"]) or _callback(link, paid),
    }


def _callback(link: Entity, paid: Entity | None) -> str | None:
    """Return where Razorpay sends the buyer after paying; the signature that it adds is left out."""
    shop = web_address(link["callback_url"])
    if shop is None or paid is None:
        return None
    added = {
        "razorpay_payment_id": paid["id"],
        "razorpay_payment_link_id": link["id"],
        "razorpay_payment_link_reference_id": link["reference_id"],
        "razorpay_payment_link_status": link["status"],
    }
    return str(URL(shop).update_query(added))


def _page(template: str, status: int = 200, /, **values: Any) -> web.Response:
    text = TEMPLATES.get_template(template).render(**{"address": "", **values})
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
