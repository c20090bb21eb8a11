"""What the imitated Stripe account knows and how it is set to behave. Nothing here waits or sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.sdk import stand_in
from providers.stripe.stand_in.invoices import Shape
from providers.stripe.stand_in.objects import Entity, Item, Price, new_id, seconds, session


@dataclass(slots=True, kw_only=True)
class Settings(stand_in.Settings):
    """
    How the stand-in behaves. `return_to` goes before the session's success_url.

    `version` is the API version that events are written in. `enabled_events` are the types that are sent, all if empty.
    """

    version: Shape = "2025-03-31.basil"
    enabled_events: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, with its object as it was then."""

    id: str
    type: str
    at: datetime
    live: bool
    version: str
    entity: Entity = field(repr=False)

    def envelope(self) -> Entity:
        """Return the event as the API lists it and webhooks carry it."""
        return {
            "id": self.id,
            "object": "event",
            "api_version": self.version,
            "created": seconds(self.at),
            "data": {"object": self.entity},
            "livemode": self.live,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": self.type,
        }


@dataclass(slots=True, kw_only=True)
class Payment:
    """Money that came in: its PaymentIntent, its charge and the refunds of it."""

    intent: Entity
    charge: Entity
    refunds: list[Entity] = field(default_factory=list)
    dispute: Entity | None = None

    @property
    def left(self) -> int:
        """What can still go back, in Stripe's units."""
        gone = sum(refund["amount"] for refund in self.refunds if refund["status"] in ("succeeded", "pending"))
        return 0 if self.dispute else int(self.charge["amount"]) - gone


@dataclass(slots=True)
class Seller:
    """The account. Unknown price ids cost `default_price` and recur, unless `once` is part of the id."""

    address: str
    live: bool
    now: Callable[[], datetime]
    settings: Settings = field(default_factory=Settings)
    default_price: Price = field(default_factory=lambda: Price(id="price_default", amount=6500, currency="usd"))
    prices: dict[str, Price] = field(default_factory=dict)
    sessions: dict[str, Entity] = field(default_factory=dict)
    items: dict[str, Sequence[Item]] = field(default_factory=dict)
    inside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    subscriptions: dict[str, Entity] = field(default_factory=dict)
    invoices: dict[str, Entity] = field(default_factory=dict)
    invoice_payments: list[Entity] = field(default_factory=list)
    payments: dict[str, Payment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    paying: set[str] = field(default_factory=set)
    declined: set[str] = field(default_factory=set)
    return_to: dict[str, str] = field(default_factory=dict)
    answered: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    def price(self, price_id: str) -> Price:
        """Return the price of that id."""
        default = self.default_price
        return self.prices.get(price_id) or Price(
            id=price_id,
            amount=default.amount,
            currency=default.currency,
            name=default.name,
            product_id=default.product_id,
            recurring=default.recurring and "once" not in price_id,
        )

    def open_session(self, items: Sequence[Item], mode: str, form: Mapping[str, Any]) -> Entity:
        """Make a session with a page of ours and keep it."""
        name = new_id("cs_live" if self.live else "cs_test")
        made = session(
            session_id=name,
            url=f"{self.address}/c/pay/{name}",
            mode=mode,
            items=items,
            form=form,
            at=self.now(),
            live=self.live,
        )
        inside = form.get("subscription_data" if mode == "subscription" else "payment_intent_data")
        self.sessions[name], self.items[name] = made, items
        self.inside[name] = inside if isinstance(inside, dict) else {}
        return made

    def record(self, event_type: str, entity: Entity) -> Event:
        """Put a copy of `entity` as it is now on the list of events and return the event."""
        event = Event(
            id=new_id("evt"),
            type=event_type,
            at=self.now(),
            live=self.live,
            version=self.settings.version,
            entity=deepcopy(entity),
        )
        self.events.append(event)
        return event

    def event(self, event_id: str) -> Event | None:
        """Return the event of that id."""
        return next((event for event in self.events if event.id == event_id), None)

    def payment_of(self, checkout: Entity) -> Payment | None:
        """Return the payment of a session, in whichever mode."""
        paid = checkout["payment_intent"]
        if checkout["invoice"]:
            linked = (row for row in self.invoice_payments if row["invoice"] == checkout["invoice"])
            paid = next((row["payment"]["payment_intent"] for row in linked), None)
        return self.payments.get(paid) if paid else None
