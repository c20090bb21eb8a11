"""What an attempt's verdict makes of its delivery: where it ends, or when it is tried again. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.domain.delivery import SUCCESSES, Answer, Reason, Status, Verdict, next_wait
from gateway.store.outbox import ClaimedDelivery, Settlement

ANSWER_CHARS = 4096


def settlement_of(
    delivery: ClaimedDelivery,
    verdict: Verdict,
    answer: Answer,
    *,
    now: datetime,
    schedule: Sequence[timedelta],
    draw: float,
    kept: str,
    milliseconds: int,
) -> Settlement:
    """Return what is written down. `kept` is the answer as it may be kept, `draw` in [0, 1) the schedule's jitter."""
    spent = delivery.spent + (verdict.spends and verdict.status is Status.PENDING)
    status, reason, due_at = verdict.status, verdict.reason, None
    if status is Status.PENDING:
        wait = verdict.again_in
        if wait is None and verdict.spends:
            wait = next_wait(schedule, spent, draw)
        if wait is None and verdict.spends:
            status, reason = Status.DEAD, Reason.SCHEDULE_EXHAUSTED
        else:
            due_at = now + max(wait or timedelta(0), verdict.at_least or timedelta(0))
    return Settlement(
        site=delivery.site,
        connection=delivery.connection,
        key=delivery.key,
        number=delivery.number,
        lease=delivery.lease,
        verdict=verdict.attempt,
        status=status,
        reason=reason,
        spent=spent,
        due_at=due_at,
        recorded_at=now if status in SUCCESSES else None,
        status_code=answer.status,
        answer=kept[:ANSWER_CHARS],
        milliseconds=milliseconds,
    )
