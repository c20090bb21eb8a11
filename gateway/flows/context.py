"""What every story needs from outside: the database, the clock, chance, logs and metrics."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from gateway.store.pool import Database
from gateway.telemetry import Metrics, Redaction

Work = Literal["book", "deliver"]
"""What a worker does at a site."""


class Wake(Protocol):
    """Tells the worker of this process that this work is due at this site."""

    def __call__(self, site: str, work: Work, /) -> None:
        """Say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    Handed to every flow by the composition root.

    `now` is aware UTC, `entropy(n)` gives n random bytes, `draw` a number in [0, 1). `wake` tells the worker of this
    process what is due. `in_hand` counts, by site, the proven webhooks that wait to be kept by this process.
    """

    database: Database
    now: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    draw: Callable[[], float]
    wake: Wake
    metrics: Metrics
    redaction: Redaction = field(default_factory=Redaction)
    in_hand: Counter[str] = field(default_factory=Counter)
