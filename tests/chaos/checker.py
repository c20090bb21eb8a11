"""
Does a history keep the gateway's promises? Pure functions: a history in, violations out.

    lost            an acknowledged webhook without a row, an outcome, a line in the ledger or a record in Faurya
    doubled         recorded more often than lost answers explain
    wrong           another amount, currency, visitor or order, or a refund before its sale
    invented        booked or recorded, but never sold
    unexplained     a delivery, an attempt or a call that nothing accounts for
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

from gateway.domain.delivery import SUCCESSES
from gateway.domain.ids import movement_key
from tests.chaos.history import Attempt, Call, Cut, History, Kill, Place
from tests.chaos.market import Movement
from tests.chaos.sites import BY_NAME, CONNECTION

KILLED_WITHIN = 40.0
"""Seconds between the start of an attempt and the kill that left it without a verdict: the call, then the settling."""

CUT_WITHIN = 10.0
"""Seconds around a cut in which a claim may have been committed without the worker's knowing."""


UNMATCHED = 1000

TELLING = ("booked", "ignored: already_booked")
"""Where a webhook about money that moved may end."""

SILENT = ("ignored: not_final",)
"""Where one about money that has not moved yet ends."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: its group, its name, and where."""

    group: str
    name: str
    where: Place
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}: {self.where[0]} {self.where[1]} {self.detail}".rstrip()


def check(history: History) -> list[Violation]:
    """Return every broken promise."""
    calls = calls_by_place(history)
    return [
        *_kept(history),
        *_booked(history),
        *_ended(history, calls),
        *_recorded(history, calls),
        *_accounted(history, calls),
    ]


def calls_by_place(history: History) -> dict[Place, list[Call]]:
    """Return Faurya's calls by the movement whose key they carry; those that carry no known key stand under theirs."""
    keys = {movement_key(site, CONNECTION, key): (site, key) for site, key in history.movements}
    found: dict[Place, list[Call]] = {}
    for call in sorted(history.calls, key=lambda call: call.at):
        place = keys.get(call.idempotency_key, (call.site, call.idempotency_key))
        found.setdefault(place, []).append(call)
    return found


def explained_doubles(history: History) -> int:
    """Return how many records beyond the first a lost answer explains, at sites whose Faurya recognizes no repeat."""
    return sum(max(0, sum(call.recorded for call in calls) - 1) for calls in calls_by_place(history).values())


def expected_status(movement: Movement) -> frozenset[str]:
    """Return where the delivery of a movement may end, as `status` or `status: reason`."""
    payments = BY_NAME[movement.site].api == "payments"
    if not movement.is_sale and payments:
        return frozenset({"skipped: unsupported_by_destination"})
    if movement.amount <= 0:
        return frozenset({"skipped: zero_amount"})
    if payments and not movement.visitor:
        return frozenset({"unattributed: no_visitor_id"})
    return frozenset(status.value for status in SUCCESSES)


def is_recordable(movement: Movement) -> bool:
    """Say whether a movement must end in Faurya."""
    return "recorded" in expected_status(movement)


def _kept(history: History) -> Iterator[Violation]:
    for place in sorted(history.told.keys() - history.acknowledged - history.swallowed):
        yield Violation("lost", "never accepted", place)
    for place in sorted(history.acknowledged):
        row = history.inbox.get(place)
        if row is None:
            yield Violation("lost", "acknowledged but not in the inbox", place)
            continue
        if row.outcome == "received":
            yield Violation("lost", "never read", place, row.reason or "")
            continue
        ended = f"{row.outcome}: {row.reason}" if row.reason else row.outcome
        if ended not in (TELLING if history.told.get(place) else SILENT):
            yield Violation("unexplained", "webhook ended oddly", place, ended)


def _booked(history: History) -> Iterator[Violation]:
    reported = history.acknowledged | history.swallowed
    told = {(site, history.told[site, event]) for site, event in reported if history.told.get((site, event))}
    for place in sorted(told - history.ledger.keys()):
        yield Violation("lost", "acknowledged but not in the ledger", place)
    payments: Counter[tuple[str, str]] = Counter()
    for place, line in history.ledger.items():
        movement = history.movements.get(place)
        if movement is None:
            yield Violation("invented", "booked but never sold", place)
            continue
        payments[movement.site, line.payment_id] += movement.is_sale
        booked = (line.kind, line.payment_id, line.amount, line.currency, line.visitor)
        sold = (movement.kind, movement.payment_id, movement.amount, movement.currency, movement.visitor)
        if booked != sold:
            yield Violation("wrong", "booked otherwise than sold", place, f"{booked} instead of {sold}")
    for place in (place for place, times in payments.items() if times > 1):
        yield Violation("doubled", "one payment booked as two sales", place)


def _ended(history: History, calls: dict[Place, list[Call]]) -> Iterator[Violation]:
    for place in history.ledger:
        movement, delivery = history.movements.get(place), history.outbox.get(place)
        if movement is None:
            continue
        if delivery is None:
            yield Violation("lost", "booked without a delivery", place)
            continue
        ended = f"{delivery.status}: {delivery.reason}" if delivery.reason else delivery.status
        if ended not in expected_status(movement):
            yield Violation("unexplained", "delivery ended oddly", place, ended)
        recorded = any(call.recorded for call in calls.get(place, ()))
        if is_recordable(movement) and not recorded:
            yield Violation("lost", "not in Faurya", place, ended)
        if recorded and delivery.status not in SUCCESSES:
            yield Violation("unexplained", "in Faurya, but not by the outbox", place, ended)


def _recorded(history: History, calls: dict[Place, list[Call]]) -> Iterator[Violation]:
    for place, seen in calls.items():
        movement = history.movements.get(place)
        if movement is None or not is_recordable(movement):
            yield Violation("invented", "sent to Faurya, but not to be", place)
            continue
        for call in seen:
            if sent_as(call) != expected_call(movement):
                yield Violation(
                    "wrong", "sent otherwise than sold", place, f"{sent_as(call)} instead of {expected_call(movement)}"
                )
        if not movement.is_sale:
            sale = calls.get((movement.site, f"payment:{movement.payment_id}"), ())
            if not any(call.recorded and call.at <= seen[0].at for call in sale):
                yield Violation("wrong", "refund sent before its sale was recorded", place)
        yield from _doubled(place, movement, seen, history.attempts.get(place, ()))


def sent_as(call: Call) -> tuple[object, ...]:
    return call.site, call.event, call.payment_id, call.order_id, call.amount, call.currency, call.visitor


def expected_call(movement: Movement) -> tuple[object, ...]:
    """Return what Faurya must be told of a movement: refunds are negative, payments have no order id of their own."""
    event, sign = ("purchase", 1) if movement.is_sale else ("refund", -1)
    order = None if BY_NAME[movement.site].api == "payments" else movement.order_id
    where = movement.site, event, movement.payment_id, order
    return *where, sign * movement.amount, movement.currency, movement.visitor


def _doubled(place: Place, movement: Movement, seen: Sequence[Call], noted: Sequence[Attempt]) -> Iterator[Violation]:
    """
    More than one record is right only where each further one followed an answer that was lost.

    An answer is lost where Faurya did not send it whole, or where the process that should have noted it was killed: the
    attempt of that call then has no verdict.
    """
    times = sum(call.recorded for call in seen)
    if times > 1 and BY_NAME[movement.site].remembers:
        yield Violation("doubled", "recorded twice by a Faurya that recognizes repeats", place)
    if times > 1 and sum(attempt.verdict == "recorded" for attempt in noted) > 1:
        yield Violation("doubled", "two attempts know that they recorded it", place)
    made = {id(call): attempt for call, attempt in matched(seen, noted)}
    for call in seen[:-1]:
        attempt = made[id(call)]
        if times > 1 and call.recorded and is_success(call.answer) and not (attempt and attempt.verdict is None):
            yield Violation("doubled", "recorded again although the answer was heard", place, f"at {call.at:.3f}")


def is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _accounted(history: History, calls: dict[Place, list[Call]]) -> Iterator[Violation]:
    """Every call has an attempt that was on record before it, and every attempt knows how its call ended."""
    for place in calls.keys() | history.attempts.keys():
        pairs = matched(calls.get(place, ()), history.attempts.get(place, ()))
        for call, attempt in pairs:
            if attempt is None:
                detail = f"answered {call.answer} at {call.at:.3f}"
                yield Violation("unexplained", "a call without an attempt", place, detail)
        called = {attempt.number for _, attempt in pairs if attempt}
        for attempt in history.attempts.get(place, ()):
            reasons = history.kills if attempt.number in called else (*history.kills, *history.cuts)
            if attempt.verdict is None and not any(_explains(reason, attempt) for reason in reasons):
                detail = f"attempt {attempt.number} at {attempt.at:.3f}"
                yield Violation("unexplained", "an attempt without a verdict", place, detail)


def matched(seen: Sequence[Call], noted: Sequence[Attempt]) -> list[tuple[Call, Attempt | None]]:
    """Return each call with an attempt of its own that fits, in order, or with None: the best such pairing."""

    @cache
    def best(first: int, free: int) -> tuple[int, tuple[Attempt | None, ...]]:
        if first == len(seen):
            return 0, ()
        cost, rest = best(first + 1, free)
        found = cost + UNMATCHED, (None, *rest)
        for number in range(free, len(noted)):
            fit = _misfit(noted[number], seen[first])
            if fit is not None:
                cost, rest = best(first + 1, number + 1)
                found = min(found, (cost + fit, (noted[number], *rest)), key=itemgetter(0))
        return found

    return list(zip(seen, best(0, 0)[1], strict=True))


def _misfit(attempt: Attempt, call: Call) -> int | None:
    """Return 0 for an attempt that knows how this call ended, 1 for one that knows nothing, None for another's."""
    if call.answer is None and attempt.verdict == "unclear" and attempt.status_code is None:
        return 0
    if call.answer is not None and attempt.status_code == call.answer:
        return 0
    return 1 if attempt.verdict is None else None


def _explains(reason: Kill | Cut, attempt: Attempt) -> bool:
    """A process that was killed; or, where no call was made, a claim whose commit was lost with its connection."""
    match reason:
        case Kill(at=at):
            return -1.0 <= at - attempt.at <= KILLED_WITHIN
        case Cut(begin=begin, end=end):
            return begin - CUT_WITHIN <= attempt.at <= end + CUT_WITHIN
