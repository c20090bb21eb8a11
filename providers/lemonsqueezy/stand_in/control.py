"""
Levers for tests and demonstrations, all JSON: `POST /stand-in/<lever>`, listed in the README of the plugin.

They are no part of Lemon Squeezy's API and need no key: the stand-in serves one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sdk import Malformed, Money
from providers.lemonsqueezy.stand_in.actions import NotPossible
from providers.lemonsqueezy.stand_in.pages import web_address
from providers.lemonsqueezy.stand_in.state import ACTIONS, DELIVERIES, STORE
from providers.lemonsqueezy.stand_in.store import Failure


class Lever(BaseModel):
    """What a lever takes; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Pay(Lever):
    checkout_id: str
    decline: bool = False


class Refund(Lever):
    checkout_id: str
    amount: int | None = Field(default=None, ge=1)
    invoice_id: str | None = None


class Renew(Lever):
    checkout_id: str


class Resend(Lever):
    number: int = Field(ge=0)
    times: int = Field(default=1, ge=1, le=1000)


class Fail(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    how: Failure = "unsent"


class FailApi(Lever):
    next: int = Field(default=1, ge=0, le=1000)
    status: int = Field(default=503, ge=400, le=599)


class Change(Lever):
    scale: float | None = Field(default=None, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, le=60)
    return_to: str | None = None
    amount: int | None = Field(default=None, ge=0)
    currency: str | None = None
    recurring: bool | None = None
    first_refund: Literal["both", "order", "invoice"] | None = None


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
    return web.json_response([sent.shown() for sent in request.app[DELIVERIES].log])


async def state(request: web.Request) -> web.Response:
    """Show the resources as they are now."""
    store = request.app[STORE]
    subscriptions = [sold.subscription for sold in store.sold.values() if sold.subscription]
    lists = {kind: store.listed(kind) for kind in ("orders", "subscription-invoices")}
    return web.json_response({**lists, "subscriptions": subscriptions})


def _pay(app: web.Application, what: Pay) -> Mapping[str, Any]:
    actions = app[ACTIONS]
    sold = actions.sold(what.checkout_id)
    (actions.decline if what.decline else actions.pay)(sold)
    return {"order_id": sold.order["id"] if sold.order else None}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    actions = app[ACTIONS]
    actions.refund(actions.sold(what.checkout_id), what.amount, what.invoice_id)
    return {}


def _renew(app: web.Application, what: Renew) -> Mapping[str, Any]:
    actions = app[ACTIONS]
    return {"invoice_id": actions.renew(actions.sold(what.checkout_id))["id"]}


def _resend(app: web.Application, what: Resend) -> Mapping[str, Any]:
    if what.number >= len(app[DELIVERIES].log):
        raise NotPossible("there is no such webhook")
    for _ in range(what.times):
        app[DELIVERIES].again(what.number)
    return {"times": what.times}


def _fail(app: web.Application, what: Fail) -> Mapping[str, Any]:
    app[STORE].settings.failures[:] = [what.how] * what.next
    return {}


def _fail_api(app: web.Application, what: FailApi) -> Mapping[str, Any]:
    app[STORE].settings.api_failures[:] = [what.status] * what.next
    return {}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    settings = app[STORE].settings
    if what.return_to is not None and web_address(what.return_to) is None:
        raise NotPossible("return_to must be an http or https address")
    given = what.model_dump(exclude_none=True)
    try:
        Money(given.get("amount", settings.amount), given.get("currency", settings.currency))
    except Malformed as error:
        raise NotPossible(str(error)) from None
    for name, value in given.items():
        setattr(settings, name, value)
    return given


LEVERS: Mapping[str, tuple[type[Any], Callable[[web.Application, Any], Mapping[str, Any]]]] = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "renew": (Renew, _renew),
    "resend": (Resend, _resend),
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
