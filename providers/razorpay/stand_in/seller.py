"""What the imitated Razorpay account knows and how it is set to behave. Nothing here waits or sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.sdk import stand_in
from gateway.sdk.stand_in import NotPossible
from providers.razorpay.stand_in.objects import Entity, new_id, seconds, webhook

ACCOUNT = "acc_StandIn0000000"


@dataclass(slots=True, kw_only=True)
class Settings(stand_in.Settings):
    """
    How the stand-in behaves.

    `secret` is the place of the webhook secret in the connection's list: changing it is what a rotation in the
    dashboard does. `copy_notes` False leaves a payment link's notes out of its payment, as Razorpay's samples of 2020
    do. `disabled` is what Razorpay does to a webhook after 24 hours of failures.
    """

    timeout_seconds: float = 5.0
    secret: int = 0
    copy_notes: bool = True
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `id` is what the header x-razorpay-event-id says."""

    id: str
    name: str
    body: Entity = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Seller:
    """The account: what was sold, and the events that it caused."""

    address: str
    now: Callable[[], datetime]
    settings: Settings = field(default_factory=Settings)
    links: dict[str, Entity] = field(default_factory=dict)
    orders: dict[str, Entity] = field(default_factory=dict)
    payments: dict[str, Entity] = field(default_factory=dict)
    refunds: dict[str, Entity] = field(default_factory=dict)
    disputes: dict[str, Entity] = field(default_factory=dict)
    invoices: dict[str, Entity] = field(default_factory=dict)
    subscriptions: dict[str, Entity] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    return_to: dict[str, str] = field(default_factory=dict)

    def record(self, name: str, **entities: Entity) -> Event:
        """Put an event with the entities as they are now on the list and return it."""
        body = webhook(name, ACCOUNT, deepcopy(entities), self.now())
        event = Event(id=new_id("evt"), name=name, body=body)
        self.events.append(event)
        return event

    def event(self, event_id: str) -> Event:
        """Return the event of that id."""
        found = next((event for event in self.events if event.id == event_id), None)
        if found is None:
            raise NotPossible("there is no such event")
        return found

    def link(self, name: str) -> Entity:
        """Return the payment link of that id."""
        if name not in self.links:
            raise NotPossible("there is no such payment link")
        return self.links[name]

    def payment(self, name: str) -> Entity:
        """Return the captured payment of that id, or that of the payment link of that id."""
        if name in self.links and self.links[name]["payments"]:
            name = self.links[name]["payments"][-1]["payment_id"]
        found = self.payments.get(name)
        if found is None or found["status"] not in ("captured", "refunded"):
            raise NotPossible("there is no such payment that was captured")
        return found

    def touch(self, entity: Entity, changes: Mapping[str, Any]) -> None:
        """Change a payment link, as of now."""
        entity.update(changes, updated_at=seconds(self.now()))
