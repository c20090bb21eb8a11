"""What a buyer or the store's owner can do, and the webhooks that follow, in Lemon Squeezy's order."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from gateway.sdk.stand_in import NotPossible
from providers.lemonsqueezy.stand_in import objects
from providers.lemonsqueezy.stand_in.deliveries import Deliveries
from providers.lemonsqueezy.stand_in.objects import Entity
from providers.lemonsqueezy.stand_in.store import Sold, Store


@dataclass(frozen=True, slots=True)
class Actions:
    """The store and its webhook."""

    store: Store
    deliveries: Deliveries

    def sold(self, checkout_id: object) -> Sold:
        """Return the checkout of that id."""
        found = self.store.sold.get(checkout_id) if isinstance(checkout_id, str) else None
        if found is None:
            raise NotPossible("there is no such checkout")
        return found

    def pay(self, sold: Sold) -> None:
        """Let the buyer pay; a second click changes nothing."""
        if sold.order is not None:
            return
        self.store.pay(sold)
        told: list[tuple[str, Entity | None]] = [("order_created", sold.order)]
        if sold.subscription is not None:
            told += [
                ("subscription_created", sold.subscription),
                ("subscription_payment_success", sold.invoices[0]),
            ]
        self._tell(sold, *told)

    def decline(self, sold: Sold) -> None:
        """Let the card be declined: the page says so, and no webhook is sent."""
        sold.declined = sold.order is None

    def renew(self, sold: Sold) -> Entity:
        """Let the next month be paid."""
        if sold.subscription is None:
            raise NotPossible("this is no subscription")
        invoice = self.store.bill(sold, sold.subscription, "renewal", self.store.price(sold))
        self._tell(sold, ("subscription_updated", sold.subscription), ("subscription_payment_success", invoice))
        return invoice

    def refund(self, sold: Sold, amount: int | None = None, invoice_id: str | None = None) -> None:
        """Give all that is left, or a part, of the order or of a later invoice back."""
        sale = self._refundable(sold, invoice_id)
        left = sale["attributes"]["total"] - sale["attributes"]["refunded_amount"]
        back = left if amount is None else amount
        if not 1 <= back <= left:
            raise NotPossible(f"{back} cannot go back: {left} of this sale is left")
        objects.refund(sale, back, self.store.now())
        if sale is sold.order:
            self._tell_first_refund(sold, sold.order, back)
        else:
            self._tell(sold, ("subscription_payment_refunded", sale))

    def left(self, sold: Sold) -> int:
        """Return how much of the order can still go back."""
        of = sold.order["attributes"] if sold.order else {"total": 0, "refunded_amount": 0}
        return int(of["total"] - of["refunded_amount"])

    def _refundable(self, sold: Sold, invoice_id: str | None) -> Entity:
        if sold.order is None:
            raise NotPossible("nothing has been paid yet")
        if invoice_id is None:
            return sold.order
        later = [one for one in sold.invoices[1:] if one["id"] == invoice_id]
        if not later:
            raise NotPossible("there is no such later invoice")
        return later[0]

    def _tell_first_refund(self, sold: Sold, order: Entity, back: int) -> None:
        """The first payment of a subscription is an order and an invoice; both may be reported refunded."""
        if sold.subscription is None:
            self._tell(sold, ("order_refunded", order))
            return
        first = sold.invoices[0]
        objects.refund(first, back, self.store.now())
        both = {"order": ("order_refunded", order), "invoice": ("subscription_payment_refunded", first)}
        reported = self.store.settings.first_refund
        self._tell(sold, *(both.values() if reported == "both" else [both[reported]]))

    def _tell(self, sold: Sold, *told: tuple[str, Entity | None]) -> None:
        """Send one webhook for each, with the resource as it is now."""
        self.deliveries.send(
            *(objects.webhook(name, copy.deepcopy(entity), sold.custom_data) for name, entity in told if entity)
        )
