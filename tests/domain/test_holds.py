"""When a held site is tried again."""

from datetime import timedelta

import pytest

from gateway.domain.delivery import HoldReason
from gateway.domain.holds import FAILURES_IN_A_ROW, Circuits, next_probe

MIDDLE = 0.5
"""The draw that moves our own waits by nothing."""

FAULTS = [HoldReason.BAD_KEY, HoldReason.NOT_IMPLEMENTED, HoldReason.REDIRECTED, HoldReason.VISITORS_NOT_FOUND]


@pytest.mark.parametrize(("probes", "minutes"), [(0, 15), (1, 30), (2, 60), (3, 120), (4, 240), (5, 240), (10**9, 240)])
def test_a_quota_is_probed_after_15_minutes_growing_to_4_hours(probes, minutes):
    assert next_probe(HoldReason.QUOTA, probes, None, MIDDLE) == timedelta(minutes=minutes)


@pytest.mark.parametrize("reason", FAULTS)
@pytest.mark.parametrize(("probes", "minutes"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (500, 60)])
def test_a_fault_that_a_person_mends_is_probed_after_5_minutes_growing_to_1_hour(reason, probes, minutes):
    assert next_probe(reason, probes, None, MIDDLE) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        (timedelta(minutes=2), timedelta(minutes=2)),
        (timedelta(0), timedelta(seconds=10)),
        (timedelta(seconds=-5), timedelta(seconds=10)),
        (timedelta(days=400), timedelta(hours=24)),
    ],
)
def test_retry_after_beats_our_schedule_within_reason(asked, wait):
    assert next_probe(HoldReason.QUOTA, 7, asked, 0.0) == wait


@pytest.mark.parametrize(("asked", "wait"), [(0, 1), (2, 2), (60, 60)])
def test_an_open_circuit_is_probed_when_faurya_says_so_after_a_second_at_least(asked, wait):
    assert next_probe(HoldReason.UNAVAILABLE, 3, timedelta(seconds=asked), 0.0) == timedelta(seconds=wait)


def test_jitter_never_undercuts_what_the_other_side_asked_for():
    asked = timedelta(minutes=10)
    assert next_probe(HoldReason.QUOTA, 0, asked, 0.999) > asked * 1.19
    assert next_probe(HoldReason.QUOTA, 0, None, 0.0) == timedelta(minutes=12)


def test_an_operators_hold_is_never_probed():
    assert next_probe(HoldReason.OPERATOR, 0, timedelta(seconds=60), MIDDLE) is None


@pytest.mark.parametrize(("probes", "seconds"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8), (10**9, 8)])
def test_an_open_circuit_is_probed_after_a_second_growing_to_8(probes, seconds):
    assert next_probe(HoldReason.UNAVAILABLE, probes, None, MIDDLE) == timedelta(seconds=seconds)


def test_a_circuit_opens_after_five_failures_in_a_row_of_one_site_and_stays_ready_to():
    circuits = Circuits()
    for _ in range(FAILURES_IN_A_ROW - 1):
        assert not circuits.opens("acme", failed=True)
        assert not circuits.opens("globex", failed=True)
    assert not circuits.opens("globex", failed=False)
    assert circuits.opens("acme", failed=True)
    assert circuits.opens("acme", failed=True)
    assert not circuits.opens("globex", failed=True)
