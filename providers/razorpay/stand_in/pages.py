"""The buyer's page, rendered on the server; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from gateway.sdk import Money
from gateway.sdk.stand_in import NotPossible, Pages, web_address
from providers.razorpay.stand_in.objects import Entity
from providers.razorpay.stand_in.seller import Seller
from providers.razorpay.stand_in.state import SELLER, STORIES
from providers.razorpay.stand_in.stories import Stories

PAGES = Pages("Razorpay", Path(__file__).parent / "templates", (("event", "event", "event_id"),))

BUTTONS: Mapping[str, Callable[[Stories, Entity], object]] = {
    "pay": lambda stories, link: stories.pay(link),
    "decline": lambda stories, link: stories.decline(link),
    "refund": lambda stories, link: stories.refund(stories.seller.payment(link["id"])),
}


def routes() -> Sequence[web.RouteDef]:
    """Return what people look at."""
    return [
        web.get("/pay/{id}", payment_page),
        web.post("/pay/{id}/{action:pay|decline|refund}", act),
    ]


async def payment_page(request: web.Request) -> web.Response:
    """Show what is to be paid, or how it ended."""
    seller, name = request.app[SELLER], request.match_info["id"]
    if name not in seller.links:
        return PAGES.missing("payment link", name)
    shop = web_address(request.query.get("return_to")) or seller.settings.return_to
    if shop:
        seller.return_to[name] = shop
    return PAGES.answer("checkout.html", title="Payment", **_shown(seller, seller.links[name]), problem=None)


async def act(request: web.Request) -> web.Response:
    """Do what the button says and come back to the page."""
    seller, name = request.app[SELLER], request.match_info["id"]
    if name not in seller.links:
        return PAGES.missing("payment link", name)
    try:
        BUTTONS[request.match_info["action"]](request.app[STORIES], seller.links[name])
    except NotPossible as error:
        return PAGES.answer(
            "checkout.html", 409, title="Payment", **_shown(seller, seller.links[name]), problem=str(error)
        )
    raise web.HTTPSeeOther(f"{seller.address}/pay/{name}")


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
