"""What the imitated Polar organization knows and how it is set to behave. Nothing here waits or sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gateway.sdk import stand_in
from gateway.sdk.stand_in import NotPossible
from providers.polar.stand_in.objects import FEE_FIXED, FEE_PERCENT, Product, checkout, refund
from providers.polar.stand_in.wire import Entity, timestamp


@dataclass(slots=True, kw_only=True)
class Settings(stand_in.Settings):
    """How the stand-in behaves. `enabled` is the webhook endpoint's switch, which Polar turns off by itself."""

    enabled: bool = True


@dataclass(slots=True)
class Seller:
    """The organization: what was bought. Unknown product ids cost what `default_product` costs."""

    address: str
    now: Callable[[], datetime]
    settings: Settings = field(default_factory=Settings)
    default_product: Product = field(default_factory=lambda: Product(id="default"))
    products: dict[str, Product] = field(default_factory=dict)
    checkouts: dict[str, Entity] = field(default_factory=dict)
    orders: dict[str, Entity] = field(default_factory=dict)
    refunds: dict[str, Entity] = field(default_factory=dict)
    subscriptions: dict[str, Entity] = field(default_factory=dict)
    customers: dict[str, Entity] = field(default_factory=dict)
    paying: set[str] = field(default_factory=set)
    declined: set[str] = field(default_factory=set)
    return_to: dict[str, str] = field(default_factory=dict)

    def product(self, product_id: str) -> Product:
        """Return the product of that id."""
        return self.products.get(product_id) or replace(self.default_product, id=product_id)

    def open_checkout(self, asked: Mapping[str, Any], product_id: str) -> Entity:
        """Keep an open checkout with a page of our own."""
        quantity = asked.get("seats") or asked.get("units") or 1
        made = checkout(asked, self.product(product_id), quantity, self.address, self.now())
        self.checkouts[made["id"]] = made
        return made

    def checkout(self, name: object) -> Entity:
        """Return the checkout of that id or client secret."""
        for made in self.checkouts.values():
            if name in (made["id"], made["client_secret"]):
                return made
        raise NotPossible("there is no such checkout")

    def order(self, order_id: object) -> Entity:
        """Return the order of that id."""
        found = self.orders.get(order_id) if isinstance(order_id, str) else None
        if found is None:
            raise NotPossible("there is no such order")
        return found

    def paid_by(self, checkout_id: str) -> Entity | None:
        """Return the order that a checkout led to; None while it is not paid."""
        return next((order for order in self.orders.values() if order["checkout_id"] == checkout_id), None)

    def order_of(self, checkout_id: str) -> Entity:
        """Return the order that a checkout led to."""
        found = self.paid_by(checkout_id)
        if found is None:
            raise NotPossible("this checkout is not paid")
        return found

    def subscription(self, name: object) -> Entity:
        """Return the subscription of that id."""
        found = self.subscriptions.get(name) if isinstance(name, str) else None
        if found is None:
            raise NotPossible("there is no such subscription")
        return found

    def touch(self, entity: Entity, **changes: Any) -> None:
        """Change an entity, as of now."""
        entity.update(changes, modified_at=timestamp(self.now()))

    def book_fee(self, sale: Entity) -> None:
        """Note Polar's fee on an order, which happens after it is paid."""
        paid = sale["due_amount"]
        fee = min(sale["net_amount"], paid * FEE_PERCENT // 100 + FEE_FIXED) if paid else 0
        sale.update(platform_fee_amount=fee, platform_fee_currency=sale["currency"])

    def refundable(self, order_id: str) -> int:
        """Return what can still go back, tax included; 0 unless the order is paid."""
        sale = self.orders[order_id]
        return sale["refundable_amount"] + sale["refundable_tax_amount"] if sale["paid"] else 0

    def open_refund(self, sale: Entity, total: int | None, status: str) -> Entity:
        """Keep a refund of `total`, or of all that is left, with its share of the tax."""
        left = self.refundable(sale["id"])
        wanted = left if total is None else total
        if not 1 <= wanted <= left:
            raise NotPossible(f"{wanted} cannot go back: {left} of this order is left")
        tax = sale["refundable_tax_amount"] if wanted == left else wanted * sale["tax_amount"] // sale["total_amount"]
        made = refund(sale, amount=wanted - tax, tax=tax, status=status, at=self.now())
        self.refunds[made["id"]] = made
        return made

    def give_back(self, sale: Entity, refunded: Entity) -> None:
        """Note on an order that a refund of it has succeeded."""
        sale["refunded_amount"] += refunded["amount"]
        sale["refunded_tax_amount"] += refunded["tax_amount"]
        sale["refundable_amount"] -= refunded["amount"]
        sale["refundable_tax_amount"] -= refunded["tax_amount"]
        self.touch(sale, status="refunded" if sale["refundable_amount"] == 0 else "partially_refunded")
