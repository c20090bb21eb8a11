"""
Levers for tests and demonstrations, all JSON: `POST /stand-in/<lever>`, listed in the README of the plugin.

They are no part of Polar's API and need no token: the stand-in serves one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sdk import Malformed, Money
from providers.polar.money import units
from providers.polar.stand_in.objects import Product
from providers.polar.stand_in.pages import web_address
from providers.polar.stand_in.seller import Failure, NotPossible
from providers.polar.stand_in.state import DELIVERIES, SELLER, STORIES


class Lever(BaseModel):
    """What a lever takes; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


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


class Fail(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    how: Failure = "unsent"


class FailApi(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    status: int = Field(default=503, ge=400, le=599)


class ProductOf(Lever):
    id: str = Field(min_length=1)
    amount: int = Field(ge=0)
    currency: str
    name: str = "Pro plan"
    recurring: bool = True


class Change(Lever):
    scale: float | None = Field(default=None, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, le=60)
    return_to: str | None = None
    enabled: bool | None = None
    products: list[ProductOf] = []


def routes() -> Sequence[web.RouteDef]:
    """Return the levers and what shows their effect."""
    posts = [web.post(f"/stand-in/{name}", _lever(model, action)) for name, (model, action) in LEVERS.items()]
    return [
        *posts,
        web.post("/stand-in/settle", settle),
        web.get("/stand-in/deliveries.json", deliveries),
        web.get("/stand-in/state.json", state),
    ]


async def settle(request: web.Request) -> web.Response:
    """Answer when everything begun has ended, retries included."""
    await request.app[DELIVERIES].settled()
    return web.json_response({"settled": True})


async def deliveries(request: web.Request) -> web.Response:
    """List every webhook with its attempts, oldest first."""
    return web.json_response([webhook.shown() for webhook in request.app[DELIVERIES].webhooks])


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
    found = next((webhook for webhook in queue.webhooks if webhook.id == what.event_id), None)
    if found is None:
        raise NotPossible("there is no such event")
    for _ in range(what.times):
        queue.start(queue.again(found))
    return {"times": what.times}


def _fail(app: web.Application, what: Fail) -> Mapping[str, Any]:
    app[SELLER].settings.failures[:] = [what.how] * what.next
    return {}


def _fail_api(app: web.Application, what: FailApi) -> Mapping[str, Any]:
    app[SELLER].settings.api_failures[:] = [what.status] * what.next
    return {}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    seller = app[SELLER]
    if what.return_to is not None and web_address(what.return_to) is None:
        raise NotPossible("return_to must be an http or https address")
    try:
        products = [_product(product) for product in what.products]
    except Malformed as error:
        raise NotPossible(str(error)) from None
    seller.products.update({product.id: product for product in products})
    given = what.model_dump(exclude={"products"}, exclude_none=True)
    for name, value in given.items():
        setattr(seller.settings, name, value)
    return given


def _product(given: ProductOf) -> Product:
    worth = Money(given.amount, given.currency)
    return Product(
        id=given.id, amount=units(worth), currency=worth.currency, name=given.name, recurring=given.recurring
    )


LEVERS: Mapping[str, tuple[type[Any], Callable[[web.Application, Any], Mapping[str, Any]]]] = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "renew": (Renew, _renew),
    "redeliver": (Redeliver, _redeliver),
    "fail": (Fail, _fail),
    "fail-api": (FailApi, _fail_api),
    "settings": (Change, _change),
}


def _lever(model: type[Any], action: Callable[[web.Application, Any], Mapping[str, Any]]) -> Any:
    async def pull(request: web.Request) -> web.Response:
        try:
            return web.json_response({**action(request.app, model.model_validate_json(await request.read() or b"{}"))})
        except ValidationError as error:
            problems = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
            return web.Response(status=400, body=orjson.dumps({"errors": problems}), content_type="application/json")
        except NotPossible as error:
            return web.json_response({"errors": [{"message": str(error)}]}, status=409)

    return pull
