"""Levers for tests, JSON in and out, without a key; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sdk import Malformed, Money
from providers.razorpay.stand_in.pages import web_address
from providers.razorpay.stand_in.seller import Failure, NotPossible
from providers.razorpay.stand_in.state import DELIVERIES, SELLER, STORIES

Times = Annotated[int, Field(ge=1, le=1000)]


class Lever(BaseModel):
    """What a lever takes; anything else is refused."""

    model_config = ConfigDict(extra="forbid")


class Pay(Lever):
    """Pay a payment link, or let the bank say no."""

    id: str
    decline: bool = False


class Refund(Lever):
    """Give back a payment (or a link's), all that is left or `amount` in the smallest unit."""

    id: str
    amount: int | None = None


class Dispute(Lever):
    """Dispute a payment (or a link's) and end it."""

    id: str
    amount: int | None = None
    outcome: Literal["lost", "won", "closed"] = "lost"


class Charge(Lever):
    """Charge a subscription: the next month of a known one, or the first of a new one."""

    id: str | None = None
    amount: int = 49900
    currency: str = "INR"
    notes: dict[str, str] = {}


class Redeliver(Lever):
    """Send an event again."""

    event_id: str
    times: Times = 1


class Fail(Lever):
    """Let the next attempts to deliver fail."""

    next: Times = 1
    how: Failure = "unsent"


class FailApi(Lever):
    """Let the next API calls fail."""

    next: Times = 1
    status: int = Field(default=500, ge=400, le=599)


class Change(Lever):
    """Change how the stand-in behaves."""

    scale: float | None = Field(default=None, ge=0, le=1000)
    timeout_seconds: float | None = Field(default=None, gt=0, le=60)
    return_to: str | None = None
    secret: int | None = Field(default=None, ge=0)
    copy_notes: bool | None = None
    disabled: bool | None = None


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
    stories, link = app[STORIES], app[SELLER].link(what.id)
    (stories.decline if what.decline else stories.pay)(link)
    return {}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    return {"id": app[STORIES].refund(app[SELLER].payment(what.id), what.amount)["id"]}


def _dispute(app: web.Application, what: Dispute) -> Mapping[str, Any]:
    return {"id": app[STORIES].dispute(app[SELLER].payment(what.id), what.amount, what.outcome)["id"]}


def _charge(app: web.Application, what: Charge) -> Mapping[str, Any]:
    try:
        worth = Money(what.amount, what.currency)
    except Malformed as error:
        raise NotPossible(str(error)) from None
    return {"id": app[STORIES].charge(what.id, worth, what.notes)["id"]}


def _redeliver(app: web.Application, what: Redeliver) -> Mapping[str, Any]:
    event = app[SELLER].event(what.event_id)
    for _ in range(what.times):
        app[DELIVERIES].start(app[DELIVERIES].repeat(event))
    return {"times": what.times}


def _fail(app: web.Application, what: Fail) -> Mapping[str, Any]:
    app[SELLER].settings.failures[:] = [what.how] * what.next
    return {}


def _fail_api(app: web.Application, what: FailApi) -> Mapping[str, Any]:
    app[SELLER].settings.api_failures[:] = [what.status] * what.next
    return {}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    if what.return_to is not None and web_address(what.return_to) is None:
        raise NotPossible("return_to must be an http or https address")
    given = what.model_dump(exclude_none=True)
    for name, value in given.items():
        setattr(app[SELLER].settings, name, value)
    return given


LEVERS: Mapping[str, tuple[type[Any], Callable[[web.Application, Any], Mapping[str, Any]]]] = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "dispute": (Dispute, _dispute),
    "charge": (Charge, _charge),
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
