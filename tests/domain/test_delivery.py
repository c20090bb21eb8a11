"""The retry schedule, and that nothing secret shows."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.delivery import JITTER, SUCCESSES, OutgoingRequest, Status, next_wait

SCHEDULE = [timedelta(seconds=5), timedelta(seconds=30), timedelta(hours=24)]
MIDDLE = 0.5


@pytest.mark.parametrize(
    ("spent", "wait"),
    [(1, SCHEDULE[0]), (2, SCHEDULE[1]), (3, SCHEDULE[2]), (4, None), (100, None)],
)
def test_each_failed_attempt_waits_its_step_until_the_schedule_is_exhausted(spent, wait):
    assert next_wait(SCHEDULE, spent, MIDDLE) == wait


@pytest.mark.parametrize("spent", [0, -1])
def test_before_any_attempt_was_spent_the_first_step_counts(spent):
    assert next_wait(SCHEDULE, spent, MIDDLE) == SCHEDULE[0]


@pytest.mark.parametrize("spent", [0, 1])
def test_an_empty_schedule_is_exhausted_at_once(spent):
    assert next_wait([], spent, MIDDLE) is None


@given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
def test_jitter_moves_a_wait_by_at_most_20_percent(spent, draw):
    step = SCHEDULE[spent - 1]
    moved = next_wait(SCHEDULE, spent, draw)
    slack = timedelta(microseconds=1)
    assert step * (1 - JITTER) - slack <= moved <= step * (1 + JITTER) + slack


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 24.0), (0.5, 30.0), (0.75, 33.0)])
def test_the_draw_says_which_way(draw, seconds):
    assert next_wait(SCHEDULE, 2, draw) == timedelta(seconds=seconds)


def test_success_has_three_names():
    assert {Status.RECORDED, Status.ALREADY_RECORDED, Status.RECORDED_ASSUMED} == SUCCESSES


def test_a_request_shows_neither_its_secrets_nor_its_body():
    request = OutgoingRequest(
        url="https://faurya.test/api/revenue",
        body=b'{"visitor": "visitor-private"}',
        headers=(("content-type", "application/json"),),
        secret_headers=(("x-faurya-write-key", "wk-secret"),),
    )
    assert repr(request) == "OutgoingRequest(url='https://faurya.test/api/revenue', body=30 bytes)"
    assert str(request) == repr(request)
