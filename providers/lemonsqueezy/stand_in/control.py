"""What the levers of this stand-in take and do; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from gateway.sdk import Money, stand_in
from gateway.sdk.stand_in import Lever, NotPossible
from providers.lemonsqueezy.stand_in.state import ACTIONS, DELIVERIES, STORE


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


class Change(stand_in.Change):
    amount: int | None = Field(default=None, ge=0)
    currency: str | None = None
    recurring: bool | None = None
    first_refund: Literal["both", "order", "invoice"] | None = None


def routes() -> Sequence[web.RouteDef]:
    """Return what shows the effect of the levers."""
    return [web.get("/stand-in/state.json", state)]


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


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    settings, given = app[STORE].settings, what.model_dump(exclude_none=True)
    Money(given.get("amount", settings.amount), given.get("currency", settings.currency))
    return stand_in.change(settings, what)


LEVERS: stand_in.Levers = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "renew": (Renew, _renew),
    "resend": (Resend, _resend),
    "settings": (Change, _change),
}
