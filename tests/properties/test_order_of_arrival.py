"""In which order the webhooks of some sales come in does not change what is in the books at the end. No database."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.books import KnownCheckout
from gateway.domain.revenue import RevenueEvent, RevenueKind
from tests.properties.pure_site import RULES, START, PureSite, moved, total, who

OURS, THEIRS = "price_ours", "price_theirs"
CLAIMS = st.sampled_from(["all", "own_checkouts", (OURS,)])


@dataclass(frozen=True)
class World:
    """What happened at the provider: our checkouts, and movements of money, each of which has one buyer."""

    checkouts: tuple[KnownCheckout, ...]
    events: tuple[RevenueEvent, ...]


@st.composite
def _life(draw: Any, number: int) -> tuple[list[KnownCheckout], list[RevenueEvent]]:
    """A purchase with what follows it. Its buyer's ids come with a checkout of ours or with the webhook."""
    ours, own = draw(st.booleans()), {"attribution": who(number)}
    checkout, subscription = f"chk{number}", f"sub{number}" if draw(st.booleans()) else None
    checkouts, events = [], []
    begins: dict[str, Any] = {"checkout_id": checkout, "subscription_id": subscription}
    if ours or draw(st.booleans()):
        begins["reference"] = f"order{number}"
    if ours:
        checkouts.append(
            KnownCheckout(order_id=f"order{number}", connection="paddle", checkout_id=checkout, attribution=who(number))
        )
    in_webhook = own if not ours or draw(st.booleans()) else {}
    items = (OURS,) if ours else (THEIRS,)
    first = moved(RevenueKind.PURCHASE, f"{number}.0", f"{number}.0", 100, items=items, tax=10, **begins, **in_webhook)
    events.append(first)
    for month in range(1, draw(st.integers(0, 2)) + 1 if subscription else 0):
        kind = draw(st.sampled_from([RevenueKind.RENEWAL, RevenueKind.PURCHASE]))  # a charge looks like a first sale
        is_charge = kind is RevenueKind.PURCHASE
        named = own if is_charge or draw(st.booleans()) else {}
        renewed = f"{number}.{month}"
        month_later = {"occurred_at": START + timedelta(days=30 * month), "subscription_id": subscription}
        has_items = is_charge or draw(st.booleans())
        events.append(moved(kind, renewed, renewed, 50, items=items if has_items else (), **month_later, **named))
    for position in range(draw(st.integers(0, 2))):
        sale = draw(st.sampled_from(events)) if position == 0 else first
        back, named = f"{number}.b{position}", own if draw(st.booleans()) else {}
        kind = draw(st.sampled_from([RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL]))
        if sale.kind in (RevenueKind.PURCHASE, RevenueKind.RENEWAL):
            events.append(moved(kind, back, sale.payment_id, 20, **named))
    so_far = draw(st.lists(st.integers(1, 6), max_size=3, unique=True))
    return checkouts, [*events, *(total(first.payment_id, 10 * part, tax=part) for part in so_far)]


@st.composite
def _worlds(draw: Any) -> World:
    lives = [draw(_life(number)) for number in range(1, draw(st.integers(1, 3)) + 1)]
    events = [event for _, found in lives for event in found]
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    again += [replace(event, tax=None) for event in again if not event.cumulative and draw(st.booleans())]
    return World(tuple(checkout for found, _ in lives for checkout in found), tuple(events + again))


@dataclass(frozen=True)
class Ledger:
    """What must not depend on the order: the lines, whose they are, and how much of each payment went back in all."""

    lines: frozenset[Any]
    refunded: frozenset[Any]
    waiting: int


def _books_of(world: World, events: list[RevenueEvent], **rules: Any) -> Ledger:
    site = PureSite({"paddle": replace(RULES, **rules)})
    for checkout in world.checkouts:
        site.knows(checkout)
    for event in events:
        site.arrive("paddle", event)
        site.forward(timedelta(seconds=1))
    still = len(site.waiting)
    site.forward(timedelta(hours=24))
    assert site.waiting == []
    entries = site.books.entries.values()
    lines, refunded = set(), {}
    for entry in entries:
        event = entry.event
        if event.cumulative:
            place = (event.payment_id, event.amount.currency, entry.attribution)
            moved_so_far = refunded.get(place, (0, 0))
            refunded[place] = (moved_so_far[0] + event.amount.minor, moved_so_far[1] + event.tax.minor)
        else:
            order_id = entry.order_id if event.key.endswith(".0") else None  # others only inherit one
            lines.add((event.key, event.kind, event.amount, event.tax, order_id, entry.attribution))
    return Ledger(frozenset(lines), frozenset(refunded.items()), still)


@settings(max_examples=settings().max_examples * 4)
@given(world=_worlds(), claims=CLAIMS, data=st.data())
def test_two_orders_of_arrival_end_in_the_same_books(world: World, claims: Any, data: st.DataObject) -> None:
    one = data.draw(st.permutations(world.events))
    other = data.draw(st.permutations(world.events))
    assert _books_of(world, one, claims=claims) == _books_of(world, other, claims=claims)


@settings(max_examples=settings().max_examples * 2)
@given(world=_worlds(), data=st.data())
def test_where_all_money_is_claimed_every_movement_is_booked_and_nothing_is_left_waiting(
    world: World, data: st.DataObject
) -> None:
    books = _books_of(world, data.draw(st.permutations(world.events)), claims="all")
    single = {event.key for event in world.events if not event.cumulative}
    assert {line[0] for line in books.lines} == single
    assert books.waiting == 0
    greatest: dict[str, int] = {}
    for event in world.events:
        if event.cumulative:
            greatest[event.payment_id] = max(greatest.get(event.payment_id, 0), event.amount.minor)
    assert {place[0]: sums[0] for place, sums in books.refunded} == greatest


@settings(max_examples=settings().max_examples * 2)
@given(world=_worlds(), claims=st.sampled_from(["own_checkouts", (OURS,)]), data=st.data())
def test_of_a_shared_account_each_site_books_its_own_money_and_no_other(
    world: World, claims: Any, data: st.DataObject
) -> None:
    books = _books_of(world, data.draw(st.permutations(world.events)), claims=claims)
    ours = {checkout.order_id.removeprefix("order") for checkout in world.checkouts}
    expected = {
        event.key for event in world.events
        if not event.cumulative and event.key.partition(":")[2].partition(".")[0] in ours
    }  # fmt: skip
    assert {line[0] for line in books.lines} == expected
