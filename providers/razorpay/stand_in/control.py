"""What the levers of this stand-in take and do; the README of the plugin lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from gateway.sdk import Money, stand_in
from gateway.sdk.stand_in import Lever
from providers.razorpay.stand_in.state import DELIVERIES, SELLER, STORIES

Times = Annotated[int, Field(ge=1, le=1000)]


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
    notes: dict[str, str] = Field(default_factory=dict)


class Redeliver(Lever):
    """Send an event again."""

    event_id: str
    times: Times = 1


class Change(stand_in.Change):
    """Change how the stand-in behaves."""

    secret: int | None = Field(default=None, ge=0)
    copy_notes: bool | None = None
    disabled: bool | None = None


def _pay(app: web.Application, what: Pay) -> Mapping[str, Any]:
    stories, link = app[STORIES], app[SELLER].link(what.id)
    (stories.decline if what.decline else stories.pay)(link)
    return {}


def _refund(app: web.Application, what: Refund) -> Mapping[str, Any]:
    return {"id": app[STORIES].refund(app[SELLER].payment(what.id), what.amount)["id"]}


def _dispute(app: web.Application, what: Dispute) -> Mapping[str, Any]:
    return {"id": app[STORIES].dispute(app[SELLER].payment(what.id), what.amount, what.outcome)["id"]}


def _charge(app: web.Application, what: Charge) -> Mapping[str, Any]:
    worth = Money(what.amount, what.currency)
    return {"id": app[STORIES].charge(what.id, worth, what.notes)["id"]}


def _redeliver(app: web.Application, what: Redeliver) -> Mapping[str, Any]:
    event = app[SELLER].event(what.event_id)
    for _ in range(what.times):
        app[DELIVERIES].start(app[DELIVERIES].repeat(event))
    return {"times": what.times}


def _change(app: web.Application, what: Change) -> Mapping[str, Any]:
    return stand_in.change(app[SELLER].settings, what)


LEVERS: stand_in.Levers = {
    "pay": (Pay, _pay),
    "refund": (Refund, _refund),
    "dispute": (Dispute, _dispute),
    "charge": (Charge, _charge),
    "redeliver": (Redeliver, _redeliver),
    "settings": (Change, _change),
}
