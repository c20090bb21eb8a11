"""What the levers of this stand-in take and do; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from gateway.sdk import stand_in
from gateway.sdk.stand_in import Lever, NotPossible
from providers.stripe.money import money
from providers.stripe.stand_in import actions
from providers.stripe.stand_in.invoices import Shape
from providers.stripe.stand_in.objects import Price
from providers.stripe.stand_in.state import DELIVERIES, SELLER, STORIES


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


class PriceOf(Lever):
    id: str = Field(min_length=1)
    amount: int = Field(ge=0)
    currency: str
    name: str = "Pro plan"
    recurring: bool = True


class Change(stand_in.Change):
    version: Shape | None = None
    enabled_events: list[str] | None = None
    prices: list[PriceOf] = Field(default_factory=list)


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


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    seller, prices = app[SELLER], [_price(price) for price in what.prices]
    given = stand_in.change(seller.settings, what, apart=["prices"])
    seller.prices.update({price.id: price for price in prices})
    return given


def _price(price: PriceOf) -> Price:
    """Amounts are in Stripe's units, the currency in lower case, as in Stripe's own API."""
    money(price.amount, price.currency)
    return Price(**price.model_dump())


LEVERS: stand_in.Levers = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "dispute": (Dispute, _dispute),
    "renew": (Renew, _renew),
    "redeliver": (Redeliver, _redeliver),
    "settings": (Change, _change),
}
