"""
What is sold, drawn from a seed: movements of money and the webhooks that tell of them. Pure.

The mix is that of a shop that has seen everything: subscriptions and their renewals, some of which carry no ids and
come before their first sale; refunds, some of which overtake their sale; the same sale told twice, by two events;
webhooks that say nothing about money; sales without a visitor and sales of nothing. Rarities come at fixed distances,
so that the rate of what can be recorded does not depend on luck.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

PRICES = ((6500, "USD"), (990, "USD"), (19900, "USD"), (4900, "EUR"), (12900, "EUR"), (1200, "JPY"), (98000, "JPY"))
EVERY_FREE, EVERY_ANONYMOUS = 97, 61
"""Of so many sales one is of nothing, and of so many one has no visitor."""

LATE = 3.0
"""Seconds by which a sale is overtaken by what refers to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money that moved: `amount` minor units, which must end up with `visitor`, sent under `order_id`."""

    site: str
    key: str
    kind: str
    payment_id: str
    amount: int
    currency: str
    visitor: str | None
    order_id: str
    reference: str | None = None
    subscription_id: str | None = None

    @property
    def is_sale(self) -> bool:
        return self.kind in ("purchase", "renewal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One webhook: what it tells, and how many seconds late. `copies` beyond 1 are duplicates."""

    id: str
    type: str
    movement: Movement
    tells: bool = True
    with_ids: bool = True
    delay: float = 0.0
    copies: int = 1


@dataclass(slots=True)
class Market:
    """Sells for ever, site after site."""

    sites: Sequence[str]
    draw: Random
    movements: dict[tuple[str, str], Movement] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _sold: int = 0
    _subscriptions: dict[str, list[Movement]] = field(default_factory=dict)

    @property
    def sales(self) -> int:
        return self._sold

    def sell(self) -> list[Event]:
        """Return the webhooks of one more sale, and of what follows from it."""
        self._sold += 1
        site = self.sites[self._sold % len(self.sites)]
        running = self._subscriptions.setdefault(site, [])
        if running and self.draw.random() < 0.2:
            return self._told(self._renewal(self.draw.choice(running[-200:])), with_ids=self.draw.random() < 0.8)
        sale = self._purchase(site)
        if sale.subscription_id is None:
            return self._told(sale)
        running.append(sale)
        if self.draw.random() > 0.05:
            return self._told(sale)
        self._sold += 1
        overtaking = self._told(self._renewal(sale), with_ids=self.draw.random() < 0.5)
        return [*self._told(sale, delay=LATE), *overtaking]

    def _id(self, prefix: str) -> str:
        return f"{prefix}_01{next(self._numbers):024d}"

    def _new(self, movement: Movement) -> Movement:
        self.movements[movement.site, movement.key] = movement
        return movement

    def _purchase(self, site: str) -> Movement:
        payment_id = self._id("txn")
        amount, currency = self.draw.choice(PRICES)
        number = self._sold // len(self.sites)
        anonymous, free = number % EVERY_ANONYMOUS == 7, number % EVERY_FREE == 11
        subscribes = not (anonymous or free) and self.draw.random() < 0.3
        order = self._id("ord")
        return self._new(
            Movement(
                site=site,
                key=f"payment:{payment_id}",
                kind="purchase",
                payment_id=payment_id,
                amount=0 if free else amount,
                currency=currency,
                visitor=None if anonymous else f"{site}:visitor_{self.draw.randrange(10**9)}",
                order_id=order,
                reference=order,
                subscription_id=self._id("sub") if subscribes else None,
            )
        )

    def _renewal(self, first: Movement) -> Movement:
        payment_id = self._id("txn")
        return self._new(
            replace(first, key=f"payment:{payment_id}", kind="renewal", payment_id=payment_id, order_id=payment_id)
        )

    def _refund(self, sale: Movement) -> Movement:
        adjustment_id = self._id("adj")
        part = self.draw.choice((1, 1, 2))
        changes = {"kind": "refund", "amount": sale.amount // part, "order_id": adjustment_id, "reference": None}
        return self._new(replace(sale, key=f"refund:{adjustment_id}", **changes))

    def _told(self, sale: Movement, *, with_ids: bool = True, delay: float = 0.0) -> list[Event]:
        """Return the webhooks about a sale: the one that confirms it, and now and then others."""
        refunded = sale.amount > 0 and sale.kind == "purchase" and self.draw.random() < 0.08
        overtaken = refunded and self.draw.random() < 0.3
        delay = LATE if overtaken else delay
        copies = 2 if self.draw.random() < 0.04 else 1
        told = [self._event("transaction.completed", sale, delay=delay, with_ids=with_ids, copies=copies)]
        if self.draw.random() < 0.12:
            when = delay + self.draw.choice((-0.5, 0.2, 2.0))
            told.append(self._event("transaction.updated", sale, delay=max(0.0, when), with_ids=with_ids))
        if self.draw.random() < 0.06:
            told.append(self._event("transaction.paid", sale, tells=False, with_ids=with_ids))
        if refunded:
            told.append(self._event("adjustment.updated", self._refund(sale), delay=0.0 if overtaken else 1.0))
        return told

    def _event(self, event_type: str, movement: Movement, **what: object) -> Event:
        return Event(id=self._id("evt"), type=event_type, movement=movement, **what)  # type: ignore[arg-type]
