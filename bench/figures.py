"""Medians, percentiles and ratios. Pure."""

import statistics
from collections.abc import Sequence
from math import ceil, nan

NAN = nan


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed, by the nearest rank; nan for none."""
    if not values:
        return nan
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median; nan for none."""
    return statistics.median(values) if values else nan


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of rounds that were run one after the other."""
    pairs = [(our, their) for our, their in zip(ours, theirs, strict=False) if their]
    return median([our / their for our, their in pairs])


def per_webhook(seconds: float, webhooks: int) -> float:
    """Return microseconds."""
    return seconds / webhooks * 1e6 if webhooks else nan
