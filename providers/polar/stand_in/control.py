"""What the levers of this stand-in take and do; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import Field

from gateway.sdk import Money, stand_in
from gateway.sdk.stand_in import Lever, NotPossible
from providers.polar.money import units
from providers.polar.stand_in.objects import Product
from providers.polar.stand_in.state import DELIVERIES, SELLER, STORIES


class Pay(Lever):
    checkout_id: str | None = None
    order_id: str | None = None
    decline: bool = False


class Refund(Lever):
    order_id: str
    amount: int | None = Field(default=None, ge=1)
    pending: bool = False
    fail: bool = False


class Renew(Lever):
    subscription_id: str | None = None
    order_id: str | None = None
    decline: bool = False


class Redeliver(Lever):
    event_id: str
    times: int = Field(default=1, ge=1, le=1000)


class ProductOf(Lever):
    id: str = Field(min_length=1)
    amount: int = Field(ge=0)
    currency: str
    name: str = "Pro plan"
    recurring: bool = True


class Change(stand_in.Change):
    enabled: bool | None = None
    products: list[ProductOf] = Field(default_factory=list)


def routes() -> Sequence[web.RouteDef]:
    """Return what shows the effect of the levers."""
    return [web.get("/stand-in/state.json", state)]


async def state(request: web.Request) -> web.Response:
    """Show the objects as they are now."""
    seller = request.app[SELLER]
    parts = {"checkouts": seller.checkouts, "orders": seller.orders, "refunds": seller.refunds}
    return web.json_response({**parts, "subscriptions": seller.subscriptions, "enabled": seller.settings.enabled})


def _pay(app: web.Application, what: Pay) -> Mapping[str, Any]:
    if what.order_id is not None:
        app[STORIES].pay_late(app[SELLER].order(what.order_id))
    else:
        app[STORIES].pay(app[SELLER].checkout(what.checkout_id), decline=what.decline)
    return {}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    sale = app[SELLER].order(what.order_id)
    made = app[STORIES].refund(sale, what.amount, pending=what.pending, fail=what.fail)
    return {"refund_id": made["id"]}


def _renew(app: web.Application, what: Renew) -> Mapping[str, Any]:
    name = what.subscription_id
    if what.order_id is not None:
        name = app[SELLER].order(what.order_id)["subscription_id"]
    made = app[STORIES].renew(app[SELLER].subscription(name), decline=what.decline)
    return {"order_id": made["id"]}


def _redeliver(app: web.Application, what: Redeliver) -> Mapping[str, Any]:
    queue = app[DELIVERIES]
    found = next((webhook for webhook in queue.log if webhook.about["event_id"] == what.event_id), None)
    if found is None:
        raise NotPossible("there is no such event")
    for _ in range(what.times):
        queue.start(queue.again(found))
    return {"times": what.times}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    seller, products = app[SELLER], [_product(product) for product in what.products]
    given = stand_in.change(seller.settings, what, apart=["products"])
    seller.products.update({product.id: product for product in products})
    return given


def _product(given: ProductOf) -> Product:
    worth = Money(given.amount, given.currency)
    return Product(
        id=given.id, amount=units(worth), currency=worth.currency, name=given.name, recurring=given.recurring
    )


LEVERS: stand_in.Levers = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "renew": (Renew, _renew),
    "redeliver": (Redeliver, _redeliver),
    "settings": (Change, _change),
}
