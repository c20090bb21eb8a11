"""
When a site's deliveries are paused, and when it is tried again: with one real due delivery, after a wait that grows.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.domain.delivery import JITTER, HoldReason

NOT_FOUND_STREAK = 10
"""Answers "visitor not found" in a row, over all deliveries of a site, that hold it as `VISITORS_NOT_FOUND`."""

FAILURES_IN_A_ROW = 5
"""Calls without a usable answer, one after the other over all deliveries of a site, that open its circuit."""

LONGEST_RETRY_AFTER = timedelta(hours=24)
"""A longer `Retry-After` is cut: a typing mistake on the other side must not stop a site for a year."""

SHORTEST_RETRY_AFTER = timedelta(seconds=10)
"""A shorter `Retry-After` of a quota is raised: zero would make the probe a busy loop."""

QUOTA_WAITS = (timedelta(minutes=15), timedelta(hours=4))
"""First and longest wait for a used-up quota. It is a plan's limit, not a speed limit: minutes rarely help."""

FAULT_WAITS = (timedelta(minutes=5), timedelta(hours=1))
"""First and longest wait for a fault that a person must mend (key, address): found soon after it is mended."""

OPEN_WAITS = (timedelta(seconds=1), timedelta(seconds=8))
"""First and longest wait of an open circuit: a call every few seconds is no burden, and money flows soon after."""

WAITS = {HoldReason.QUOTA: QUOTA_WAITS, HoldReason.UNAVAILABLE: OPEN_WAITS}


def next_probe(
    reason: HoldReason, previous_probes: int, retry_after: timedelta | None, draw: float
) -> timedelta | None:
    """
    Return how long to wait before the next probe; None for an operator's hold, which only a person lifts.

    `previous_probes` counts the probes since the hold began (0 right after it). `draw` in [0, 1) moves our own waits by
    up to 20 % either way, and a wait that the other side asked for only upwards.
    """
    if reason is HoldReason.OPERATOR:
        return None
    if retry_after is not None:
        shortest = OPEN_WAITS[0] if reason is HoldReason.UNAVAILABLE else SHORTEST_RETRY_AFTER
        asked = min(max(retry_after, shortest), LONGEST_RETRY_AFTER)
        return asked * (1 + JITTER * draw)
    first, longest = WAITS.get(reason, FAULT_WAITS)
    doublings = min(previous_probes, 10)  # a hold may last for years; 2^10 is past every longest wait
    grown = min(first * (1 << doublings), longest)
    return grown * (1 - JITTER + 2 * JITTER * draw)


@dataclass(frozen=True, slots=True)
class Circuits:
    """How often, without an answer in between, each site's Faurya was not there; each process counts for itself."""

    _failures: Counter[str] = field(default_factory=Counter)

    def opens(self, site: str, *, failed: bool) -> bool:
        """Take one more call into account; say whether it is time to pause the site's deliveries."""
        if not failed:
            self._failures.pop(site, None)
            return False
        self._failures[site] += 1
        return self._failures[site] >= FAILURES_IN_A_ROW
