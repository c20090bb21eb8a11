"""Every form of `Retry-After`."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.outbound import retry_after

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("", None),
        ("0", timedelta(0)),
        (" 30 ", timedelta(seconds=30)),
        ("9" * 5000, timedelta(days=30)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Mon, 23 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 12:01:00", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 12:01:00 -0000", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 13:01:00 +0100", timedelta(minutes=1)),
        ("Sun, 22 Nov 2026 12:00:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=30)),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_understood_and_the_rest_is_none(value, wait):
    assert retry_after(value, NOON) == wait
