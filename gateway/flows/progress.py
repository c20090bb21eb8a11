"""What a sweep under way has come to, as the database keeps it between two pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from gateway.domain.listed import Result, Tally
from gateway.domain.revenue import RevenueEvent


def packed(tally: Tally, waiting: Sequence[RevenueEvent]) -> str:
    """
    Return the state of a sweep.

    Movements that wait for a sale on a later page live in memory only; their time is kept, so that a sweep which goes
    on in another process holds its watermark back and the next one sees them again.
    """
    moments = [event.occurred_at for event in waiting]
    earliest = min([*moments, *([tally.earliest] if tally.earliest else [])], default=None)
    return orjson.dumps(
        {
            "counts": {result.value: number for result, number in tally.counts.items()},
            "test": tally.test,
            "differences": tally.differences,
            "earliest": earliest,
        }
    ).decode()


def unpacked(progress: str | None) -> Tally:
    """Return the tally to go on with; an empty one where the sweep begins."""
    if progress is None:
        return Tally()
    kept: dict[str, Any] = orjson.loads(progress)
    tally = Tally(
        test=kept["test"],
        differences=[(key, booked, listed) for key, booked, listed in kept["differences"]],
        earliest=datetime.fromisoformat(kept["earliest"]) if kept["earliest"] else None,
    )
    tally.counts.update({Result(name): number for name, number in kept["counts"].items()})
    return tally


def differences_of(tally: Tally) -> str | None:
    """Return the differences as the database keeps them."""
    return orjson.dumps(tally.differences).decode() if tally.differences else None
