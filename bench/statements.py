"""The calls of the store whose plans are looked at: accepting, booking, delivering, the worker's look, and trace."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from bench.history import key
from bench.plans import Call
from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.books import Dispatch, Entry
from gateway.domain.delivery import AttemptVerdict, Status
from gateway.sdk import Money, RevenueEvent, RevenueKind
from gateway.store import agenda, bookings, inbox, leases, ledger, outbox, retention, stories, sweep_agenda
from gateway.store.outbox import Settlement

SITE, CONNECTION = "acme", "paddle"
LEASE = UUID(int=1)
LEASE_FOR = timedelta(seconds=30)
BATCH, CALLS = 64, 8
NEW = 900_000_000
"""Numbers from here on are nobody's yet."""


def webhook(number: int) -> inbox.Webhook:
    """Return a webhook to keep."""
    return inbox.Webhook(
        site=SITE, connection=CONNECTION, event_key=f"evt_01{key(number)}", id=uuid4(), event_id=f"evt_01{key(number)}",
        event_type="transaction.completed", method="POST", headers=b"", query="", body=b"{}",
        received_at=datetime.now(UTC), remote_ip="127.0.0.1", proof="signature",
    )  # fmt: skip


def event(number: int, kind: RevenueKind = RevenueKind.PURCHASE) -> RevenueEvent:
    """Return a movement of money; a refund is of the sale with that number."""
    refund = kind is RevenueKind.REFUND
    return RevenueEvent(
        kind=kind, key=f"refund:adj_01{key(number)}" if refund else f"payment:txn_01{key(number)}",
        payment_id=f"txn_01{key(number)}", amount=Money(6500, "USD"), occurred_at=datetime.now(UTC), test=False,
        reference=None if refund else f"ord-{key(number)}", checkout_id=f"txn_01{key(number)}",
        subscription_id=f"sub_01{key(number)}", attribution=Attribution(visitor_id=f"fv_{key(number)}"),
    )  # fmt: skip


def entry(number: int) -> Entry:
    """Return a line of the ledger."""
    moved = event(number)
    return Entry(
        connection=CONNECTION, plugin="paddle", event=moved, test=False, order_id=f"ord-{key(number)}",
        carries_order=True, attribution=moved.attribution, attribution_source=AttributionSource.WEBHOOK,
        event_key=f"evt_01{key(number)}", booked_at=datetime.now(UTC),
    )  # fmt: skip


def dispatch(number: int) -> Dispatch:
    """Return a delivery."""
    return Dispatch(
        connection=CONNECTION, key=f"payment:txn_01{key(number)}", payment_id=f"txn_01{key(number)}", is_sale=True,
        order_id_sent=f"ord-{key(number)}", api="revenue", basis="gross", amount_minor=6500, amount_unit="minor",
        currency="USD", status=Status.PENDING, reason=None, due=True,
    )  # fmt: skip


def settlement(number: int) -> Settlement:
    """Return the good end of an attempt."""
    return Settlement(
        site=SITE, connection=CONNECTION, key=f"payment:txn_01{key(number)}", number=1, lease=LEASE,
        verdict=AttemptVerdict.RECORDED, status=Status.RECORDED, reason=None, spent=0, due_at=None,
        recorded_at=datetime.now(UTC), status_code=200, answer='{"ok":true}', milliseconds=40,
    )  # fmt: skip


def accepting(known: Sequence[int]) -> dict[str, Call]:
    """Return the calls of the accept path; `known` are numbers of the site's history."""
    batch = [*(webhook(NEW + n) for n in range(BATCH)), *(webhook(number) for number in known)]
    return {"inbox.keep": lambda connection: inbox.keep(connection, batch)}


def booking(known: Sequence[int]) -> dict[str, Call]:
    """Return the calls of booking a batch."""
    now, fresh = datetime.now(UTC), [NEW + n for n in range(BATCH)]
    events = [(CONNECTION, event(number)) for number in fresh]
    refunds = [(CONNECTION, event(number, RevenueKind.REFUND)) for number in known]
    keys = [(CONNECTION, f"evt_01{key(number)}") for number in known]
    outcomes = [inbox.Outcome(connection=name, event_key=event_key, outcome="booked") for name, event_key in keys]
    refs = [(CONNECTION, f"payment:txn_01{key(number)}") for number in known]
    return {
        "inbox.claim": lambda at: inbox.claim(
            at, SITE, [CONNECTION], now=now, lease=LEASE, lease_for=LEASE_FOR, limit=BATCH
        ),
        "bookings.enter": lambda at: bookings.enter(at, SITE, keys, LEASE, now),
        "ledger.lock_site": lambda at: ledger.lock_site(at, SITE, now),
        "ledger.read_books": lambda at: ledger.read_books(at, SITE, events),
        "ledger.read_books of refunds": lambda at: ledger.read_books(at, SITE, refunds),
        "ledger.fill": lambda at: ledger.fill(at, SITE, [entry(number) for number in known]),
        "ledger.attribute_siblings": lambda at: ledger.attribute_siblings(
            at, SITE, [entry(number) for number in known], now
        ),
        "bookings.write": lambda at: bookings.write(
            at,
            SITE,
            now,
            "webhook",
            lines=[entry(number) for number in fresh],
            deliveries=[dispatch(number) for number in fresh],
            outcomes=outcomes,
            refs=refs,
        ),
    }


def delivering(known: Sequence[int]) -> dict[str, Call]:
    """Return the calls of delivering, and the look of the worker before it."""
    now = datetime.now(UTC)
    places = [(SITE, CONNECTION), *((f"site-{number}", CONNECTION) for number in range(9))]
    webhooks = [(CONNECTION, f"evt_01{key(number)}", LEASE) for number in known]
    deliveries = [(CONNECTION, f"payment:txn_01{key(number)}", LEASE) for number in known]
    return {
        "agenda.read": lambda at: agenda.read(at, places),
        "sweep_agenda.read": lambda at: sweep_agenda.read(at, places),
        "leases.renew_webhooks": lambda at: leases.renew_webhooks(at, SITE, webhooks, now),
        "leases.renew_deliveries": lambda at: leases.renew_deliveries(at, SITE, deliveries, now),
        "outbox.claim": lambda at: outbox.claim(
            at, SITE, [CONNECTION], now=now, lease=LEASE, lease_for=LEASE_FOR, limit=CALLS
        ),
        "outbox.settle": lambda at: outbox.settle(at, [settlement(number) for number in known], now),
        "outbox.not_found_in_a_row": lambda at: outbox.not_found_in_a_row(at, SITE, 10),
    }


def cleaning() -> dict[str, Call]:
    """Return the calls that forget what is old; in a history, "old" is a few hours."""
    before = datetime.now(UTC) - timedelta(hours=4)
    return {
        "retention.sites": lambda at: retention.sites(at, before),
        "retention.forget": lambda at: retention.forget(at, SITE, before, 100),  # a tenth: the tables are small here
    }


def tracing(number: int) -> dict[str, Call]:
    """Return the calls of trace, by each kind of id."""
    ids = {"event": "evt_01", "payment": "txn_01", "order": "ord-", "visitor": "fv_", "subscription": "sub_01"}

    def told(prefix: str) -> Call:
        return lambda at: stories.find(at, SITE, prefix + key(number))

    return {f"stories.find by {name}": told(prefix) for name, prefix in ids.items()}


def everything(known: Sequence[int]) -> dict[str, Call]:
    """Return all calls, by the names of the store's functions; `known` are even numbers of a history."""
    return {**accepting(known), **booking(known), **delivering(known), **cleaning(), **tracing(known[-1])}
