"""A booking desk: decides revenue events one after the other and remembers them as the ledger would."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.attribution import Attribution
from gateway.domain.booking import Booked, Decision, decide
from gateway.domain.books import Books, KnownCheckout, Rules
from gateway.domain.delivery import Status
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind

RULES = Rules(
    connection="paddle",
    plugin="paddle",
    live=True,
    claims="all",
    forward=True,
    api="revenue",
    basis="gross",
    amount_unit="minor",
    forward_refunds=True,
    forward_test=False,
    currencies=None,
)
MORNING = datetime(2026, 11, 2, 9, tzinfo=UTC)


class Desk:
    """
    One site's desk. Amounts are minor units; `tax` and `net` take them too.

    Events: `purchase`, `renewal`, `refund`, `reversal`, `total` (a running total). What is known: `knows_checkout`,
    `foreign`. Acting: `decide` asks, `book` expects a booking and remembers it.
    """

    def __init__(self, **rules):
        self.rules = replace(RULES, **rules)
        self.books = Books()
        self.now = MORNING

    def now_with(self, **rules):
        """Another connection of the site, or the same one after a change of the configuration."""
        self.rules = replace(self.rules, **rules)
        return self

    @staticmethod
    def event(kind, key, payment, minor=6500, currency="USD", *, visitor=None, session=None, token=None, **fields):
        for figure in ("tax", "net"):
            if isinstance(fields.get(figure), int):
                fields[figure] = Money(fields[figure], currency)
        who = Attribution(visitor_id=visitor, session_id=session, token=token)
        amount = Money(minor, currency)
        what = {"occurred_at": MORNING, "attribution": who, **fields}
        return RevenueEvent(kind=kind, key=key, payment_id=payment, amount=amount, **what)

    def purchase(self, payment="txn_1", minor=6500, currency="USD", **fields):
        return self.event(RevenueKind.PURCHASE, f"payment:{payment}", payment, minor, currency, **fields)

    def renewal(self, payment="txn_2", minor=6500, currency="USD", **fields):
        fields = {"subscription_id": "sub_1", **fields}
        return self.event(RevenueKind.RENEWAL, f"payment:{payment}", payment, minor, currency, **fields)

    def refund(self, own="adj_1", minor=6500, currency="USD", of="txn_1", **fields):
        return self.event(RevenueKind.REFUND, f"refund:{own}", of, minor, currency, **fields)

    def reversal(self, own="adj_9", minor=6500, currency="USD", of="txn_1", **fields):
        return self.event(RevenueKind.REFUND_REVERSAL, f"reversal:{own}", of, minor, currency, **fields)

    def total(self, minor, currency="USD", of="txn_1", **fields):
        key = f"refunds:{of}:{minor}"
        return self.event(RevenueKind.REFUND, key, of, minor, currency, cumulative=True, **fields)

    def knows_checkout(self, order_id, checkout_id=None, connection="paddle", **ids):
        checkout = KnownCheckout(
            order_id=order_id, connection=connection, checkout_id=checkout_id, attribution=Attribution(**ids)
        )
        self.books.orders[order_id] = checkout
        if checkout_id:
            self.books.checkouts[connection, checkout_id] = checkout

    def foreign(self, *refs):
        self.books.foreign |= {(self.rules.connection, ref) for ref in refs}

    def decide(self, event, *, event_key="evt_1", may_wait=True) -> Decision:
        self.now += timedelta(minutes=1)
        return decide(event, self.rules, self.books, now=self.now, event_key=event_key, may_wait=may_wait)

    def book(self, event, *, became: Status | None = None, attempted=False, **how) -> Booked:
        """`became` is where the delivery is by now."""
        decision = self.decide(event, **how)
        assert isinstance(decision, Booked), decision
        place = (decision.entry.connection, event.key)
        status = decision.dispatch.status if decision.dispatch else self.books.statuses[place]
        self.books.learn(decision.entry, became or status)
        if attempted:
            self.books.attempted.add(place)
        return decision

    def now_is(self, event, status):
        self.books.statuses[self.rules.connection, event.key] = status


@pytest.fixture(scope="session")
def open_desk() -> Callable[..., Desk]:
    """Open a desk with any rules; properties open many."""
    return Desk


@pytest.fixture
def desk() -> Desk:
    """A desk of a live connection that claims everything and forwards refunds, gross."""
    return Desk()
