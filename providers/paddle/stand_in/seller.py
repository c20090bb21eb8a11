"""What the imitated Paddle account knows and how it is set to behave. Nothing here waits or sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.sdk import stand_in
from providers.paddle.stand_in.objects import Entity, Item, Price, new_id, timestamp, transaction


@dataclass(slots=True, kw_only=True)
class Settings(stand_in.Settings):
    """
    How the stand-in behaves.

    Paddle waits 5 seconds for an answer. Without `default_payment_link` checkouts are refused as Paddle refuses them.
    """

    timeout_seconds: float = 5.0
    default_payment_link: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, with its entity as it was then."""

    id: str
    type: str
    occurred_at: datetime
    data: Entity = field(repr=False)

    def envelope(self) -> Entity:
        """Return the event as `GET /events` lists it; webhooks add a `notification_id`."""
        return {
            "event_id": self.id,
            "event_type": self.type,
            "occurred_at": timestamp(self.occurred_at),
            "data": self.data,
        }


@dataclass(slots=True)
class Seller:
    """The account: what was bought, and the list of events. Unknown price ids cost `default_price`."""

    address: str
    now: Callable[[], datetime]
    settings: Settings = field(default_factory=Settings)
    default_price: Price = field(default_factory=lambda: Price(id="pri_default", amount=6500, currency="USD"))
    prices: dict[str, Price] = field(default_factory=dict)
    transactions: dict[str, Entity] = field(default_factory=dict)
    subscriptions: dict[str, Entity] = field(default_factory=dict)
    adjustments: dict[str, Entity] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    paying: set[str] = field(default_factory=set)
    return_to: dict[str, str] = field(default_factory=dict)

    def price(self, price_id: str) -> Price:
        """Return the price of that id."""
        default = self.default_price
        return self.prices.get(price_id) or Price(
            id=price_id,
            amount=default.amount,
            currency=default.currency,
            name=default.name,
            product_id=default.product_id,
            recurring=default.recurring,
        )

    def open_transaction(
        self, items: Sequence[Item], custom_data: Mapping[str, Any] | None, origin: str = "api"
    ) -> Entity:
        """Make a draft with a checkout at our own page and keep it."""
        at = self.now()
        name = new_id("txn", at)
        url = f"{self.address}/checkout?_ptxn={name}"
        made = transaction(
            transaction_id=name, items=items, custom_data=custom_data, at=at, origin=origin, checkout_url=url
        )
        self.transactions[name] = made
        return made

    def record(self, event_type: str, entity: Entity) -> Event:
        """Put a copy of `entity` as it is now on the list of events and return the event."""
        at = self.now()
        event = Event(id=new_id("evt", at), type=event_type, occurred_at=at, data=deepcopy(entity))
        self.events.append(event)
        return event

    def event(self, event_id: str) -> Event | None:
        """Return the event of that id."""
        return next((event for event in self.events if event.id == event_id), None)

    def touch(self, entity: Entity, **changes: Any) -> None:
        """Change an entity, as of now."""
        entity.update(changes, updated_at=timestamp(self.now()))

    def refunded(self, transaction_id: str) -> int:
        """Return what went back or was asked back on a sale, in minor units."""
        return sum(
            int(entity["totals"]["total"])
            for entity in self.adjustments.values()
            if entity["transaction_id"] == transaction_id
            and entity["action"] in ("refund", "chargeback")
            and entity["status"] in ("pending_approval", "approved")
        )

    def refundable(self, transaction_id: str) -> int:
        """Return what can still go back, in minor units; 0 unless the sale is completed."""
        sale = self.transactions[transaction_id]
        if sale["status"] != "completed":
            return 0
        return int(sale["details"]["totals"]["grand_total"]) - self.refunded(transaction_id)
