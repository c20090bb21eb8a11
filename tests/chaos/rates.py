"""How soon after a fault the rates were back. Pure: moments in, seconds out."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

BACK = 0.95
"""Of the rate before the fault."""

STAYS = 0.9
"""Of the rate before, on the average of all the time until the next fault: ten seconds of a busy machine are noisy."""

WITHIN = 10.0
"""Seconds after the fault's end."""

BEFORE = 5.0
"""Seconds before the fault over which the rate is taken."""

WINDOW = 2.0
"""Seconds over which a rate is taken afterwards."""

STEP = 0.1


@dataclass(frozen=True, slots=True)
class Recovery:
    """Events per second before; seconds until they were back (None: not within `WITHIN`); the share from then on."""

    before: float
    after: float | None
    share: float

    @property
    def is_back(self) -> bool:
        return self.after is not None and self.share >= STAYS


def rate(moments: Sequence[float], begin: float, end: float) -> float:
    """Return the events per second in [begin, end) of sorted moments."""
    return (bisect_left(moments, end) - bisect_left(moments, begin)) / (end - begin)


def recovery(moments: Sequence[float], begin: float, end: float, until: float, usual: float) -> Recovery:
    """
    Return how a rate came back from a fault between `begin` and `end`; `until` is when the next one begins.

    `usual` is the rate over all: the one before a fault is not taken for more, since it may have been the catching up
    from the fault before.
    """
    before = min(usual, rate(moments, begin - BEFORE, begin))
    steps = int(WITHIN / STEP) + 1
    for at in (number * STEP for number in range(steps)):
        if end + at + WINDOW <= until and rate(moments, end + at, end + at + WINDOW) >= BACK * before:
            share = rate(moments, end + at, until) / before if before else 1.0
            return Recovery(before, round(at, 1), share)
    return Recovery(before, None, 0.0)
