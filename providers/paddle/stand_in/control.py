"""
Levers for tests and demonstrations, all JSON: `POST /stand-in/<lever>`, listed in the README of the plugin.

They are no part of Paddle's API and need no key: the stand-in serves one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sdk import Malformed, Money
from providers.paddle.stand_in import actions
from providers.paddle.stand_in.actions import NotPossible
from providers.paddle.stand_in.objects import Price
from providers.paddle.stand_in.pages import web_address
from providers.paddle.stand_in.seller import Failure
from providers.paddle.stand_in.state import DELIVERIES, SELLER, STORIES


class Lever(BaseModel):
    """What a lever takes; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Pay(Lever):
    transaction_id: str
    decline: bool = False


class Refund(Lever):
    transaction_id: str
    amount: int | None = Field(default=None, ge=1)
    approve: bool = True
    at_once: bool = False


class Chargeback(Lever):
    transaction_id: str
    amount: int | None = Field(default=None, ge=1)
    reverse: bool = False


class Renew(Lever):
    subscription_id: str | None = None
    transaction_id: str | None = None


class Late(Lever):
    transaction_id: str
    event: Literal["updated", "revised"] = "updated"


class Redeliver(Lever):
    event_id: str
    times: int = Field(default=1, ge=1, le=1000)
    replay: bool = False


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
    default_payment_link: bool | None = None
    prices: list[PriceOf] = []


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
    """List every notification with its attempts, oldest first."""
    return web.json_response([notification.shown() for notification in request.app[DELIVERIES].notifications])


async def state(request: web.Request) -> web.Response:
    """Show the entities as they are now."""
    seller = request.app[SELLER]
    parts = {"transactions": seller.transactions, "adjustments": seller.adjustments}
    return web.json_response({**parts, "subscriptions": seller.subscriptions})


def _pay(app: web.Application, what: Pay) -> Mapping[str, Any]:
    stories = app[STORIES]
    (actions.decline if what.decline else actions.pay)(stories, actions.sale_of(stories, what.transaction_id))
    return {}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    stories = app[STORIES]
    sale = actions.sale_of(stories, what.transaction_id)
    made = actions.refund(stories, sale, what.amount, approve=what.approve, at_once=what.at_once)
    return {"adjustment_id": made["id"]}


def _chargeback(app: web.Application, what: Chargeback) -> Mapping[str, Any]:
    stories = app[STORIES]
    sale = actions.sale_of(stories, what.transaction_id)
    if what.reverse:
        return {"adjustment_id": actions.reverse_chargeback(stories, sale)["id"]}
    return {"adjustment_id": actions.chargeback(stories, sale, what.amount)["id"]}


def _renew(app: web.Application, what: Renew) -> Mapping[str, Any]:
    stories = app[STORIES]
    name = what.subscription_id
    if what.transaction_id is not None:
        name = actions.sale_of(stories, what.transaction_id)["subscription_id"]
    actions.renew(stories, name)
    return {"subscription_id": name}


def _late(app: web.Application, what: Late) -> Mapping[str, Any]:
    stories = app[STORIES]
    actions.late(stories, actions.sale_of(stories, what.transaction_id), what.event)
    return {}


def _redeliver(app: web.Application, what: Redeliver) -> Mapping[str, Any]:
    deliveries, event = app[DELIVERIES], app[SELLER].event(what.event_id)
    if event is None:
        raise NotPossible("there is no such event")
    first = next((sent for sent in deliveries.notifications if sent.event is event), None)
    for _ in range(what.times):
        deliveries.start(deliveries.deliver(event, None if what.replay else first))
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
        prices = [_price(price) for price in what.prices]
    except Malformed as error:
        raise NotPossible(str(error)) from None
    seller.prices.update({price.id: price for price in prices})
    given = what.model_dump(exclude={"prices"}, exclude_none=True)
    for name, value in given.items():
        setattr(seller.settings, name, value)
    return given


def _price(price: PriceOf) -> Price:
    worth = Money(price.amount, price.currency)
    return Price(id=price.id, amount=worth.minor, currency=worth.currency, name=price.name, recurring=price.recurring)


LEVERS: Mapping[str, tuple[type[Any], Callable[[web.Application, Any], Mapping[str, Any]]]] = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "chargeback": (Chargeback, _chargeback),
    "renew": (Renew, _renew),
    "late": (Late, _late),
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
