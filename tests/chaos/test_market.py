"""What is sold, and the bodies that tell of it."""

import json
from collections import Counter
from datetime import UTC, datetime
from random import Random

from gateway.sdk import Ignored
from providers.paddle.events import read
from tests.chaos.bodies import body_of
from tests.chaos.market import Event, Market

SITES = ("acme", "globex", "initech")
AT = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def sold(seed: int, sales: int) -> tuple[Market, list[Event]]:
    market, events = Market(SITES, Random(seed)), []
    while market.sales < sales:
        events += market.sell()
    return market, events


def test_a_seed_always_sells_the_same() -> None:
    assert sold(3, 500)[1] == sold(3, 500)[1]
    assert sold(3, 500)[1] != sold(4, 500)[1]


def test_every_movement_is_told_and_every_event_has_an_id_of_its_own() -> None:
    market, events = sold(1, 2000)
    assert len({event.id for event in events}) == len(events)
    told = {(event.movement.site, event.movement.key) for event in events if event.tells}
    assert told == set(market.movements)


def test_everything_that_can_happen_happens() -> None:
    market, events = sold(1, 2000)
    kinds = Counter(movement.kind for movement in market.movements.values())
    assert min(kinds[kind] for kind in ("purchase", "renewal", "refund")) > 50
    assert {event.type for event in events} == {
        "transaction.completed", "transaction.updated", "transaction.paid", "adjustment.updated",
    }  # fmt: skip
    assert any(event.copies > 1 for event in events)
    assert any(not event.with_ids for event in events)
    assert any(movement.visitor is None for movement in market.movements.values())
    assert any(movement.amount == 0 for movement in market.movements.values())


def test_the_plugin_reads_in_a_body_what_was_sold() -> None:
    _, events = sold(2, 500)
    for event in events:
        movement, found = event.movement, read(json.loads(body_of(event, AT)))
        if not event.tells:
            assert found == Ignored("not_final")
            continue
        assert not isinstance(found, Ignored)
        (read_event,) = found
        assert (read_event.key, read_event.payment_id) == (movement.key, movement.payment_id)
        assert (read_event.kind, read_event.amount.minor) == (movement.kind, movement.amount)
        assert read_event.amount.currency == movement.currency
        assert read_event.occurred_at == AT
        if movement.is_sale:
            assert read_event.subscription_id == movement.subscription_id
            assert read_event.attribution.visitor_id == (movement.visitor if event.with_ids else None)
            assert read_event.reference == (movement.reference if event.with_ids else None)
