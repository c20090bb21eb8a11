"""
From a Stripe event to revenue events. Pure: webhooks and `GET /v1/events` go through the same functions.

A purchase is reported by a dozen events; one is its source, and the key is the payment, never the event:

    a one-off sale         `checkout.session.completed` if paid, else `checkout.session.async_payment_succeeded`
    a subscription         `invoice.paid`: the first payment, renewals and changes alike
    an invoice by hand     `invoice.paid`; one that a Checkout session made is that session's sale
    a refund               `refund.*` by its id; `charge.refunded` has only totals
    a dispute              when the funds leave and when they come back, by its id

`payment_intent.*`, `charge.*` and the rest tell of the same money again and are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.sdk import Ignored, Malformed, RevenueEvent, RevenueKind, checked
from providers.stripe.fields import id_of, own_id
from providers.stripe.money import money
from providers.stripe.questions import Entity, Happening, Reading
from providers.stripe.sales import invoice_sale, session_sale

SIMULATED = ("evt_simulated", "evt_00000000000000")
"""Event ids of our own samples, and of the dashboard's test webhooks: whoever may open it writes their content."""

NOT_CAPTURED = "expired_uncaptured_charge"
"""The reason of a refund that gives back an authorization: the money never came."""

LAST_SECOND = 253_402_300_799
"""The end of the year 9999 in Unix time."""


def read(event: Any) -> Reading:
    """Return the movement of money that an event reports, or why there is none; raise `Malformed`."""
    if not isinstance(event, dict):
        raise Malformed(f"the event is not an object but {type(event).__name__}")
    event_type = checked(event.get("type"), "type")
    if checked(event.get("id"), "id").startswith(SIMULATED):
        return Ignored("simulated")
    reader = READERS.get(event_type)
    if reader is None:
        return Ignored("not_revenue")
    happening = _happening(event, event_type)
    return (yield from reader(happening, happening.entity))


def _happening(event: Entity, event_type: str) -> Happening:
    data, live, created = event.get("data"), event.get("livemode"), event.get("created")
    entity = data.get("object") if isinstance(data, dict) else None
    if not isinstance(entity, dict):
        raise Malformed("data.object is not an object")
    if type(live) is not bool:
        raise Malformed("livemode is not true or false")
    if type(created) is not int or not 0 <= created <= LAST_SECOND:
        raise Malformed("created is not a Unix time")
    return Happening(
        type=event_type,
        at=datetime.fromtimestamp(created, UTC),
        test=not live,
        account=id_of(event.get("account")),
        entity=entity,
    )


def _refund(event: Happening, refund: Entity) -> Reading:
    """
    Read a refund.

    One that failed may have succeeded before (https://docs.stripe.com/refunds#failed-refunds), and that event may be
    lost or late: it is a refund and its way back, which is right in sum whatever was booked before.
    """
    yield from ()
    status = checked(refund.get("status"), "status")
    if refund.get("reason") == NOT_CAPTURED:
        return Ignored("not_revenue")
    if status not in ("succeeded", "failed"):
        return Ignored("not_final")
    given_back = _movement(event, refund, RevenueKind.REFUND, "refund")
    if status == "succeeded":
        return [given_back]
    return [given_back, _movement(event, refund, RevenueKind.REFUND_REVERSAL, "refund_failed")]


def _dispute_taken(event: Happening, dispute: Entity) -> Reading:
    """Read a dispute whose amount Stripe took from the balance."""
    yield from ()
    return [_movement(event, dispute, RevenueKind.REFUND, "dispute")]


def _dispute_closed(event: Happening, dispute: Entity) -> Reading:
    """Read a dispute's end: a lost one had its funds withdrawn, should that event get lost."""
    if dispute.get("status") != "lost":
        return Ignored("not_final")
    return (yield from _dispute_taken(event, dispute))


def _dispute_returned(event: Happening, dispute: Entity) -> Reading:
    """Read a dispute whose amount came back: it was taken before, should that event get lost or be late."""
    yield from ()
    return [
        _movement(event, dispute, RevenueKind.REFUND, "dispute"),
        _movement(event, dispute, RevenueKind.REFUND_REVERSAL, "dispute_won"),
    ]


def _movement(event: Happening, entity: Entity, kind: RevenueKind, cause: str) -> RevenueEvent:
    payment_id = id_of(entity.get("payment_intent")) or id_of(entity.get("charge"))
    if payment_id is None:
        raise Malformed(f"{own_id(entity)} names no payment")
    word = "refund" if kind is RevenueKind.REFUND else "reversal"
    return RevenueEvent(
        kind=kind,
        key=f"{word}:{own_id(entity)}",
        payment_id=payment_id,
        amount=money(entity.get("amount"), entity.get("currency")),
        occurred_at=event.at,
        test=event.test,
        account=event.account,
        cause=cause,
    )


READERS: dict[str, Callable[[Happening, Entity], Reading]] = {
    "checkout.session.completed": session_sale,
    "checkout.session.async_payment_succeeded": session_sale,
    "invoice.paid": invoice_sale,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.funds_withdrawn": _dispute_taken,
    "charge.dispute.funds_reinstated": _dispute_returned,
    "charge.dispute.closed": _dispute_closed,
}
"""https://docs.stripe.com/api/events/types; at most 20, for `GET /v1/events` takes no more."""
