"""Whatever arrives, in whatever order and however often, the books of a site keep their promises. No database."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.domain.booking import Already, Booked, Decision
from gateway.domain.books import SALES, Entry, KnownCheckout
from gateway.domain.delivery import SUCCESSES, Answer, Reason, Status
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind
from tests.properties.pure_site import RULES, SCHEDULE, Place, PureSite, moved, total, who

CONNECTIONS = ("paddle", "stripe")
PAYMENTS = ("p1", "p2", "p3")
REFUNDS = ("r1", "r2", "r3")
SUBSCRIPTIONS = (None, "sub1", "sub2")
ORDERS = (None, "order1", "order2")
CHECKOUTS = (None, "chk1", "chk2")
MINOR = st.integers(min_value=1, max_value=12)
FIGURES = st.fixed_dictionaries({}, optional={"tax": st.integers(0, 12), "net": st.integers(-2, 12)})
WHO = st.one_of(st.none(), st.integers(1, 3))
ANSWERS = st.sampled_from(
    [
        Answer(status=200),
        Answer(status=409),
        Answer(status=400, body="duplicate"),
        Answer(status=400, body="no"),
        Answer(status=404),
        Answer(status=401),
        Answer(status=429),
        Answer(status=422),
        Answer(status=500),
        Answer(status=None),
        Answer(status=None, sent=False),
    ]
)


def optional_who(number: int | None) -> dict[str, Any]:
    return {} if number is None else {"attribution": who(number)}


class BookingMachine(RuleBasedStateMachine):
    """Two connections of one site, and every kind of movement, in any order."""

    @initialize(
        claims=st.sampled_from(["all", "own_checkouts", ("price_1", "acct_1")]),
        live=st.booleans(),
        forward_test=st.booleans(),
        api=st.sampled_from(["revenue", "payments"]),
        basis=st.sampled_from(["gross", "net_of_tax", "earnings"]),
        forward_refunds=st.booleans(),
    )
    def opens(self, live: bool, **what: Any) -> None:
        rules = {name: replace(RULES, connection=name, plugin=name, live=live, **what) for name in CONNECTIONS}
        rules["stripe"] = replace(rules["stripe"], live=True)
        self.site = PureSite(rules)
        self.arrived: list[tuple[str, RevenueEvent]] = []
        self.booked: dict[Place, Entry] = {}
        self.frozen: dict[Place, Any] = {}
        self.totals: dict[tuple[str, str], int] = {}
        self.ended: dict[Place, Status] = {}

    def _arrives(self, connection: str, event: RevenueEvent) -> Decision:
        self.arrived.append((connection, event))
        if event.cumulative:
            place = (connection, event.payment_id)
            self.totals[place] = max(self.totals.get(place, 0), event.amount.minor)
        tried = {place: self.site.dispatches[place] for place in self.site.books.attempted}
        decision = self.site.arrive(connection, event)
        for place, dispatch in tried.items():
            if place in self.site.dispatches and dispatch.status is not Status.SKIPPED:
                assert self.site.dispatches[place] == dispatch, "what was tried is never decided again by booking"
        return decision

    @rule(order=st.sampled_from(ORDERS[1:]), checkout=st.sampled_from(CHECKOUTS), number=WHO,
          connection=st.sampled_from(CONNECTIONS))  # fmt: skip
    def a_checkout_is_created(self, order: str, checkout: str | None, number: int | None, connection: str) -> None:
        taken = {known.checkout_id for known in self.site.books.orders.values()}
        if order in self.site.books.orders or (checkout and checkout in taken):
            return
        ids = optional_who(number).get("attribution", who(9))
        self.site.knows(KnownCheckout(order_id=order, connection=connection, checkout_id=checkout, attribution=ids))

    @rule(
        connection=st.sampled_from(CONNECTIONS),
        kind=st.sampled_from(sorted(SALES)),
        payment=st.sampled_from(PAYMENTS),
        minor=MINOR,
        figures=FIGURES,
        number=WHO,
        subscription=st.sampled_from(SUBSCRIPTIONS),
        reference=st.sampled_from(ORDERS),
        checkout=st.sampled_from(CHECKOUTS),
        items=st.sampled_from([(), ("price_1",), ("price_2",)]),
        account=st.sampled_from([None, "acct_1", "acct_2"]),
        test=st.booleans(),
    )
    def a_sale(
        self, connection: str, kind: RevenueKind, payment: str, minor: int, figures: dict[str, Any], number: int | None,
        subscription: str | None, reference: str | None, checkout: str | None, **what: Any,
    ) -> None:  # fmt: skip
        ids = {"subscription_id": subscription, "reference": reference, "checkout_id": checkout}
        self._arrives(
            connection, moved(kind, payment, payment, minor, **ids, **figures, **what, **optional_who(number))
        )

    @rule(
        connection=st.sampled_from(CONNECTIONS),
        kind=st.sampled_from([RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL]),
        own=st.sampled_from(REFUNDS),
        payment=st.sampled_from(PAYMENTS),
        minor=MINOR,
        figures=FIGURES,
        number=WHO,
    )
    def money_goes_back(
        self, connection: str, kind: RevenueKind, own: str, payment: str, minor: int, figures: dict[str, Any],
        number: int | None,
    ) -> None:  # fmt: skip
        self._arrives(connection, moved(kind, own, payment, minor, **figures, **optional_who(number)))

    @rule(connection=st.sampled_from(CONNECTIONS), payment=st.sampled_from(PAYMENTS), minor=MINOR, figures=FIGURES,
          number=WHO)  # fmt: skip
    def a_running_total(
        self, connection: str, payment: str, minor: int, figures: dict[str, Any], number: int | None
    ) -> None:
        self._arrives(connection, total(payment, minor, **figures, **optional_who(number)))

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def the_same_again(self, data: st.DataObject) -> None:
        connection, event = data.draw(st.sampled_from(self.arrived))
        before = len(self.site.books.entries)
        was_booked = (connection, event.key) in self.site.books.entries
        decision = self._arrives(connection, event)
        if was_booked and isinstance(decision, Booked):
            assert decision.fills
        if was_booked and isinstance(decision, Already):
            assert len(self.site.books.entries) == before

    @precondition(lambda self: self.arrived)
    @rule(data=st.data(), figures=FIGURES, number=WHO, minor=MINOR, other_amount=st.booleans())
    def a_late_word_about_the_same_movement(
        self, data: st.DataObject, figures: dict[str, int], number: int | None, minor: int, other_amount: bool
    ) -> None:
        connection, event = data.draw(st.sampled_from(self.arrived))
        amount = Money(minor, "USD") if other_amount and not event.cumulative else event.amount
        money = {name: Money(figure, "USD") for name, figure in figures.items()}
        self._arrives(connection, replace(event, amount=amount, **money, **optional_who(number)))

    @rule(by=st.sampled_from([timedelta(minutes=1), timedelta(hours=5), timedelta(hours=30)]))
    def time_passes(self, by: timedelta) -> None:
        self.site.forward(by)

    @precondition(lambda self: self.site.due())
    @rule(data=st.data(), answer=ANSWERS, draw=st.floats(0, 0.999))
    def a_delivery_is_tried(self, data: st.DataObject, answer: Answer, draw: float) -> None:
        place = data.draw(st.sampled_from(self.site.due()))
        dispatch = self.site.dispatches[place]
        assert dispatch.amount_minor is not None
        assert dispatch.amount_minor > 0
        if not dispatch.is_sale:
            sale = self.site.books.sales[place[0], dispatch.payment_id]
            assert self.site.books.statuses[place[0], sale.event.key] in SUCCESSES, "a refund went before its sale"
        self.site.deliver(place, answer, draw)
        assert self.site.spent.get(place, 0) <= len(SCHEDULE) + 1

    @invariant()
    def every_movement_is_booked_once_and_for_one_amount(self) -> None:
        for place, entry in self.site.books.entries.items():
            before = self.booked.setdefault(place, entry)
            now = entry.event
            assert (now.key, entry.connection) == (place[1], place[0])
            assert (now.amount, now.kind, now.payment_id) == (
                before.event.amount, before.event.kind, before.event.payment_id,
            )  # fmt: skip
            assert (entry.order_id, entry.carries_order, entry.test, entry.event_key, entry.booked_at) == (
                before.order_id, before.carries_order, before.test, before.event_key, before.booked_at,
            )  # fmt: skip
            for figure in ("tax", "net"):
                known = getattr(before.event, figure)
                assert known is None or getattr(now, figure) == known, "a known figure is never replaced"
            self.booked[place] = entry
        assert set(self.booked) == set(self.site.books.entries) == set(self.site.dispatches)

    @invariant()
    def no_more_is_refunded_than_the_greatest_running_total_says(self) -> None:
        for place, greatest in self.totals.items():
            parts = [
                entry.event.amount.minor for (connection, _), entry in self.site.books.entries.items()
                if entry.event.cumulative and (connection, entry.event.payment_id) == place
            ]  # fmt: skip
            assert sum(parts) <= greatest
            assert all(part > 0 for part in parts)

    @invariant()
    def an_order_id_is_carried_and_sent_by_one_line(self) -> None:
        carried = [entry.order_id for entry in self.site.books.entries.values() if entry.carries_order]
        assert len(carried) == len(set(carried))
        sent = [
            self.site.dispatches[place].order_id_sent for place, entry in self.site.books.entries.items()
            if self.site.dispatches[place].order_id_sent in ORDERS
        ]  # fmt: skip
        assert sorted(sent) == sorted(carried)

    @invariant()
    def nobody_is_made_of_two_visitors(self) -> None:
        for entry in self.site.books.entries.values():
            ids = entry.attribution
            assert len({value[1:] for value in (ids.visitor_id, ids.session_id, ids.token) if value}) <= 1

    @invariant()
    def test_money_stays_behind_the_wall(self) -> None:
        for place, entry in self.site.books.entries.items():
            rules = self.site.rules[place[0]]
            assert entry.test or (rules.live and not entry.event.test)
            if entry.test and not rules.forward_test:
                dispatch = self.site.dispatches[place]
                assert (dispatch.status, dispatch.reason, dispatch.due) == (Status.SKIPPED, Reason.TEST_MODE, False)

    @invariant()
    def a_success_stays_a_success(self) -> None:
        for place, status in self.site.books.statuses.items():
            before = self.ended.get(place)
            assert before is None or status is before
            if status in SUCCESSES:
                self.ended[place] = status

    @invariant()
    def a_frozen_amount_is_the_figure_that_the_site_records(self) -> None:
        for place, dispatch in self.site.dispatches.items():
            event = self.site.books.entries[place].event
            figures = {
                "gross": event.amount.minor,
                "net_of_tax": None if event.tax is None else event.amount.minor - event.tax.minor,
                "earnings": None if event.net is None else event.net.minor,
            }
            if place not in self.site.books.attempted and dispatch.status in (Status.PENDING, Status.UNATTRIBUTED):
                assert dispatch.amount_minor == figures[dispatch.basis]

    @invariant()
    def nothing_waits_for_what_has_come_or_never_will(self) -> None:
        for arrived in self.site.waiting:
            assert self.site.now < arrived.at + timedelta(hours=24)
        for (connection, _), dispatch in self.site.dispatches.items():
            if dispatch.reason is Reason.WAITING_FOR_SALE:
                sale = self.site.books.sales[connection, dispatch.payment_id]
                assert self.site.books.statuses[connection, sale.event.key] is Status.PENDING
            if dispatch.status is Status.PENDING and not dispatch.due:
                assert dispatch.reason in (Reason.WAITING_FOR_SALE, Reason.WAITING_FOR_AMOUNT)


TestBooking = BookingMachine.TestCase
TestBooking.settings = settings(stateful_step_count=40)
