"""What the store sells and sold: its resources, in memory only, and how the stand-in behaves."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.sdk import Money, stand_in
from providers.lemonsqueezy.stand_in import objects
from providers.lemonsqueezy.stand_in.objects import Entity, timestamp
from providers.lemonsqueezy.stand_in.samples import DEFAULT_AMOUNT


@dataclass(slots=True, kw_only=True)
class Settings(stand_in.Settings):
    """
    How the stand-in behaves. `recurring` makes what is sold a subscription.

    `first_refund` is what a refund of a subscription's first payment is reported as: the documentation leaves it open.
    """

    amount: int = DEFAULT_AMOUNT.minor
    currency: str = DEFAULT_AMOUNT.currency
    recurring: bool = True
    first_refund: Literal["both", "order", "invoice"] = "both"


@dataclass(slots=True, kw_only=True)
class Sold:
    """One checkout and what became of it. `custom_data` travels in all its webhooks."""

    checkout: Entity
    custom_data: Mapping[str, str]
    variant_id: int
    quantity: int
    redirect_url: str | None
    declined: bool = False
    order: Entity | None = None
    subscription: Entity | None = None
    invoices: list[Entity] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Store:
    """The store; numbers of all kinds of resources come from series of their own, as at Lemon Squeezy."""

    address: str
    store_id: int
    test_mode: bool
    now: Callable[[], datetime]
    settings: Settings = field(default_factory=Settings)
    sold: dict[str, Sold] = field(default_factory=dict)
    _numbers: Mapping[str, Iterator[int]] = field(
        default_factory=lambda: {kind: itertools.count(1) for kind in ("orders", "subscriptions", "invoices")},
        repr=False,
    )

    def open_checkout(
        self, variant_id: int, quantity: int, custom_data: Mapping[str, str], redirect_url: str | None
    ) -> Entity:
        """Return a new checkout with the address of its page."""
        name, now = str(uuid.uuid4()), timestamp(self.now())
        attributes = {
            "store_id": self.store_id,
            "variant_id": variant_id,
            "custom_price": None,
            "product_options": {"redirect_url": redirect_url or "", "enabled_variants": [variant_id]},
            "checkout_options": {"embed": False},
            "checkout_data": {"custom": dict(custom_data), "variant_quantities": []},
            "expires_at": None,
            "created_at": now,
            "updated_at": now,
            "test_mode": self.test_mode,
            "url": f"{self.address}/checkout/custom/{name}?signature={uuid.uuid4().hex}",
        }
        checkout = objects.resource("checkouts", name, attributes, ("store", "variant"))
        self.sold[name] = Sold(
            checkout=checkout,
            custom_data=dict(custom_data),
            variant_id=variant_id,
            quantity=quantity,
            redirect_url=redirect_url,
        )
        return checkout

    def price(self, sold: Sold) -> Money:
        """Return what a checkout costs."""
        return Money(self.settings.amount * sold.quantity, self.settings.currency)

    def pay(self, sold: Sold) -> None:
        """Let the buyer pay: an order, and for a recurring variant a subscription and its first invoice."""
        at, amount = self.now(), self.price(sold)
        sold.order = objects.order(
            self._next("orders"),
            store_id=self.store_id,
            variant_id=sold.variant_id,
            quantity=sold.quantity,
            amount=amount,
            at=at,
            test_mode=self.test_mode,
        )
        if self.settings.recurring:
            sold.subscription = objects.subscription(self._next("subscriptions"), sold.order, at)
            self.bill(sold, sold.subscription, "initial", amount)

    def bill(self, sold: Sold, subscription: Entity, reason: str, amount: Money) -> Entity:
        """Return a new invoice of a subscription, paid."""
        made = objects.invoice(
            self._next("invoices"),
            store_id=self.store_id,
            subscription_id=objects.number(subscription["id"]),
            reason=reason,
            amount=amount,
            at=self.now(),
            test_mode=self.test_mode,
        )
        sold.invoices.append(made)
        return made

    def listed(self, kind: str) -> list[Entity]:
        """Return all orders or invoices, newest first."""
        found = [
            entity
            for sold in self.sold.values()
            for entity in ([sold.order] if kind == "orders" else sold.invoices)
            if entity is not None
        ]
        return sorted(found, key=lambda entity: (entity["attributes"]["created_at"], int(entity["id"])), reverse=True)

    def subscription(self, name: str) -> Entity | None:
        """Return the subscription of that number."""
        running = (sold.subscription for sold in self.sold.values())
        return next((one for one in running if one is not None and one["id"] == name), None)

    def _next(self, kind: str) -> str:
        return str(next(self._numbers[kind]))
