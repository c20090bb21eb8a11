"""
What happens at Polar, in Polar's order (https://polar.sh/docs/integrate/webhooks/events).

Each story changes the seller's objects and queues every event with its object as it is then.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from gateway.sdk.stand_in import NotPossible
from providers.polar.stand_in.deliveries import Deliveries
from providers.polar.stand_in.objects import customer, order, subscription
from providers.polar.stand_in.seller import Seller
from providers.polar.stand_in.wire import Entity, envelope

CHARGED_AFTER = 1.5
"""Seconds from the button to the bank's answer."""

SETTLED_AFTER = 4.0
"""Seconds until a pending refund succeeds or fails; at real banks hours or days."""


@dataclass(frozen=True, slots=True)
class Stories:
    """Everything that can happen to a sale."""

    seller: Seller
    deliveries: Deliveries

    def happen(self, event_type: str, entity: Entity) -> None:
        """Queue an event."""
        self.deliveries.send(envelope(event_type, entity, self.seller.now()))

    def pay(self, checkout: Entity, *, decline: bool = False) -> None:
        """Begin a payment; a second click while one runs, or after it, changes nothing."""
        if checkout["status"] == "open" and checkout["id"] not in self.seller.paying:
            self.seller.paying.add(checkout["id"])
            self.deliveries.start(
                self._then_free(checkout, self._declined(checkout) if decline else self._paid(checkout))
            )

    def refund(self, sale: Entity, total: int | None = None, *, pending: bool = False, fail: bool = False) -> Entity:
        """Give all that is left, or a part, back: at once, or after the bank has thought about it."""
        made = self.seller.open_refund(sale, total, "pending" if pending or fail else "succeeded")
        self.happen("refund.created", made)
        if made["status"] == "succeeded":
            self._given_back(sale, made)
        else:
            self.deliveries.start(self._settle(sale, made, fail=fail))
        return made

    def renew(self, running: Entity, *, decline: bool = False) -> Entity:
        """Let the next month of a subscription begin; the new order is paid a little later, or not."""
        first = next(sale for sale in self.seller.orders.values() if sale["subscription_id"] == running["id"])
        self.happen("subscription.cycled", running)
        self.happen("subscription.updated", running)
        renewal = order(
            product=self.seller.product(running["product_id"]),
            total=running["amount"],
            status="pending",
            reason="subscription_cycle",
            metadata=running["metadata"],
            at=self.seller.now(),
            buyer=first["customer"],
            subscription=running,
        )
        self.seller.orders[renewal["id"]] = renewal
        self.happen("order.created", renewal)
        if decline:
            self.happen("subscription.past_due", {**running, "status": "past_due"})
        else:
            self.deliveries.start(self._charge(renewal))
        return renewal

    def pay_late(self, sale: Entity) -> None:
        """Let a renewal that was declined be paid after all."""
        if sale["status"] != "pending":
            raise NotPossible("this order is not waiting for its payment")
        self.deliveries.start(self._charge(sale))

    async def _paid(self, checkout: Entity) -> None:
        seller = self.seller
        seller.touch(checkout, status="confirmed")
        self.happen("checkout.updated", checkout)
        await self.deliveries.pause(CHARGED_AFTER)
        buyer = customer(checkout["customer_email"], seller.now())
        self.happen("customer.created", {**buyer})
        seller.touch(checkout, status="succeeded", customer_id=buyer["id"])
        self.happen("checkout.updated", checkout)
        product = seller.product(checkout["product_id"])
        running = self._begun(checkout, buyer) if product.recurring else None
        sale = order(
            product=product,
            total=checkout["total_amount"],
            status="paid",
            reason="subscription_create" if running else "purchase",
            metadata=checkout["metadata"],
            at=seller.now(),
            buyer=buyer,
            subscription=running,
            checkout_id=checkout["id"],
        )
        seller.orders[sale["id"]] = sale
        self.happen("order.created", sale)
        self.happen("order.paid", sale)
        seller.book_fee(sale)

    def _begun(self, checkout: Entity, buyer: Entity) -> Entity:
        running = subscription(checkout, buyer, self.seller.now())
        self.seller.subscriptions[running["id"]] = running
        for name in ("created", "updated", "active"):
            self.happen(f"subscription.{name}", running)
        return running

    async def _declined(self, checkout: Entity) -> None:
        self.seller.touch(checkout, status="confirmed")
        self.happen("checkout.updated", checkout)
        await self.deliveries.pause(CHARGED_AFTER)
        self.seller.touch(checkout, status="open")
        self.happen("checkout.updated", checkout)
        self.seller.declined.add(checkout["id"])

    async def _then_free(self, checkout: Entity, story: Coroutine[Any, Any, None]) -> None:
        try:
            await story
        finally:
            self.seller.paying.discard(checkout["id"])

    async def _charge(self, sale: Entity) -> None:
        await self.deliveries.pause(CHARGED_AFTER)
        self.seller.touch(sale, status="paid", paid=True)
        self.happen("order.updated", sale)
        self.happen("order.paid", sale)
        self.seller.book_fee(sale)

    async def _settle(self, sale: Entity, made: Entity, *, fail: bool) -> None:
        await self.deliveries.pause(SETTLED_AFTER)
        self.seller.touch(made, status="failed" if fail else "succeeded")
        self.happen("refund.updated", made)
        if not fail:
            self._given_back(sale, made)

    def _given_back(self, sale: Entity, made: Entity) -> None:
        self.seller.give_back(sale, made)
        self.happen("order.updated", sale)
        self.happen("order.refunded", sale)
