"""
What happens at Paddle, in Paddle's order (https://developer.paddle.com/webhooks/overview and the fixtures of its SDKs).

Each story changes the seller's entities and sends every event once before it goes on; retries run beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from providers.paddle.stand_in import people
from providers.paddle.stand_in.deliveries import Deliveries
from providers.paddle.stand_in.objects import Entity, Item, adjusted_totals, new_id, payment, timestamp, totals
from providers.paddle.stand_in.seller import Seller

COMPLETED_AFTER = 1.6
"""Seconds from paid to completed; seen were 1.6, 99 and about 120."""

DECIDED_AFTER = 4.0
"""Seconds until a refund is approved or rejected; Paddle's sandbox does that every 10 minutes, too long to watch."""


@dataclass(frozen=True, slots=True)
class Stories:
    """Everything that can happen to a sale."""

    seller: Seller
    deliveries: Deliveries

    async def happen(self, event_type: str, entity: Entity) -> None:
        """Record an event and send it."""
        await self.deliveries.deliver(self.seller.record(event_type, entity))

    async def purchase(self, sale: Entity) -> None:
        """The buyer pays."""
        await self._meet_buyer(sale)
        at = self.seller.now()
        sale["payments"].insert(0, payment(sale["details"]["totals"]["grand_total"], at))
        sale["details"]["totals"]["balance"] = "0"
        self.seller.touch(sale, status="paid", billed_at=timestamp(at), billing_period=people.billing_period(at))
        await self.happen("transaction.updated", sale)
        await self.happen("transaction.paid", sale)
        if any(item["price"]["billing_cycle"] for item in sale["items"]):
            await self._begin_subscription(sale)
        await self._complete(sale)

    async def decline(self, sale: Entity) -> None:
        """The buyer's card is declined; the sale stays open for another attempt."""
        await self._meet_buyer(sale)
        amount = sale["details"]["totals"]["grand_total"]
        sale["payments"].insert(0, payment(amount, self.seller.now(), declined=True))
        self.seller.touch(sale)
        await self.happen("transaction.updated", sale)
        await self.happen("transaction.payment_failed", sale)

    async def renew(self, subscription: Entity) -> None:
        """The next month is paid by the stored card."""
        items = [
            Item(price=self.seller.price(item["price"]["id"]), quantity=item["quantity"])
            for item in subscription["items"]
        ]
        renewal = self.seller.open_transaction(items, subscription["custom_data"], "subscription_recurring")
        at = self.seller.now()
        self.seller.touch(
            renewal,
            status="billed",
            subscription_id=subscription["id"],
            customer_id=subscription["customer_id"],
            address_id=subscription["address_id"],
            billed_at=timestamp(at),
            billing_period=people.billing_period(at),
        )
        await self.happen("transaction.created", renewal)
        await self.happen("transaction.billed", renewal)
        renewal["payments"].insert(0, payment(renewal["details"]["totals"]["grand_total"], at))
        renewal["details"]["totals"]["balance"] = "0"
        self.seller.touch(renewal, status="paid")
        await self.happen("transaction.updated", renewal)
        await self.happen("transaction.paid", renewal)
        await self._complete(renewal)

    async def refund(self, sale: Entity, adjustment: Entity, *, approve: bool) -> None:
        """Somebody asked for money back; Paddle decides a little later."""
        await self.happen("adjustment.created", adjustment)
        await self.deliveries.pause(DECIDED_AFTER)
        self.seller.touch(adjustment, status="approved" if approve else "rejected")
        await self.happen("adjustment.updated", adjustment)
        if approve:
            await self._adjusted(sale)

    async def chargeback(self, sale: Entity, adjustment: Entity) -> None:
        """The buyer's bank took the money back: approved from the start."""
        await self.happen("adjustment.created", adjustment)
        await self._adjusted(sale)

    async def reverse(self, sale: Entity, chargeback: Entity, reversal: Entity) -> None:
        """The bank gave it back: an adjustment of its own, and the chargeback is marked."""
        self.seller.touch(chargeback, status="reversed")
        await self.happen("adjustment.created", reversal)
        await self.happen("adjustment.updated", chargeback)
        await self._adjusted(sale)

    async def _meet_buyer(self, sale: Entity) -> None:
        if sale["customer_id"] is not None:
            return
        at = self.seller.now()
        customer = people.customer(new_id("ctm", at), at)
        address = people.address(new_id("add", at), customer["id"], at)
        await self.happen("customer.created", customer)
        await self.happen("address.created", address)
        self.seller.touch(sale, customer_id=customer["id"], address_id=address["id"], status="ready")
        await self.happen("transaction.updated", sale)
        await self.happen("transaction.ready", sale)

    async def _begin_subscription(self, sale: Entity) -> None:
        at = self.seller.now()
        begun = people.subscription(new_id("sub", at), sale, at)
        self.seller.subscriptions[begun["id"]] = begun
        sale["subscription_id"] = begun["id"]
        await self.happen("subscription.created", {**begun, "transaction_id": sale["id"]})
        await self.happen("subscription.activated", begun)

    async def _complete(self, sale: Entity) -> None:
        await self.deliveries.pause(COMPLETED_AFTER)
        at = self.seller.now()
        details = sale["details"]
        details["totals"] = totals(int(details["totals"]["grand_total"]), sale["currency_code"], settled=True)
        details["payout_totals"] = {**details["totals"], "exchange_rate": "1", "fee_rate": "0.05"}
        number = f"325-{10_000 + len(self.seller.transactions)}"
        self.seller.touch(sale, status="completed", invoice_id=new_id("inv", at), invoice_number=number)
        await self.happen("transaction.updated", sale)
        await self.happen("transaction.completed", sale)

    async def _adjusted(self, sale: Entity) -> None:
        total, back = int(sale["details"]["totals"]["grand_total"]), self.seller.refunded(sale["id"])
        sale["details"]["adjusted_totals"] = adjusted_totals(total, back, sale["currency_code"])
        self.seller.touch(sale)
        await self.happen("transaction.updated", sale)
