"""
What happens at Stripe, with all the events that tell of it (https://docs.stripe.com/api/events/types).

Stripe promises no order; the one here is the usual one. Each story changes the account and sends every event once
before it goes on; retries run beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from providers.stripe.stand_in.deliveries import Deliveries
from providers.stripe.stand_in.invoices import invoice, invoice_payment
from providers.stripe.stand_in.objects import (
    Entity,
    Item,
    charge,
    dispute,
    new_id,
    payment_intent,
    refund,
    subscription,
)
from providers.stripe.stand_in.seller import Payment, Seller

DEBITED_AFTER = 6.0
"""Seconds until a bank debit is through; at banks it takes days."""

REFUNDED_AFTER = 4.0
"""Seconds until a refund that was pending has succeeded or failed."""


@dataclass(frozen=True, slots=True)
class Stories:
    """Everything that can happen to a sale."""

    seller: Seller
    deliveries: Deliveries

    async def happen(self, *what: tuple[str, Entity]) -> None:
        """Record events, then send them: an object is known to the API before anybody hears of it."""
        for event in [self.seller.record(event_type, entity) for event_type, entity in what]:
            await self.deliveries.deliver(event)

    async def pay(self, sale: Entity) -> None:
        """The buyer pays by card."""
        if sale["mode"] == "subscription":
            await self._subscribe(sale)
            return
        intent = self._intent(sale)
        paid = self._succeed(intent)
        self._complete(sale, payment_status="paid", payment_intent=intent["id"])
        await self.happen(
            ("payment_intent.created", {**intent, "status": "requires_payment_method", "amount_received": 0}),
            ("charge.succeeded", paid.charge),
            ("payment_intent.succeeded", intent),
            ("checkout.session.completed", sale),
            ("charge.updated", paid.charge),
        )

    async def pay_later(self, sale: Entity, *, fails: bool = False) -> None:
        """The buyer pays by bank debit: the session is complete at once, the money comes days later or never."""
        intent = self._intent(sale)
        intent["status"] = "processing"
        self._complete(sale, payment_status="unpaid", payment_intent=intent["id"])
        await self.happen(("payment_intent.processing", intent), ("checkout.session.completed", sale))
        await self.deliveries.pause(DEBITED_AFTER)
        if fails:
            intent["status"] = "requires_payment_method"
            failed = charge(intent, self.seller.now(), declined=True)
            await self.happen(
                ("charge.failed", failed),
                ("payment_intent.payment_failed", intent),
                ("checkout.session.async_payment_failed", sale),
            )
            return
        paid = self._succeed(intent)
        sale["payment_status"] = "paid"
        await self.happen(
            ("charge.succeeded", paid.charge),
            ("payment_intent.succeeded", intent),
            ("checkout.session.async_payment_succeeded", sale),
        )

    async def decline(self, sale: Entity) -> None:
        """The buyer's card is declined; the session stays open for another attempt."""
        intent = self._intent(sale)
        self.seller.declined.add(sale["id"])
        await self.happen(
            ("payment_intent.created", intent),
            ("charge.failed", charge(intent, self.seller.now(), declined=True)),
            ("payment_intent.payment_failed", intent),
        )

    async def renew(self, sub: Entity) -> None:
        """The next month is paid by the stored card."""
        items = [
            Item(price=self.seller.price(row["price"]["id"]), quantity=row["quantity"]) for row in sub["items"]["data"]
        ]
        paid, bill = self._bill(items, sub, "subscription_cycle", sum(item.total for item in items))
        await self._billed(bill, paid, ("customer.subscription.updated", sub))

    async def refund(self, payment: Payment, amount: int, *, pending: bool = False, fails: bool = False) -> None:
        """Money goes back: at once with cards, after a while with bank debits, and now and then not at all."""
        status = "pending" if pending else "succeeded"
        made = refund(payment.charge, amount, status, self.seller.now())
        payment.refunds.append(made)
        payment.charge["amount_refunded"] += amount
        payment.charge["refunded"] = payment.charge["amount_refunded"] == payment.charge["amount"]
        await self.happen(("refund.created", made), ("charge.refunded", payment.charge))
        if not (pending or fails):
            await self.happen(("refund.updated", made), ("charge.refund.updated", made))
            return
        await self.deliveries.pause(REFUNDED_AFTER)
        made["status"] = "failed" if fails else "succeeded"
        names = ("refund.updated", "charge.refund.updated", *(("refund.failed",) if fails else ()))
        await self.happen(*((name, made) for name in names))

    async def dispute(self, payment: Payment) -> None:
        """The buyer's bank takes the whole charge back."""
        payment.dispute = dispute(payment.charge, self.seller.now())
        payment.charge["disputed"] = True
        await self.happen(
            ("charge.dispute.created", payment.dispute), ("charge.dispute.funds_withdrawn", payment.dispute)
        )

    async def close_dispute(self, disputed: Entity, *, won: bool) -> None:
        """The bank decides."""
        disputed["status"] = "won" if won else "lost"
        names = ("charge.dispute.closed", *(("charge.dispute.funds_reinstated",) if won else ()))
        await self.happen(*((name, disputed) for name in names))

    async def _subscribe(self, sale: Entity) -> None:
        seller, inside = self.seller, self.seller.inside[sale["id"]]
        items = self.seller.items[sale["id"]]
        sub = subscription(items, _metadata(inside), seller.now(), live=seller.live)
        seller.subscriptions[sub["id"]] = sub
        trial = bool(inside.get("trial_period_days"))
        paid, bill = self._bill(items, sub, "subscription_create", 0 if trial else sale["amount_total"])
        status = "no_payment_required" if trial else "paid"
        self._complete(sale, payment_status=status, subscription=sub["id"], invoice=bill["id"])
        await self._billed(bill, paid, ("customer.subscription.created", sub))
        await self.happen(("checkout.session.completed", sale))

    def _bill(self, items: Sequence[Item], sub: Entity, reason: str, amount: int) -> tuple[Payment | None, Entity]:
        """Make an invoice and, unless there is nothing to pay, its payment, whose intent has no metadata."""
        seller, at = self.seller, self.seller.now()
        intent = payment_intent(amount, sub["currency"], {}, at, live=seller.live)
        paid = self._succeed(intent) if amount else None
        name = intent["id"] if paid else None
        bill = invoice(items, sub, at, reason=reason, amount=amount, intent=name, shape=seller.settings.version)
        seller.invoices[bill["id"]] = bill
        if paid:
            seller.invoice_payments.append(invoice_payment(bill, intent, at))
        return paid, bill

    async def _billed(self, bill: Entity, paid: Payment | None, about: tuple[str, Entity]) -> None:
        """Tell of a paid invoice in all its ways."""
        open_bill = {**bill, "status": "open", "amount_paid": 0, "amount_remaining": bill["amount_due"]}
        money = [("charge.succeeded", paid.charge), ("payment_intent.succeeded", paid.intent)] if paid else []
        link = [("invoice_payment.paid", row) for row in self.seller.invoice_payments if row["invoice"] == bill["id"]]
        await self.happen(
            ("invoice.created", {**open_bill, "status": "draft"}),
            ("invoice.finalized", open_bill),
            *money,
            about,
            ("invoice.paid", bill),
            ("invoice.payment_succeeded", bill),
            *link,
        )

    def _intent(self, sale: Entity) -> Entity:
        metadata = _metadata(self.seller.inside[sale["id"]])
        return payment_intent(
            sale["amount_total"], sale["currency"], metadata, self.seller.now(), live=self.seller.live
        )

    def _succeed(self, intent: Entity) -> Payment:
        paid = charge(intent, self.seller.now())
        intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=paid["id"])
        self.seller.payments[intent["id"]] = Payment(intent=intent, charge=paid)
        return self.seller.payments[intent["id"]]

    def _complete(self, sale: Entity, **changes: object) -> None:
        sale.update(changes, status="complete", url=None, customer=new_id("cus"))


def _metadata(inside: Mapping[str, object]) -> Mapping[str, str]:
    found = inside.get("metadata")
    return found if isinstance(found, dict) else {}
