"""
The promises of the gateway under random orders of events, duplicates and failures, on real Postgres.

A webhook that was answered 200 ends in an outcome; a movement of money is booked once, for one amount; it reaches
Faurya once, unless the answer was lost, and then under the same Idempotency-Key; what does not reach it ends in a state
that says why; and once everybody is well nothing is left over.
"""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.domain.delivery import SUCCESSES
from gateway.domain.errors import Malformed
from gateway.domain.ids import movement_key
from gateway.domain.messages import Ignored
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.flows.read import MOST_LOST
from tests.properties.pure_site import moved, total, who
from tests.properties.world import ANSWERS, DUPLICATES, LEASE, WAYS, Rows, World, opened_world

PURCHASE, RENEWAL = RevenueKind.PURCHASE, RevenueKind.RENEWAL
SALES = {
    "p1": {"kind": PURCHASE, "subscription_id": "sub1", "reference": "order1"},
    "p2": {"kind": RENEWAL, "subscription_id": "sub1"},
    "p3": {"kind": PURCHASE, "reference": "order1"},
    "p4": {"kind": PURCHASE},
    "p5": {"kind": RENEWAL, "subscription_id": "sub1"},
}
"""A subscription and its renewals, a sale that brings an order id that is taken, and one without anything."""

NOTHING = [Ignored("not_revenue"), Ignored("not_final"), Ignored("simulated"), Malformed("no amount"), KeyError("data")]
SUCCESSFUL = {status.value for status in SUCCESSES}
WAITING = {"waiting_for_sale", "waiting_for_amount"}

BUYERS = {"p1": 1, "p2": 1, "p5": 1, "p3": 3, "p4": 4}


def sale(payment: str, tax: int | None, *, named: bool) -> RevenueEvent:
    ids = {"attribution": who(BUYERS[payment])} if named else {}
    return moved(own=payment, payment=payment, minor=1000, tax=tax, **SALES[payment], **ids)


BACK = [RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL]
MOVEMENTS = st.one_of(
    st.builds(sale, st.sampled_from(sorted(SALES)), st.sampled_from([None, 100, 1000]), named=st.booleans()),
    st.builds(moved, st.sampled_from(BACK), st.sampled_from(["r1", "r2"]), st.just("p1"), st.just(300),
              tax=st.sampled_from([None, 30])),
    st.builds(total, st.just("p4"), st.sampled_from([100, 400, 1000]), tax=st.sampled_from([None, 10])),
)  # fmt: skip
MONEY = st.lists(MOVEMENTS, min_size=1, max_size=2)
READINGS = st.one_of(MONEY, MONEY, MONEY, st.sampled_from(NOTHING))
LATE = st.one_of(st.just("well"), st.sampled_from(sorted(ANSWERS)))
OFTEN_WELL = st.one_of(st.just("well"), st.sampled_from(WAYS))
TIMES = st.sampled_from(
    [timedelta(seconds=1), timedelta(seconds=6), LEASE, timedelta(minutes=7), timedelta(hours=3), timedelta(hours=25)]
)


class Promises(RuleBasedStateMachine):
    """What happens to one site. `world` is set by the test."""

    world: World

    @initialize(
        site=st.sampled_from(["acme", "acme", "globex"]),
        duplicates=st.sampled_from(sorted(DUPLICATES)),
        basis=st.sampled_from(["gross", "gross", "net_of_tax"]),
        payments=st.lists(st.sampled_from(sorted(SALES)), min_size=1, unique=True),
    )
    def begins(self, site: str, duplicates: str, basis: str, payments: list[str]) -> None:
        self.world.run(self.world.reset(site, duplicates, basis))
        self.acknowledged: Counter[tuple[str, str]] = Counter()
        self.last: dict[tuple[str, str], tuple[bytes, Any]] = {}
        self.amounts: dict[tuple[str, str], tuple[int, str]] = {}
        self.successes: dict[tuple[str, str], tuple[str, Any]] = {}
        self.key_was_bad = False
        for payment in payments:
            self._send("live", f"begins with {payment}", payment.encode(), [sale(payment, 100, named=True)])
        self.world.run(self.world.books())
        self.rows = self.world.run(self.world.rows())

    @property
    def now(self) -> datetime:
        return self.world.gateway.clock()

    def _send(self, connection: str, event_id: str, body: bytes, reading: Any) -> None:
        self.world.run(self.world.webhook(connection, event_id, body, reading))
        self.acknowledged[connection, event_id] += 1
        self.last[connection, event_id] = (body, reading)

    @rule(payment=st.sampled_from(sorted(SALES)), tax=st.sampled_from([100, 100, None]))
    def a_sale_arrives_and_is_booked(self, payment: str, tax: int | None) -> None:
        self.a_webhook_arrives("live", [sale(payment, tax, named=True)])
        self.the_worker_books()

    @rule(connection=st.sampled_from(["live", "live", "live", "test"]), reading=READINGS)
    def a_webhook_arrives(self, connection: str, reading: Any) -> None:
        event_id = f"evt_{len(self.last)}"
        self._send(connection, event_id, event_id.encode(), reading)

    @precondition(lambda self: self.last)
    @rule(data=st.data(), reading=st.one_of(st.none(), READINGS))
    def a_webhook_is_repeated(self, data: st.DataObject, reading: Any) -> None:
        place = data.draw(st.sampled_from(sorted(self.last)))
        body, before = self.last[place]
        changed = reading is not None
        self._send(*place, body + b"+" if changed else body, reading if changed else before)

    @precondition(lambda self: self.rows.to_read(self.now))
    @rule()
    def the_worker_books(self) -> None:
        self.world.run(self.world.books())

    @precondition(lambda self: self.rows.to_read(self.now))
    @rule()
    def the_worker_dies_while_it_books(self) -> None:
        self.world.run(self.world.booking_dies())

    @precondition(lambda self: self.rows.to_read(self.now) and not self.world.reading)
    @rule()
    def a_slow_reading_begins(self) -> None:
        self.world.run(self.world.reading_begins())

    @precondition(lambda self: self.world.reading)
    @rule()
    def the_slow_reading_ends(self) -> None:
        self.world.run(self.world.reading_ends())

    @precondition(lambda self: self.rows.to_send(self.now))
    @rule(ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=7), meanwhile=st.sampled_from(WAYS))
    def the_worker_delivers(self, ways: list[str], meanwhile: str) -> None:
        self.world.run(self.world.delivers(ways, meanwhile=meanwhile))

    @precondition(lambda self: self.rows.to_send(self.now) and len(self.world.hung) < 3)
    @rule(recorded=st.booleans())
    def a_delivery_hangs(self, recorded: bool) -> None:
        self.world.run(self.world.delivery_begins(recorded=recorded))

    @precondition(lambda self: self.rows.to_send(self.now) and len(self.world.hung) < 3)
    @rule(recorded=st.booleans(), meanwhile=OFTEN_WELL, way=LATE)
    def a_worker_is_robbed_and_answers_late(self, recorded: bool, meanwhile: str, way: str) -> None:
        self.world.run(self.world.delivery_begins(recorded=recorded))
        self.world.gateway.clock.forward(LEASE)
        self.world.run(self.world.delivers(meanwhile=meanwhile))
        self.world.run(self.world.late_answer(-1, way))

    @precondition(lambda self: self.world.hung)
    @rule(which=st.integers(0, 2), way=LATE)
    def an_answer_comes_late(self, which: int, way: str) -> None:
        self.world.run(self.world.late_answer(which, way))

    @precondition(lambda self: self.world.hung or self.world.reading)
    @rule()
    def the_process_dies(self) -> None:
        self.world.run(self.world.process_dies())

    @rule(by=st.one_of(st.none(), TIMES))
    def time_passes(self, by: timedelta | None) -> None:
        """For as long as it says, or until something is due."""
        moment = self.rows.next_at(self.now)
        if by is None and moment is not None:
            self.world.gateway.clock.moment = moment
        else:
            self.world.gateway.clock.forward(by or timedelta(seconds=1))

    @precondition(lambda self: self.rows.to_send(self.now) and not self.key_was_bad)
    @rule()
    def a_bad_key_comes_into_force(self) -> None:
        self.key_was_bad = True
        self.world.run(self.world.change_key(bad=True))
        self.world.run(self.world.delivers())

    @precondition(lambda self: self.world.key_is_bad)
    @rule()
    def the_key_is_mended(self) -> None:
        self.world.run(self.world.change_key(bad=False))

    @precondition(lambda self: self.world.company.away or self.rows.to_read(self.now))
    @rule()
    def the_provider_goes_or_comes_back(self) -> None:
        self.world.company.away = not self.world.company.away

    @invariant()
    def the_promises_hold(self) -> None:
        rows = self.rows = self.world.run(self.world.rows())
        assert self.world.faults == []
        self._every_webhook_is_kept(rows)
        self._every_movement_is_booked_once(rows)
        self._every_delivery_stands_where_it_may(rows)
        self._every_attempt_is_on_record(rows)

    def _every_webhook_is_kept(self, rows: Rows) -> None:
        kept = {(row["connection"], row["event_key"]): row["seen"] for row in rows.inbox}
        assert kept == dict(self.acknowledged)
        for row in rows.inbox:
            assert (row["outcome"] == "received") is (row["due_at"] is not None)
            if row["lease"] is not None:
                assert row["due_at"] <= self.world.gateway.clock() + LEASE

    def _every_movement_is_booked_once(self, rows: Rows) -> None:
        booked = {
            (row["connection"], row["revenue_key"]): (row["amount_minor"], row["currency"]) for row in rows.ledger
        }
        assert len(booked) == len(rows.ledger)
        assert set(self.amounts) <= set(booked) <= set(self.world.names.values())
        assert all(booked[place] == amount for place, amount in self.amounts.items())
        self.amounts = booked
        orders = [row["order_id"] for row in rows.ledger if row["carries_order"]]
        assert len(orders) == len(set(orders))
        for connection in ("live", "test"):
            parts = [
                row["amount_minor"] for row in rows.ledger if row["cumulative"] and row["connection"] == connection
            ]
            told = [event.amount.minor for place in self.last if place[0] == connection for event in self._events(place)
                    if event.cumulative]  # fmt: skip
            assert sum(parts) <= max([*told, self._most_told(connection)], default=0)

    def _events(self, place: tuple[str, str]) -> list[RevenueEvent]:
        _, reading = self.last[place]
        return reading if isinstance(reading, list) else []

    def _most_told(self, connection: str) -> int:
        """The greatest running total that any webhook of a connection ever told of, replaced ones included."""
        keys = [key for name, key in self.world.names.values() if name == connection and key.startswith("refunds:")]
        return max((int(key.rpartition(":")[2]) for key in keys), default=0)

    def _every_delivery_stands_where_it_may(self, rows: Rows) -> None:
        assert {(row["connection"], row["revenue_key"]) for row in rows.outbox} == set(self.amounts)
        sales = {(row["connection"], row["payment_id"]): row for row in rows.outbox if row["is_sale"]}
        for row in rows.outbox:
            place, status = (row["connection"], row["revenue_key"]), row["status"]
            if row["due_at"] is None:
                assert status != "pending" or row["reason"] in WAITING
                assert row["lease"] is None
            else:
                assert (status, row["reason"]) == ("pending", None)
            if row["reason"] == "waiting_for_sale":
                assert sales[row["connection"], row["payment_id"]]["status"] == "pending"
            if place in self.successes:
                assert (status, row["recorded_at"]) == self.successes[place], "a success stays as it was"
            assert (status in SUCCESSFUL) is (row["recorded_at"] is not None)
            if status in SUCCESSFUL:
                self.successes[place] = (status, row["recorded_at"])
            if row["attempts"] and not row["is_sale"]:
                sale = sales[row["connection"], row["payment_id"]]
                assert sale["status"] in SUCCESSFUL, "a refund went before its sale"

    def _every_attempt_is_on_record(self, rows: Rows) -> None:
        numbers: dict[tuple[str, str], list[int]] = {}
        for row in rows.attempts:
            numbers.setdefault((row["connection"], row["revenue_key"]), []).append(row["number"])
        for row in rows.outbox:
            found = numbers.pop((row["connection"], row["revenue_key"]), [])
            assert found == list(range(1, row["attempts"] + 1))
            key = movement_key(self.world.site, row["connection"], row["revenue_key"])
            assert self.world.faurya.calls[key] <= len(found)
        assert numbers == {}

    def teardown(self) -> None:
        if not hasattr(self, "acknowledged"):
            return
        self.world.run(self.world.to_the_end())
        self.the_promises_hold()
        rows = self.world.run(self.world.rows())
        self._nothing_is_left_over(rows)
        self._every_webhook_came_to_what_it_says(rows)
        self._what_faurya_has_is_what_the_books_say(rows)
        self._every_end_is_explained(rows)
        broken = [line for line in self.world.logs if line["event"] in ("worker.failed", "webhook.not_kept")]
        assert broken == []

    def _nothing_is_left_over(self, rows: Rows) -> None:
        assert [row for row in rows.inbox if row["outcome"] == "received" or row["lease"]] == []
        assert [row for row in rows.outbox if row["lease"]] == []
        unknown = {row["payment_id"] for row in rows.outbox if row["reason"] == "waiting_for_amount"}
        for row in rows.outbox:
            if row["status"] == "pending":  # of all that can be waited for only a figure may never come
                assert row["reason"] == "waiting_for_amount" or row["payment_id"] in unknown

    def _every_webhook_came_to_what_it_says(self, rows: Rows) -> None:
        booked = {(row["connection"], row["revenue_key"]) for row in rows.ledger}
        for row in rows.inbox:
            place, ended = (row["connection"], row["event_key"]), (row["outcome"], row["reason"])
            body, reading = self.last[place]
            if row["body"] != body:  # the repeat brought another body, but money was booked from the first one
                assert row["outcome"] == "booked"
                continue
            if ended == ("unreadable", "waited_in_vain"):
                assert row["attempts"] > 4
                continue
            if ended == ("unreadable", "plugin_failed") and row["lost"] >= MOST_LOST:
                continue
            match reading:
                case Malformed():
                    assert ended == ("unreadable", "malformed")
                case KeyError():
                    assert ended == ("unreadable", "plugin_failed")
                case Ignored(reason):
                    assert ended == ("ignored", reason)
                case events:
                    assert ended in [("booked", None), ("ignored", "already_booked")]
                    single = {(row["connection"], event.key) for event in events if not event.cumulative}
                    assert single <= booked, "a movement of an acknowledged webhook is missing"
                    self._as_much_went_back_as_was_told(rows, row["connection"], events)

    def _as_much_went_back_as_was_told(self, rows: Rows, connection: str, events: list[RevenueEvent]) -> None:
        parts = [row["amount_minor"] for row in rows.ledger if row["cumulative"] and row["connection"] == connection]
        assert sum(parts) >= max((event.amount.minor for event in events if event.cumulative), default=0)

    def _what_faurya_has_is_what_the_books_say(self, rows: Rows) -> None:
        faurya = self.world.faurya
        for row in rows.outbox:
            key = movement_key(self.world.site, row["connection"], row["revenue_key"])
            recorded, lost = faurya.recorded[key], faurya.unanswered[key]
            assert recorded <= 1 + lost, "recorded again although the answer was not lost"
            if row["status"] == "recorded":
                assert recorded >= 1
            if row["status"] in ("skipped", "unattributed"):
                assert recorded == 0
        for row in rows.ledger:
            if row["visitor_id"]:
                ids = {row["visitor_id"][1:], row["session_id"][1:], row["token"][1:]}
                assert ids == {str(BUYERS[row["payment_id"]])}

    def _every_end_is_explained(self, rows: Rows) -> None:
        verdicts: dict[tuple[str, str], list[Any]] = {}
        for row in rows.attempts:
            before = verdicts.setdefault((row["connection"], row["revenue_key"]), [])
            if (row["status_code"], row["verdict"]) == (400, "rejected"):
                assert not {"unclear", None} & set(before), "it may be recorded already"
            before.append(row["verdict"])
        for row in rows.outbox:
            had = verdicts.get((row["connection"], row["revenue_key"]), [])
            match row["status"]:
                case "recorded" | "already_recorded":
                    assert row["status"] in had
                case "recorded_assumed":
                    assert "recorded_assumed" in had
                    assert len(had) > 1, "nothing earlier can have been recorded"
                case "rejected":
                    assert {"rejected", "not_found"} & set(had)
                case "dead":
                    assert (row["reason"], row["spent"]) == ("schedule_exhausted", 5)
                case "unattributed":
                    assert (self.world.site, row["reason"]) == ("globex", "no_visitor_id")
                case "pending":
                    assert self.world.basis == "net_of_tax"
                case status:
                    assert (status, bool(row["reason"])) == ("skipped", True)


def test_the_promises_hold_whatever_happens_in_whatever_order(server_url: str, template: str, tmp_path: Path) -> None:
    examples = max(settings().max_examples // 4, 1)
    how = settings(
        max_examples=examples, stateful_step_count=30, suppress_health_check=[*HealthCheck], report_multiple_bugs=False
    )
    with opened_world(server_url, template, tmp_path) as world:
        run_state_machine_as_test(type("PromisesHere", (Promises,), {"world": world}), settings=how)
