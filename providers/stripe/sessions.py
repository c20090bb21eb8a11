"""
What became of one Checkout session: `GET /v1/checkout/sessions/{id}`, and of a subscription's its first invoice.

They are the objects that `checkout.session.completed` and `invoice.paid` hold, read by the same functions
(https://docs.stripe.com/api/checkout/sessions/retrieve, https://docs.stripe.com/api/invoices/retrieve). Refunds are not
looked for: the list of events has them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.sdk import Ignored, Malformed
from providers.stripe.fields import id_of, object_of
from providers.stripe.questions import Entity, Happening, Question, Reading
from providers.stripe.sales import invoice_sale, session_sale


def read_session(session_id: str) -> Reading:
    """Return the sale that a session became, or why there is none (yet)."""
    named = id_of(session_id)
    if named is None:
        raise Malformed("a session without an id cannot be looked up")
    session = yield Question(path=f"/v1/checkout/sessions/{named}", query={})
    happening = Happening(
        type="checkout.session.completed",
        at=_time(session.get("created")),
        test=session.get("livemode") is not True,
        account=None,
        entity=session,
    )
    if session.get("mode") != "subscription":
        return (yield from session_sale(happening, session))
    return (yield from _subscribed(happening, session))


def _subscribed(happening: Happening, session: Entity) -> Reading:
    invoice_id = id_of(session.get("invoice"))
    if session.get("status") != "complete" or invoice_id is None:
        return Ignored("not_final")
    invoice = yield Question(path=f"/v1/invoices/{invoice_id}", query={})
    paid_at = object_of(invoice, "status_transitions").get("paid_at")
    at = happening.at if paid_at is None else _time(paid_at)
    return (yield from invoice_sale(replace(happening, type="invoice.paid", at=at, entity=invoice), invoice))


def _time(seconds: Any) -> datetime:
    if type(seconds) is not int or not 0 <= seconds < 253_402_300_800:
        raise Malformed("the time of a session or an invoice is not a Unix time")
    return datetime.fromtimestamp(seconds, UTC)
