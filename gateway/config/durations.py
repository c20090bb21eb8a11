"""Durations as people write them: `5s`, `2m`, `1h`, `90d`."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

LONGEST = timedelta(days=3650)
"""No wait is sensibly longer, and a date this far from today can still be computed."""

PATTERN = "^[0-9]{1,9}[smhd]$"


def parse_duration(value: object) -> timedelta:
    """
    Return the duration that a text such as `5s` names; a timedelta stays as it is.

    A number without a unit is refused, because nobody can tell seconds from minutes. Raises `ValueError`.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a whole number with a unit: 5s, 30m, 2h or 90d")
    duration = timedelta(seconds=1) * int(match["count"]) * _SECONDS[match["unit"]]
    if duration > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    return duration


def written(duration: timedelta) -> str:
    """Write a duration the way a file does, in its largest whole unit."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
