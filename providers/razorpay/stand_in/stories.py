"""
What happens at Razorpay, in Razorpay's order, which Razorpay does not promise to keep
(https://razorpay.com/docs/webhooks/validate-test, "Order of webhooks").

Each story changes the seller's entities and sends every event once before it goes on; retries run beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sdk import Money
from gateway.sdk.stand_in import NotPossible
from providers.razorpay.stand_in.deliveries import Deliveries
from providers.razorpay.stand_in.objects import (
    MONTH,
    Entity,
    dispute,
    invoice,
    new_id,
    order,
    payment,
    refund,
    subscription,
)
from providers.razorpay.stand_in.seller import Seller


@dataclass(frozen=True, slots=True)
class Stories:
    """Everything that can happen to a sale. The plain methods check and change, then begin what is told."""

    seller: Seller
    deliveries: Deliveries

    def pay(self, link: Entity) -> None:
        """The buyer pays; a second click changes nothing."""
        if link["status"] != "created":
            return
        at, notes = self.seller.now(), link["notes"] or {}
        worth = Money(link["amount"], link["currency"])
        ordered = order(worth, notes, link["reference_id"] or None, at)
        own = {"order_id": ordered["id"], "description": "#" + link["id"].removeprefix("plink_")}
        paid = payment(worth, notes if self.seller.settings.copy_notes else {}, at, **own)
        self.seller.orders[ordered["id"]], self.seller.payments[paid["id"]] = ordered, paid
        shown = {"amount": worth.minor, "method": paid["method"], "payment_id": paid["id"], "status": "captured"}
        done = {"status": "paid", "amount_paid": worth.minor, "payments": [shown], "order_id": ordered["id"]}
        self.seller.touch(link, done)
        self.deliveries.start(self._paid(link, ordered, paid))

    def decline(self, link: Entity) -> None:
        """The buyer's bank says no; the link stays open."""
        if link["status"] != "created":
            return
        no = {"status": "failed", "captured": False, "fee": None, "tax": None, "error_code": "BAD_REQUEST_ERROR"}
        failed = payment(Money(link["amount"], link["currency"]), link["notes"] or {}, self.seller.now(), **no)
        self.seller.payments[failed["id"]] = failed
        self.deliveries.start(self._tell(("payment.failed", {"payment": failed})))

    def refund(self, paid: Entity, amount: int | None = None) -> Entity:
        """All that is left, or a part, goes back."""
        left = paid["amount"] - paid["amount_refunded"]
        wanted = left if amount is None else amount
        if not 1 <= wanted <= left:
            raise NotPossible(f"{wanted} cannot go back: {left} of this payment is left")
        back = refund(paid, wanted, self.seller.now())
        paid["amount_refunded"] += wanted
        paid["refund_status"] = "full" if wanted == left else "partial"
        paid["status"] = "refunded" if wanted == left else "captured"
        self.seller.refunds[back["id"]] = back
        pending = {**back, "status": "pending", "speed_processed": None}
        self.deliveries.start(
            self._tell(
                ("refund.created", {"refund": pending, "payment": paid}),
                ("refund.processed", {"refund": back, "payment": paid}),
            )
        )
        return back

    def dispute(self, paid: Entity, amount: int | None, outcome: str) -> Entity:
        """The buyer's bank disputes the payment, and the seller loses or wins."""
        opened = dispute(paid, paid["amount"] if amount is None else amount, self.seller.now())
        taken = opened["amount"] if outcome == "lost" else 0
        ended = {**opened, "status": outcome, "amount_deducted": taken}
        self.seller.disputes[opened["id"]] = ended
        self.deliveries.start(
            self._tell(
                ("payment.dispute.created", {"payment": paid, "dispute": opened}),
                (f"payment.dispute.{outcome}", {"payment": paid, "dispute": ended}),
            )
        )
        return ended

    def charge(self, subscription_id: str | None, worth: Money, notes: Mapping[str, Any]) -> Entity:
        """A subscription is charged: a new one for the first time, a known one for its next month."""
        at = self.seller.now()
        plan = self.seller.subscriptions.get(subscription_id) if subscription_id else subscription(notes, at)
        if plan is None:
            raise NotPossible("there is no such subscription")
        self.seller.subscriptions[plan["id"]] = plan
        ahead = int(MONTH.total_seconds()) * plan["paid_count"]
        plan |= {"current_start": plan["start_at"] + ahead, "paid_count": plan["paid_count"] + 1}
        plan |= {"current_end": plan["current_start"] + int(MONTH.total_seconds()), "remaining_count": 12}
        told = "Recurring Payment via Subscription"
        paid = payment(worth, {}, at, order_id=new_id("order"), description=told)
        billed = invoice(plan, paid, at)
        paid["invoice_id"] = billed["id"]
        self.seller.payments[paid["id"]], self.seller.invoices[billed["id"]] = paid, billed
        self.deliveries.start(
            self._tell(
                ("payment.captured", {"payment": paid}),
                ("subscription.charged", {"subscription": plan, "payment": {**paid, "captured": "1"}}),
            )
        )
        return plan

    async def _paid(self, link: Entity, ordered: Entity, paid: Entity) -> None:
        authorized = {**paid, "status": "authorized", "captured": False, "fee": None, "tax": None}
        shown = {name: value for name, value in link.items() if name != "payments"}
        await self._tell(
            ("payment.authorized", {"payment": authorized}),
            ("payment.captured", {"payment": paid}),
            ("order.paid", {"payment": paid, "order": ordered}),
            ("payment_link.paid", {"payment_link": shown, "order": ordered, "payment": paid}),
        )

    async def _tell(self, *told: tuple[str, dict[str, Entity]]) -> None:
        """Record everything first: what happens later is not in what is told now."""
        for event in [self.seller.record(name, **entities) for name, entities in told]:
            await self.deliveries.deliver(event)
