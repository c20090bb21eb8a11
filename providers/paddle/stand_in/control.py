"""What the levers of this stand-in take and do; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from gateway.sdk import Money, stand_in
from gateway.sdk.stand_in import Lever, NotPossible
from providers.paddle.stand_in import actions
from providers.paddle.stand_in.objects import Price
from providers.paddle.stand_in.state import DELIVERIES, SELLER, STORIES


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


class PriceOf(Lever):
    id: str = Field(min_length=1)
    amount: int = Field(ge=0)
    currency: str
    name: str = "Pro plan"
    recurring: bool = True


class Change(stand_in.Change):
    default_payment_link: bool | None = None
    prices: list[PriceOf] = Field(default_factory=list)


def routes() -> Sequence[web.RouteDef]:
    """Return what shows the effect of the levers."""
    return [web.get("/stand-in/state.json", state)]


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
    first = deliveries.sent(event)
    for _ in range(what.times):
        deliveries.start(deliveries.deliver(event, None if what.replay else first))
    return {"times": what.times}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    seller, prices = app[SELLER], [_price(price) for price in what.prices]
    given = stand_in.change(seller.settings, what, apart=["prices"])
    seller.prices.update({price.id: price for price in prices})
    return given


def _price(price: PriceOf) -> Price:
    worth = Money(price.amount, price.currency)
    return Price(id=price.id, amount=worth.minor, currency=worth.currency, name=price.name, recurring=price.recurring)


LEVERS: stand_in.Levers = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "chargeback": (Chargeback, _chargeback),
    "renew": (Renew, _renew),
    "late": (Late, _late),
    "redeliver": (Redeliver, _redeliver),
    "settings": (Change, _change),
}
