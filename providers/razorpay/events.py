"""
From Razorpay's webhooks to revenue events. Pure: webhooks and lists go through the same readers.

A webhook is `{"event", "account_id", "payload": {"payment": {"entity": {...}}, "order": ..., ...}, "created_at"}`. One
sale is reported by up to four of them in any order (`payment.captured`, `order.paid`, `payment_link.paid`,
`subscription.charged`), each with the payment inside, so the key is the payment, and what the payment does not say of
itself is asked of Razorpay: every one of them gives the same event.

A reading is a generator: it yields the path of an object that it needs, is sent that object, and returns what it has
read. So the rules about money need no network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from gateway.sdk import (
    Ignored,
    Malformed,
    RevenueEvent,
    RevenueKind,
    attribution_from,
    checked,
    checked_or_none,
    json_object,
    name_or_none,
    reference_from,
    text_from,
)
from providers.razorpay.fields import (
    Entity,
    instant,
    is_captured,
    left,
    link,
    money,
    object_of,
    payment_link_id,
    required,
)

Result = Sequence[RevenueEvent] | Ignored
Reading = Generator[str, Entity, Result]
Entities = Mapping[str, Entity]

SALE_EVENTS = frozenset(
    {
        "payment.captured",
        "order.paid",
        "payment_link.paid",
        "payment_link.partially_paid",
        "invoice.paid",
        "invoice.partially_paid",
        "subscription.charged",
    }
)
"""https://razorpay.com/docs/webhooks/all: the events whose payload holds a captured payment."""

NOT_FINAL = frozenset(
    {
        "payment.authorized",
        "payment.pending",
        "payment.failed",
        "refund.created",
        "payment.dispute.created",
        "payment.dispute.under_review",
        "payment.dispute.action_required",
    }
)
"""The same page. A failed payment may still be captured under its id: buyers try again inside their UPI app."""

DISPUTE = ("dispute", "payment.dispute")
"""The name of a dispute in the payload; older payloads have the second (https://razorpay.com/docs/webhooks/disputes)."""

SIMULATED = "acc_simulated_"
"""
How the account id of our own samples begins. Razorpay's ids have one underscore and then only letters and digits, so no
real account can have such an id; and the account stands in the signed body.
"""


def event_type(body: bytes) -> str | None:
    """Return the type of a signed body; None where there is none, which `extract` then complains about."""
    return name_or_none(json_object(body).get("event"))


def read(envelope: Any) -> Reading:
    """Return the movement of money that a webhook reports, or why there is none; raise `Malformed`."""
    if not isinstance(envelope, dict):
        raise Malformed(f"the webhook is not an object but {type(envelope).__name__}")
    name = checked(envelope.get("event"), "event")
    account = checked_or_none(envelope.get("account_id"), "account_id")
    if account and account.startswith(SIMULATED):
        return Ignored("simulated")
    if name in NOT_FINAL:
        return Ignored("not_final")
    if name not in READERS:
        return Ignored("not_revenue")
    payload = envelope.get("payload")
    if not isinstance(payload, dict):
        raise Malformed("the webhook has no payload")
    entities = {part: object_of(object_of(payload, part), "entity") for part in payload}
    if name != "payment.captured" and name in SALE_EVENTS and not entities.get("payment"):
        return Ignored("not_revenue")  # a charge of nothing, or a link that was marked as paid by hand
    return (yield from READERS[name](entities, account))


def sale(entities: Entities, account: str | None = None) -> Reading:
    """
    Read a payment.

    A payment link's notes are copied to its payment; where they are not, and for orders that a site opened itself, the
    order has them, and its receipt is the link's reference. A subscription's charge has an invoice, whose billing
    period tells the first charge from later ones.
    """
    payment = entities.get("payment", {})
    required(payment, "id")
    if not is_captured(payment):
        return Ignored("not_final")
    invoice = yield from _named(payment, "invoice_id", "invoices", entities.get("invoice"))
    plan = yield from _named(invoice, "subscription_id", "subscriptions", entities.get("subscription"))
    order = {} if invoice else entities.get("order", {})
    known = {**entities, "order": order, "invoice": invoice, "subscription": plan}
    order_id = link(payment, "order_id")
    if order_id and not (invoice or order or entities.get("payment_link") or reference_from(*_notes(known))):
        known["order"] = yield f"/v1/orders/{order_id}"
    return [_sale_of(known, account)]


def _sale_of(known: Entities, account: str | None) -> RevenueEvent:
    payment, invoice, plan = known["payment"], known["invoice"], known["subscription"]
    amount, plan_id = money(payment, "amount"), link(plan, "plan_id")
    named = payment_link_id(payment) if not invoice else None
    return RevenueEvent(
        kind=RevenueKind.RENEWAL if _is_later(invoice, plan) else RevenueKind.PURCHASE,
        key=f"payment:{payment['id']}",
        payment_id=payment["id"],
        amount=amount,
        net=left(payment, amount),
        occurred_at=instant(payment, "created_at"),
        reference=reference_from(*_notes(known)) or _receipt(known),
        checkout_id=link(known.get("payment_link", {}), "id") or named,
        subscription_id=link(plan, "id"),
        account=account,
        items=(plan_id,) if plan_id else (),
        attribution=attribution_from(*_notes(known)),
    )


def refund(entities: Entities, account: str | None = None) -> Reading:
    """Read a refund; one of a payment that was never captured gives back what never was revenue."""
    back = entities.get("refund", {})
    refund_id, payment_id = required(back, "id"), required(back, "payment_id")
    if back.get("status") != "processed":
        return Ignored("not_final")
    payment = yield from _named(back, "payment_id", "payments", entities.get("payment"))
    if not is_captured(payment):
        return Ignored("not_revenue")
    event = RevenueEvent(
        kind=RevenueKind.REFUND,
        key=f"refund:{refund_id}",
        payment_id=payment_id,
        amount=money(back, "amount"),
        occurred_at=instant(back, "created_at"),
        account=account,
        cause="refund",
    )
    return [event]


def dispute(entities: Entities, account: str | None = None) -> Reading:
    """Read a dispute that was lost: what Razorpay took from the account."""
    yield from ()  # it asks nothing, but is a reading like the others
    lost = next((entities[name] for name in DISPUTE if entities.get(name)), {})
    dispute_id = required(lost, "id")
    if lost.get("status") != "lost":
        return Ignored("not_final")
    taken = money(lost, "amount" if lost.get("amount_deducted") is None else "amount_deducted")
    if taken.minor == 0:
        return Ignored("not_revenue")  # the seller had refunded the buyer already
    event = RevenueEvent(
        kind=RevenueKind.REFUND,
        key=f"refund:{dispute_id}",
        payment_id=required(lost, "payment_id"),
        amount=taken,
        occurred_at=instant(lost, "created_at"),
        account=account,
        cause="dispute",
    )
    return [event]


READERS: Mapping[str, Callable[[Entities, str | None], Reading]] = {
    **dict.fromkeys(SALE_EVENTS, sale),
    "refund.processed": refund,
    "payment.dispute.lost": dispute,
}


def _named(entity: Entity, field: str, path: str, known: Entity | None) -> Generator[str, Entity, Entity]:
    """Return the object that a field names, from the payload if it is there; an empty one where nothing is named."""
    name = link(entity, field)
    if name is None:
        return {}
    if known and known.get("id") == name:
        return known
    found = yield f"/v1/{path}/{name}"
    return found


def _is_later(invoice: Entity, plan: Entity) -> bool:
    """
    Say whether an invoice is for another billing period than the subscription's first.

    Both times are fixed once the subscription runs, unlike `paid_count`, so every event of a charge says the same.
    """
    begins, first = invoice.get("billing_start"), plan.get("start_at")
    return type(begins) is int and type(first) is int and begins > first


def _notes(known: Entities) -> Sequence[Entity]:
    parts = ("payment", "order", "payment_link", "invoice", "subscription")
    return [object_of(known.get(part, {}), "notes") for part in parts]


def _receipt(known: Entities) -> str | None:
    """Return the order id where the notes have none: the link's reference, which is also its order's receipt."""
    places = (("payment_link", "reference_id"), ("order", "receipt"), ("invoice", "receipt"))
    found = (text_from(known.get(part, {}), (name,)) for part, name in places)
    return next((text for text in found if text), None)
