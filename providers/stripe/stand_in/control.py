"""
Levers for tests and demonstrations, all JSON: `POST /stand-in/<lever>`, listed in the README of the plugin.

They are no part of Stripe's API and need no key: the stand-in serves one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sdk import Malformed
from providers.stripe.money import money
from providers.stripe.stand_in import actions
from providers.stripe.stand_in.actions import NotPossible
from providers.stripe.stand_in.invoices import Shape
from providers.stripe.stand_in.objects import Price
from providers.stripe.stand_in.pages import web_address
from providers.stripe.stand_in.seller import Failure
from providers.stripe.stand_in.state import DELIVERIES, SELLER, STORIES


class Lever(BaseModel):
    """What a lever takes; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Pay(Lever):
    session_id: str
    how: Literal["card", "decline", "later", "later_fails"] = "card"


class Refund(Lever):
    id: str
    amount: int | None = Field(default=None, ge=1)
    pending: bool = False
    fails: bool = False


class Dispute(Lever):
    id: str
    closed: Literal["won", "lost"] | None = None


class Renew(Lever):
    id: str


class Redeliver(Lever):
    event_id: str
    times: int = Field(default=1, ge=1, le=1000)


class Fail(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    how: Failure = "unsent"


class FailApi(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    status: int = Field(default=503, ge=400, le=599)


class PriceOf(Lever):
    id: str = Field(min_length=1)
    amount: int = Field(ge=0)
    currency: str
    name: str = "Pro plan"
    recurring: bool = True


class Change(Lever):
    scale: float | None = Field(default=None, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, le=60)
    return_to: str | None = None
    version: Shape | None = None
    enabled_events: list[str] | None = None
    prices: list[PriceOf] = []


def routes() -> Sequence[web.RouteDef]:
    """Return the levers and what shows their effect."""
    posts = [web.post(f"/stand-in/{name}", _lever(model, action)) for name, (model, action) in LEVERS.items()]
    return [*posts, web.post("/stand-in/settle", settle), web.get("/stand-in/deliveries.json", deliveries)]


async def settle(request: web.Request) -> web.Response:
    """Answer when everything begun has ended, retries included."""
    await request.app[DELIVERIES].settled()
    return web.json_response({"settled": True})


async def deliveries(request: web.Request) -> web.Response:
    """List every webhook with its attempts, oldest first."""
    return web.json_response([sending.shown() for sending in request.app[DELIVERIES].sendings])


def _pay(app: web.Application, what: Pay) -> Mapping[str, Any]:
    stories, sale = app[STORIES], actions.sale_of(app[STORIES], what.session_id)
    if what.how == "card":
        actions.pay(stories, sale)
    elif what.how == "decline":
        actions.decline(stories, sale)
    else:
        actions.pay_later(stories, sale, fails=what.how == "later_fails")
    return {}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    actions.refund(app[STORIES], what.id, what.amount, pending=what.pending, fails=what.fails)
    return {}


def _dispute(app: web.Application, what: Dispute) -> Mapping[str, Any]:
    actions.dispute(app[STORIES], what.id, what.closed)
    return {}


def _renew(app: web.Application, what: Renew) -> Mapping[str, Any]:
    actions.renew(app[STORIES], what.id)
    return {}


def _redeliver(app: web.Application, what: Redeliver) -> Mapping[str, Any]:
    deliveries, event = app[DELIVERIES], app[SELLER].event(what.event_id)
    if event is None:
        raise NotPossible("there is no such event")
    for _ in range(what.times):
        deliveries.start(deliveries.deliver(event))
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
    prices = [_price(price) for price in what.prices]
    seller.prices.update({price.id: price for price in prices})
    given = what.model_dump(exclude={"prices"}, exclude_none=True)
    for name, value in given.items():
        setattr(seller.settings, name, value)
    return given


def _price(price: PriceOf) -> Price:
    """Amounts are in Stripe's units, the currency in lower case, as in Stripe's own API."""
    try:
        money(price.amount, price.currency)
    except Malformed as error:
        raise NotPossible(str(error)) from None
    return Price(**price.model_dump())


LEVERS: Mapping[str, tuple[type[Any], Callable[[web.Application, Any], Mapping[str, Any]]]] = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "dispute": (Dispute, _dispute),
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
