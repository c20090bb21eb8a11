"""
What one answer of Faurya means, in both dialects.

    status                          meaning
    2xx                             recorded; the body is not needed
    401, 403, 429, 501, 3xx         the site is held; the attempt is not spent
    409, 400 speaking of duplicates already recorded
    400 after an unclear attempt    taken for a duplicate whose wording we do not know
    other 4xx                       rejected
    408, 425, 5xx, none             again by the schedule, not before `Retry-After`; whether it was recorded is unclear
"""

from collections.abc import Sequence

from gateway.domain.delivery import Answer, AttemptVerdict, Earlier, Hold, HoldReason, Reason, Status, Verdict
from gateway.domain.holds import LONGEST_RETRY_AFTER
from gateway.faurya.wording import speaks_of_duplicate

HOLDING = {
    401: HoldReason.BAD_KEY,
    403: HoldReason.BAD_KEY,
    429: HoldReason.QUOTA,
    501: HoldReason.NOT_IMPLEMENTED,
} | dict.fromkeys(range(300, 400), HoldReason.REDIRECTED)

PASSING = frozenset({408, 425})
"""4xx by number, faults of the moment by meaning: the server gave up waiting, or would not take early data."""

MAYBE_ARRIVED = frozenset({None, AttemptVerdict.UNCLEAR})
"""Verdicts of attempts that may have been recorded without our knowing. None: started, then the process died."""

OURS = MAYBE_ARRIVED | {AttemptVerdict.RECORDED, AttemptVerdict.RECORDED_ASSUMED}
"""With one of these among the earlier attempts, "already recorded" most likely means: by this gateway."""


def judge(answer: Answer, earlier: Sequence[Earlier]) -> Verdict:
    """Return what `answer` means. `earlier` are the attempts before it, without the one that is judged."""
    status = answer.status
    if status is None:
        return _again(AttemptVerdict.UNCLEAR if answer.sent else AttemptVerdict.NOT_SENT, answer)
    if 200 <= status < 300:
        return Verdict(attempt=AttemptVerdict.RECORDED, status=Status.RECORDED)
    if status in HOLDING:
        return _held(HOLDING[status], answer)
    if status in PASSING or not 400 <= status < 500:
        return _again(AttemptVerdict.UNCLEAR, answer)
    return _refused(status, answer.body, {attempt.verdict for attempt in earlier})


def _again(attempt: AttemptVerdict, answer: Answer) -> Verdict:
    asked = min(answer.retry_after, LONGEST_RETRY_AFTER) if answer.retry_after is not None else None
    return Verdict(attempt=attempt, status=Status.PENDING, at_least=asked)


def _held(reason: HoldReason, answer: Answer) -> Verdict:
    hold = Hold(reason=reason, retry_after=answer.retry_after if reason is HoldReason.QUOTA else None)
    return Verdict(attempt=AttemptVerdict.HOLD, status=Status.PENDING, spends=False, hold=hold)


def _refused(status: int, body: str, earlier: set[AttemptVerdict | None]) -> Verdict:
    if status == 409 or (status == 400 and speaks_of_duplicate(body)):
        whose = None if earlier & OURS else Reason.NOT_BY_THIS_GATEWAY
        return Verdict(attempt=AttemptVerdict.ALREADY_RECORDED, status=Status.ALREADY_RECORDED, reason=whose)
    if status == 400 and earlier & MAYBE_ARRIVED:
        return Verdict(attempt=AttemptVerdict.RECORDED_ASSUMED, status=Status.RECORDED_ASSUMED)
    return Verdict(attempt=AttemptVerdict.REJECTED, status=Status.REJECTED, reason=Reason.REFUSED)
