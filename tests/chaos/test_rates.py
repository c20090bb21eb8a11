"""How soon rates are back."""

import pytest

from tests.chaos.rates import Recovery, recovery

STEADY = [number / 50 for number in range(50 * 60)]


def test_a_steady_rate_is_back_at_once() -> None:
    found = recovery(STEADY, 20.0, 25.0, 45.0, 50.0)
    assert found.after == 0.0
    assert found.is_back
    assert found.before == 50.0
    assert found.share == pytest.approx(1.0)


def test_a_gap_after_the_fault_is_its_time_to_recover() -> None:
    gap = [moment for moment in STEADY if not 20.0 <= moment < 29.0]
    found = recovery(gap, 20.0, 25.0, 45.0, 50.0)
    assert found.after == pytest.approx(4.0, abs=0.15)
    assert found.is_back


def test_what_comes_back_after_more_than_ten_seconds_is_late() -> None:
    gap = [moment for moment in STEADY if not 20.0 <= moment < 36.0]
    assert recovery(gap, 20.0, 25.0, 55.0, 50.0) == Recovery(50.0, None, 0.0)


def test_a_rate_that_falls_again_is_not_back() -> None:
    falling = [moment for moment in STEADY if moment < 28.0 or int(moment * 50) % 2]
    found = recovery(falling, 20.0, 25.0, 45.0, 50.0)
    assert found.after == 0.0
    assert not found.is_back


def test_catching_up_before_a_fault_is_not_taken_for_the_usual_rate() -> None:
    catching_up = sorted([*STEADY, *(moment + 0.01 for moment in STEADY if 15.0 <= moment < 20.0)])
    found = recovery(catching_up, 20.0, 25.0, 45.0, 50.0)
    assert found.before == 50.0
    assert found.is_back
