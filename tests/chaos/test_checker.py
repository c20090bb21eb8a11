"""The checker itself: a good history passes, and every way of breaking it is seen for what it is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.ids import movement_key
from tests.chaos.checker import check, explained_doubles
from tests.chaos.history import Attempt, Call, Cut, Delivery, History, Kept, Kill, Line
from tests.chaos.market import Movement

SALE = Movement(
    site="acme", key="payment:txn_1", kind="purchase", payment_id="txn_1", amount=6500, currency="USD",
    visitor="acme:visitor_1", order_id="ord_1", reference="ord_1",
)  # fmt: skip
REFUND = replace(SALE, key="refund:adj_1", kind="refund", amount=3000, order_id="adj_1", reference=None)
PAYMENT = replace(SALE, site="globex", key="payment:txn_2", payment_id="txn_2", visitor="globex:visitor_2")
FREE = replace(SALE, key="payment:txn_3", payment_id="txn_3", amount=0)
NOBODY = replace(PAYMENT, key="payment:txn_4", payment_id="txn_4", visitor=None)
KEPT_BACK = replace(PAYMENT, key="refund:adj_2", kind="refund", amount=100)
MOVEMENTS = (SALE, REFUND, PAYMENT, FREE, NOBODY, KEPT_BACK)

S, R, P = ("acme", SALE.key), ("acme", REFUND.key), ("globex", PAYMENT.key)


def call(movement: Movement, at: float = 10.0, **changes: object) -> Call:
    is_payment, is_sale = movement.site == "globex", movement.is_sale
    told = Call(
        at=at,
        site=movement.site,
        idempotency_key=movement_key(movement.site, "paddle", movement.key),
        event="purchase" if is_sale else "refund",
        payment_id=movement.payment_id,
        order_id=None if is_payment else movement.order_id,
        amount=movement.amount if is_sale else -movement.amount,
        currency=movement.currency,
        visitor=movement.visitor,
        recorded=True,
        answer=200,
    )
    return replace(told, **changes)


def attempt(number: int = 1, **changes: object) -> Attempt:
    return replace(Attempt(number=number, at=9.9, status_code=200, verdict="recorded"), **changes)


def good() -> History:
    """A history in which every promise was kept."""
    ended = {
        S: "recorded", R: "recorded", P: "recorded", ("acme", FREE.key): "skipped: zero_amount",
        ("globex", NOBODY.key): "unattributed: no_visitor_id",
        ("globex", KEPT_BACK.key): "skipped: unsupported_by_destination",
    }  # fmt: skip
    places = {(movement.site, movement.key): movement for movement in MOVEMENTS}
    told = {(site, f"evt_{key}"): key for site, key in places}
    return History(
        movements=places,
        told=told,
        acknowledged=set(told),
        calls=[call(SALE), call(REFUND, 11.0), call(PAYMENT)],
        inbox={place: Kept(outcome="booked", reason=None) for place in told},
        ledger={
            place: Line(
                kind=movement.kind,
                payment_id=movement.payment_id,
                amount=movement.amount,
                currency=movement.currency,
                visitor=movement.visitor,
                source="webhook",
            )
            for place, movement in places.items()
        },
        outbox={
            place: Delivery(status=text.partition(": ")[0], reason=text.partition(": ")[2] or None)
            for place, text in ended.items()
        },
        attempts={S: [attempt()], R: [attempt()], P: [attempt()]},
    )


def names(history: History) -> set[str]:
    return {f"{violation.group}: {violation.name}" for violation in check(history)}


def test_a_good_history_has_no_violation() -> None:
    assert check(good()) == []


def without(mapping: dict, *keys: object) -> dict:
    return {key: value for key, value in mapping.items() if key not in keys}


def lose(history: History) -> None:
    history.inbox = without(history.inbox, ("acme", f"evt_{SALE.key}"))


def never_accept(history: History) -> None:
    history.acknowledged.discard(("acme", f"evt_{SALE.key}"))


def never_read(history: History) -> None:
    history.inbox = {**history.inbox, ("acme", f"evt_{SALE.key}"): Kept(outcome="received", reason=None)}


def not_understand(history: History) -> None:
    history.inbox = {**history.inbox, ("acme", f"evt_{SALE.key}"): Kept(outcome="unreadable", reason="malformed")}


def give_away(history: History) -> None:
    history.inbox = {**history.inbox, ("acme", f"evt_{SALE.key}"): Kept(outcome="ignored", reason="other_site")}


def not_book(history: History) -> None:
    history.ledger = without(history.ledger, P)
    history.outbox = without(history.outbox, P)
    history.calls = [one for one in history.calls if one.site != "globex"]
    history.attempts = without(history.attempts, P)


def book_something_else(history: History) -> None:
    history.ledger = {**history.ledger, S: replace(history.ledger[S], amount=6499)}


def book_for_somebody_else(history: History) -> None:
    history.ledger = {**history.ledger, S: replace(history.ledger[S], visitor="acme:visitor_9")}


def book_what_was_never_sold(history: History) -> None:
    history.ledger = {**history.ledger, ("acme", "payment:txn_9"): history.ledger[S]}


def book_one_payment_twice(history: History) -> None:
    again = replace(SALE, key="payment:txn_1b")
    history.movements = {**history.movements, ("acme", again.key): again}
    history.ledger = {**history.ledger, ("acme", again.key): history.ledger[S]}


def not_record(history: History) -> None:
    history.calls = [one for one in history.calls if one.site != "globex"]
    history.attempts = without(history.attempts, P)


def assume_wrongly(history: History) -> None:
    not_record(history)
    history.outbox = {**history.outbox, P: Delivery(status="recorded_assumed", reason=None)}


def leave_pending(history: History) -> None:
    history.outbox = {**history.outbox, P: Delivery(status="pending", reason=None)}


def forget_the_delivery(history: History) -> None:
    history.outbox = without(history.outbox, P)


def record_again_after_an_answer(history: History) -> None:
    history.calls = [*history.calls, call(SALE, 20.0)]
    history.attempts = {**history.attempts, S: [attempt(), attempt(2)]}


def record_twice_at_a_faurya_that_remembers(history: History) -> None:
    history.calls = [*history.calls, call(PAYMENT, 5.0, answer=None)]
    history.attempts = {**history.attempts, P: [attempt(status_code=None, verdict="unclear"), attempt(2)]}


def send_another_amount(history: History) -> None:
    history.calls = [call(SALE, amount=65), *history.calls[1:]]


def send_a_refund_as_positive(history: History) -> None:
    history.calls = [history.calls[0], call(REFUND, 11.0, amount=3000), history.calls[2]]


def send_a_refund_first(history: History) -> None:
    history.calls = [history.calls[0], call(REFUND, 9.0), history.calls[2]]


def send_another_key(history: History) -> None:
    history.calls = [call(SALE, idempotency_key="another"), *history.calls[1:]]


def send_what_is_not_to_be_sent(history: History) -> None:
    history.calls = [*history.calls, call(NOBODY)]
    history.attempts = {**history.attempts, ("globex", NOBODY.key): [attempt()]}


def send_without_noting_it(history: History) -> None:
    history.attempts = {**history.attempts, P: []}


def note_another_answer(history: History) -> None:
    history.attempts = {**history.attempts, P: [attempt(status_code=500, verdict="unclear")]}


def forget_how_it_ended(history: History) -> None:
    history.attempts = {**history.attempts, P: [attempt(status_code=None, verdict=None), attempt(2)]}


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (lose, "lost: acknowledged but not in the inbox"),
        (never_accept, "lost: never accepted"),
        (never_read, "lost: never read"),
        (not_understand, "unexplained: webhook ended oddly"),
        (give_away, "unexplained: webhook ended oddly"),
        (not_book, "lost: acknowledged but not in the ledger"),
        (book_something_else, "wrong: booked otherwise than sold"),
        (book_for_somebody_else, "wrong: booked otherwise than sold"),
        (book_what_was_never_sold, "invented: booked but never sold"),
        (book_one_payment_twice, "doubled: one payment booked as two sales"),
        (not_record, "lost: not in Faurya"),
        (assume_wrongly, "lost: not in Faurya"),
        (leave_pending, "unexplained: delivery ended oddly"),
        (forget_the_delivery, "lost: booked without a delivery"),
        (record_again_after_an_answer, "doubled: recorded again although the answer was heard"),
        (record_twice_at_a_faurya_that_remembers, "doubled: recorded twice by a Faurya that recognizes repeats"),
        (send_another_amount, "wrong: sent otherwise than sold"),
        (send_a_refund_as_positive, "wrong: sent otherwise than sold"),
        (send_a_refund_first, "wrong: refund sent before its sale was recorded"),
        (send_another_key, "invented: sent to Faurya, but not to be"),
        (send_what_is_not_to_be_sent, "invented: sent to Faurya, but not to be"),
        (send_without_noting_it, "unexplained: a call without an attempt"),
        (note_another_answer, "unexplained: a call without an attempt"),
        (forget_how_it_ended, "unexplained: an attempt without a verdict"),
    ],
)
def test_a_broken_promise_is_seen(broken: Callable[[History], None], seen: str) -> None:
    history = good()
    broken(history)
    assert seen in names(history)


def test_a_second_record_after_an_answer_that_was_not_sent_is_explained() -> None:
    history = good()
    history.calls = [call(SALE, 5.0, answer=None), *history.calls]
    history.attempts = {**history.attempts, S: [attempt(status_code=None, verdict="unclear"), attempt(2)]}
    assert check(history) == []
    assert explained_doubles(history) == 1


def test_a_second_record_after_a_500_is_explained() -> None:
    history = good()
    history.calls = [call(SALE, 5.0, answer=500), *history.calls]
    history.attempts = {**history.attempts, S: [attempt(status_code=500, verdict="unclear"), attempt(2)]}
    assert check(history) == []


def test_a_second_record_is_explained_by_the_death_of_the_process_that_heard_the_answer() -> None:
    history = good()
    history.calls = [call(SALE, 5.0), *history.calls]
    history.attempts = {**history.attempts, S: [attempt(status_code=None, verdict=None), attempt(2)]}
    history.cuts = [Cut(begin=8.0, end=12.0)]
    assert names(history) == {"unexplained: an attempt without a verdict"}
    history.kills = [Kill(at=12.0)]
    assert check(history) == []


def test_a_claim_whose_commit_was_lost_leaves_an_attempt_without_a_verdict_and_without_a_call() -> None:
    history = good()
    history.attempts = {**history.attempts, S: [attempt(status_code=None, verdict=None), attempt(2)]}
    history.cuts = [Cut(begin=8.0, end=12.0)]
    assert check(history) == []
    history.calls = [call(SALE, 5.0, answer=None), *history.calls]
    assert names(history) == {"unexplained: an attempt without a verdict"}


def test_a_swallowed_webhook_need_not_be_accepted_but_its_money_must_be_there() -> None:
    history = good()
    place = ("acme", f"evt_{SALE.key}")
    history.acknowledged.discard(place)
    history.swallowed = {place}
    history.inbox = without(history.inbox, place)
    assert check(history) == []
    history.ledger = without(history.ledger, S)
    assert "lost: acknowledged but not in the ledger" in names(history)
