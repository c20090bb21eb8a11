"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.durations import LONGEST, parse_duration, written


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("5s", 5), ("2m", 120), ("1h", 3600), ("90d", 7_776_000), ("007s", 7)]
)
def test_a_number_with_a_unit_is_a_duration(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_a_timedelta_stays_as_it_is():
    assert parse_duration(timedelta(minutes=1)) == timedelta(minutes=1)


@pytest.mark.parametrize(
    "value", [5, 5.0, True, None, "", "5", "s", "-5s", "5 s", "5S", "1h30m", "1.5h", "5ms", "\u0665s", "5s\n", []]
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="whole number with a unit"):
        parse_duration(value)


@pytest.mark.parametrize("text", ["3651d", "999999999d"])
def test_a_duration_beyond_ten_years_is_refused(text):
    with pytest.raises(ValueError, match="at most 3650d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "shortest"), [("0s", "0d"), ("90s", "90s"), ("120s", "2m"), ("60m", "1h"), ("24h", "1d")]
)
def test_a_duration_is_written_in_its_largest_whole_unit(text, shortest):
    assert written(parse_duration(text)) == shortest


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_what_is_written_is_read_back(seconds):
    assert parse_duration(written(timedelta(seconds=seconds))) == timedelta(seconds=seconds)
