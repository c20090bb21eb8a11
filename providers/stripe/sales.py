"""
Sales: what a paid Checkout session or a paid invoice is worth, under the id that its refunds will name.

That id is the PaymentIntent (`pi_`), else the charge (`ch_`, payments before 2019), else, where nothing went through
Stripe, the invoice (`in_`: trials, paid by other means) or the session (`cs_`: nothing to pay). So the same money has
the same key whether its session or its invoice speaks of it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from gateway.sdk import (
    Ignored,
    RevenueEvent,
    RevenueKind,
    Unavailable,
    attribution_from,
    checked,
    checked_or_none,
    reference_from,
)
from providers.stripe import fields
from providers.stripe.fields import id_of, object_of, own_id, rows_of, whole
from providers.stripe.money import money, share
from providers.stripe.questions import Entity, Happening, Question, Reading

RENEWALS = frozenset({"subscription_cycle", "subscription_update", "subscription_threshold", "subscription"})
"""
https://docs.stripe.com/api/invoices/object#invoice_object-billing_reason: `subscription` is what subscriptions from
before May 2018 say. `subscription_create` begins one; `manual`, `quote_accept` and unknown ones are purchases.
"""

MANY = "100"
"""The largest page that Stripe gives."""

Rows = Generator[Question, Entity, Sequence[Entity]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One payment of an invoice, in Stripe's units."""

    payment_id: str
    paid: int


def session_sale(event: Happening, session: Entity) -> Reading:
    """Read a session in payment mode; subscriptions are their invoices' business, and set-ups are free."""
    if session.get("mode") in ("subscription", "setup"):
        return Ignored("not_revenue")
    status, total = checked(session.get("payment_status"), "payment_status"), session.get("amount_total")
    if not (status == "paid" or (status == "no_payment_required" and total == 0)):
        return Ignored("not_final")
    session_id, currency = own_id(session), session.get("currency")
    free = id_of(session.get("invoice")) if total == 0 else None
    payment_id = id_of(session.get("payment_intent")) or free or session_id
    lines = yield from _lines(event, session.get("line_items"), f"/v1/checkout/sessions/{session_id}/line_items")
    tax = object_of(session, "total_details").get("amount_tax")
    sale = RevenueEvent(
        kind=RevenueKind.PURCHASE,
        key=f"payment:{payment_id}",
        payment_id=payment_id,
        amount=money(total, currency),
        tax=None if tax is None else share(tax, 1, 1, currency),
        occurred_at=event.at,
        test=event.test,
        reference=reference_from(session.get("metadata")),
        checkout_id=session_id,
        account=event.account,
        items=fields.items(lines),
        attribution=attribution_from(session.get("metadata")),
    )
    return [sale]


def invoice_sale(event: Happening, invoice: Entity) -> Reading:
    """Read a paid invoice: as many sales as it has payments, nearly always one."""
    if checked(invoice.get("status"), "status") != "paid":
        return Ignored("not_final")
    parts = yield from _parts(event, invoice)
    session = yield from _session_of(event, invoice, parts)
    if session.get("mode") == "payment" and session.get("payment_status") == "paid":
        return (yield from session_sale(event, session))
    lines = yield from _lines(event, invoice.get("lines"), f"/v1/invoices/{own_id(invoice)}/lines")
    return [_sale(event, invoice, session, part, lines) for part in parts]


def _sale(event: Happening, invoice: Entity, session: Entity, part: Part, lines: Sequence[Entity]) -> RevenueEvent:
    currency, reason = invoice.get("currency"), _reason(invoice)
    known = [session.get("metadata"), *_metadata(invoice, lines)]
    return RevenueEvent(
        kind=RevenueKind.RENEWAL if reason in RENEWALS else RevenueKind.PURCHASE,
        key=f"payment:{part.payment_id}",
        payment_id=part.payment_id,
        amount=money(part.paid, currency),
        tax=share(_tax(invoice), part.paid, whole(invoice, "total"), currency),
        occurred_at=event.at,
        test=event.test,
        reference=reference_from(*known),
        checkout_id=id_of(session.get("id")),
        subscription_id=_subscription(invoice),
        account=event.account,
        items=fields.items(lines),
        attribution=attribution_from(*known),
        cause=reason,
    )


def _parts(event: Happening, invoice: Entity) -> Generator[Question, Entity, Sequence[Part]]:
    """
    Return what paid the invoice.

    Until 2025-03-31 the invoice names its one payment. Since then payments are objects of their own that webhooks do
    not carry (https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices).
    """
    invoice_id, paid = own_id(invoice), whole(invoice, "amount_paid")
    if invoice.get("paid_out_of_band") is True:
        return [Part(payment_id=invoice_id, paid=whole(invoice, "amount_due"))]
    if paid == 0:
        return [Part(payment_id=invoice_id, paid=0)]
    if "payment_intent" in invoice or "charge" in invoice:
        payment_id = id_of(invoice.get("payment_intent")) or id_of(invoice.get("charge"))
        return [Part(payment_id=payment_id or invoice_id, paid=paid)]
    payments = rows_of(invoice.get("payments"))
    if payments is None:
        query = {"invoice": invoice_id, "limit": MANY}
        payments = yield from _asked(event, "/v1/invoice_payments", query)
    return _settled(invoice_id, paid, payments)


def _settled(invoice_id: str, paid: int, payments: Sequence[Entity]) -> Sequence[Part]:
    """Return the payments that went through Stripe, and under the invoice's own id what was paid by other means."""
    parts = [
        Part(payment_id=payment_id, paid=whole(payment, "amount_paid"))
        for payment in payments
        if payment.get("status") == "paid" and (payment_id := _paid_by(payment))
    ]
    rest = paid - sum(part.paid for part in parts)
    if rest > 0 and any(payment.get("status") == "open" for payment in payments):
        raise Unavailable("Stripe calls the invoice paid, but one of its payments is still open")
    return [*parts, Part(payment_id=invoice_id, paid=rest)] if rest > 0 else parts


def _paid_by(payment: Entity) -> str | None:
    paid_by = object_of(payment, "payment")
    return id_of(paid_by.get("payment_intent")) or id_of(paid_by.get("charge"))


def _session_of(event: Happening, invoice: Entity, parts: Sequence[Part]) -> Generator[Question, Entity, Entity]:
    """Return the Checkout session that the invoice began in; an empty object where there is none."""
    reason, subscription = _reason(invoice), _subscription(invoice)
    intent = next((part.payment_id for part in parts if part.payment_id.startswith("pi_")), None)
    if reason in RENEWALS:
        return {}
    if reason == "subscription_create" and subscription:
        query = {"subscription": subscription}
    elif intent:
        query = {"payment_intent": intent}
    else:
        return {}
    found = yield from _asked(event, "/v1/checkout/sessions", {**query, "limit": "1"})
    return found[0] if found else {}


def _lines(event: Happening, embedded: object, path: str) -> Rows:
    """Return the line items: webhooks carry ten of an invoice's and none of a session's."""
    found = rows_of(embedded)
    return found if found is not None else (yield from _asked(event, path, {"limit": MANY}))


def _asked(event: Happening, path: str, query: dict[str, str]) -> Rows:
    answer = yield Question(path=path, query=query, account=event.account)
    found = answer.get("data")
    if not isinstance(found, list):
        raise Unavailable(f"Stripe answered {path} without a list")
    return [row for row in found if isinstance(row, dict)]


def _reason(invoice: Entity) -> str | None:
    return checked_or_none(invoice.get("billing_reason"), "billing_reason")


def _subscription(invoice: Entity) -> str | None:
    """Return the subscription: below `parent` since 2025-03-31, beside everything else before."""
    details = object_of(object_of(invoice, "parent"), "subscription_details")
    return id_of(details.get("subscription")) or id_of(invoice.get("subscription"))


def _metadata(invoice: Entity, lines: Sequence[Entity]) -> Sequence[object]:
    """Return where the subscription's metadata is repeated (three places over the years), and the invoice's own."""
    return [
        object_of(object_of(invoice, "parent"), "subscription_details").get("metadata"),
        object_of(invoice, "subscription_details").get("metadata"),
        invoice.get("metadata"),
        *(line.get("metadata") for line in lines),
    ]


def _tax(invoice: Entity) -> int:
    """Return the tax: one figure until 2025-03-31, rows since. No tax is null in both."""
    if type(invoice.get("tax")) is int:
        return whole(invoice, "tax")
    rows = invoice.get("total_taxes") or invoice.get("total_tax_amounts") or []
    found = rows if isinstance(rows, list) else []
    return sum(whole(row, "amount") for row in found if isinstance(row, dict))
