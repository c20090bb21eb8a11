"""What each answer means, in both dialects."""

from datetime import timedelta

import pytest

from gateway.domain.delivery import Answer, AttemptVerdict, Earlier, Hold, HoldReason, Reason, Status, Verdict
from gateway.faurya import payments, revenue

A = AttemptVerdict
BOTH = pytest.mark.parametrize("judge", [revenue.judge, payments.judge], ids=["revenue", "payments"])


def after(*verdicts: AttemptVerdict | None) -> list[Earlier]:
    return [Earlier(status=None, verdict=verdict) for verdict in verdicts]


@BOTH
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_recorded_whatever_its_body_says(judge, status):
    answer = Answer(status=status, body="duplicate")
    assert judge(answer, after(None)) == Verdict(attempt=A.RECORDED, status=Status.RECORDED)


@BOTH
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (300, HoldReason.REDIRECTED),
        (301, HoldReason.REDIRECTED),
        (302, HoldReason.REDIRECTED),
        (304, HoldReason.REDIRECTED),
        (308, HoldReason.REDIRECTED),
        (399, HoldReason.REDIRECTED),
        (401, HoldReason.BAD_KEY),
        (403, HoldReason.BAD_KEY),
        (501, HoldReason.NOT_IMPLEMENTED),
    ],
)
def test_configuration_faults_hold_the_site_without_spending_an_attempt(judge, status, reason):
    verdict = judge(Answer(status=status, body="already exists", retry_after=timedelta(hours=9)), after(A.UNCLEAR))
    assert verdict == Verdict(attempt=A.HOLD, status=Status.PENDING, spends=False, hold=Hold(reason=reason))


@BOTH
@pytest.mark.parametrize("asked", [None, timedelta(seconds=90)])
def test_a_used_up_quota_holds_the_site_for_as_long_as_faurya_asks(judge, asked):
    verdict = judge(Answer(status=429, retry_after=asked), [])
    expected = Hold(reason=HoldReason.QUOTA, retry_after=asked)
    assert verdict == Verdict(attempt=A.HOLD, status=Status.PENDING, spends=False, hold=expected)


@BOTH
@pytest.mark.parametrize("status", [None, 101, 408, 425, 500, 502, 503, 504, 599, 600, 999])
def test_passing_faults_come_again_by_the_schedule_and_leave_the_outcome_unclear(judge, status):
    answer = Answer(status=status, body="already exists", retry_after=timedelta(hours=9))
    assert judge(answer, []) == Verdict(attempt=A.UNCLEAR, status=Status.PENDING, at_least=timedelta(hours=9))


@BOTH
@pytest.mark.parametrize("status", [408, 503])
def test_a_passing_fault_may_say_when_to_come_again_but_not_in_a_year(judge, status):
    assert judge(Answer(status=status), []).at_least is None
    assert judge(Answer(status=status, retry_after=timedelta(days=365)), []).at_least == timedelta(hours=24)


@BOTH
def test_a_request_that_never_left_is_tried_again_and_is_not_unclear(judge):
    verdict = judge(Answer(status=None, sent=False, error="refused"), after(A.UNCLEAR))
    assert verdict == Verdict(attempt=A.NOT_SENT, status=Status.PENDING)


@BOTH
@pytest.mark.parametrize(("status", "body"), [(409, ""), (409, "what?"), (400, "Duplicate transaction")])
@pytest.mark.parametrize(
    ("earlier", "reason"),
    [
        ([], Reason.NOT_BY_THIS_GATEWAY),
        (after(A.NOT_SENT, A.HOLD, A.NOT_FOUND, A.REJECTED, A.ALREADY_RECORDED), Reason.NOT_BY_THIS_GATEWAY),
        (after(A.UNCLEAR), None),
        (after(None), None),
        (after(A.UNCLEAR, A.NOT_SENT), None),
        (after(A.RECORDED), None),
        (after(A.RECORDED_ASSUMED), None),
    ],
)
def test_a_duplicate_is_a_success_and_says_when_it_was_not_by_this_gateway(judge, status, body, earlier, reason):
    verdict = judge(Answer(status=status, body=body), earlier)
    assert verdict == Verdict(attempt=A.ALREADY_RECORDED, status=Status.ALREADY_RECORDED, reason=reason)


@BOTH
@pytest.mark.parametrize("earlier", [after(A.UNCLEAR), after(None), after(A.UNCLEAR, A.HOLD, A.NOT_SENT)])
def test_a_bare_400_after_an_unclear_attempt_is_taken_for_recorded(judge, earlier):
    verdict = judge(Answer(status=400, body="Bad Request"), earlier)
    assert verdict == Verdict(attempt=A.RECORDED_ASSUMED, status=Status.RECORDED_ASSUMED)


@BOTH
@pytest.mark.parametrize("earlier", [[], after(A.NOT_SENT), after(A.HOLD, A.NOT_FOUND), after(A.RECORDED)])
def test_a_400_without_an_unclear_attempt_before_it_is_rejected(judge, earlier):
    verdict = judge(Answer(status=400, body="visitor does not exist"), earlier)
    assert verdict == Verdict(attempt=A.REJECTED, status=Status.REJECTED, reason=Reason.REFUSED)


@BOTH
@pytest.mark.parametrize("status", [402, 405, 410, 413, 415, 422, 451, 499])
def test_other_4xx_are_rejected_even_after_an_unclear_attempt(judge, status):
    verdict = judge(Answer(status=status, body="already exists"), after(A.UNCLEAR))
    assert verdict == Verdict(attempt=A.REJECTED, status=Status.REJECTED, reason=Reason.REFUSED)


def test_404_is_a_plain_rejection_in_the_revenue_dialect():
    verdict = revenue.judge(Answer(status=404), [])
    assert verdict == Verdict(attempt=A.REJECTED, status=Status.REJECTED, reason=Reason.REFUSED)


@pytest.mark.parametrize(
    ("earlier", "wait"),
    [
        ([], timedelta(minutes=10)),
        (after(A.UNCLEAR, A.HOLD), timedelta(minutes=10)),
        (after(A.NOT_FOUND), timedelta(hours=1)),
        (after(A.NOT_FOUND, A.UNCLEAR, A.NOT_FOUND), timedelta(hours=6)),
        (after(A.NOT_FOUND, A.NOT_FOUND, A.NOT_FOUND), timedelta(hours=24)),
    ],
)
def test_an_unknown_visitor_is_awaited_without_spending_the_schedule(earlier, wait):
    verdict = payments.judge(Answer(status=404), earlier)
    assert verdict == Verdict(attempt=A.NOT_FOUND, status=Status.PENDING, spends=False, again_in=wait)


def test_a_visitor_that_never_appears_ends_as_visitor_not_found():
    verdict = payments.judge(Answer(status=404), after(*[A.NOT_FOUND] * 4))
    assert verdict == Verdict(attempt=A.NOT_FOUND, status=Status.REJECTED, reason=Reason.VISITOR_NOT_FOUND)
