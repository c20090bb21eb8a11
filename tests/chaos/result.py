"""What a storm came to: the history as all sides tell it, and how the rates came back after each fault."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.checker import is_recordable
from tests.chaos.faults import CUTTING
from tests.chaos.history import Cut, History, Place
from tests.chaos.plan import Plan
from tests.chaos.rates import Recovery, rate, recovery
from tests.chaos.sweep import Swept


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A fault as it was, and how the rates came back."""

    kind: str
    detail: str
    begin: float
    end: float
    until: float = 0.0
    accepts: Recovery | None = None
    deliveries: Recovery | None = None


@dataclass(slots=True, kw_only=True)
class Result:
    """What a storm came to."""

    plan: Plan
    history: History
    faults: Sequence[Happened]
    seconds: float
    answers: dict[str, int]
    slowest: float
    exit_codes: dict[str, list[int]]
    swept: Swept
    logged: dict[str, int]


def cuts(faults: Iterable[Happened]) -> list[Cut]:
    """Return when connections to the database broke."""
    return [Cut(begin=fault.begin, end=fault.end) for fault in faults if fault.kind in CUTTING]


def with_rates(
    faults: Sequence[Happened], history: History, accepted: Mapping[Place, float], begun: float, ended: float
) -> list[Happened]:
    """
    Add to each fault how the rates came back; sales went on from `begun` to `ended`.

    Both rates count sales that can be recorded, each once: webhooks come in bursts, sales at a steady rate.
    """
    accepts, deliveries = accept_moments(history, accepted), delivery_moments(history)
    untils = [*(fault.begin for fault in faults[1:]), ended]
    return [
        replace(
            fault,
            accepts=recovery(accepts, fault.begin, fault.end, until, rate(accepts, begun, ended)),
            deliveries=recovery(deliveries, fault.begin, fault.end, until, rate(deliveries, begun, ended)),
        )
        for fault, until in zip(faults, untils, strict=True)
    ]


def accept_moments(history: History, accepted: Mapping[Place, float]) -> list[float]:
    """Return when the first webhook of each sale was acknowledged, sorted."""
    first: dict[Place, float] = {}
    for (site, event), at in accepted.items():
        place = site, history.told[site, event]
        sale = history.movements.get(place)
        if sale is not None and sale.is_sale and is_recordable(sale):
            first[place] = min(at, first.get(place, at))
    return sorted(first.values())


def delivery_moments(history: History) -> list[float]:
    """Return when each sale was first recorded in Faurya, sorted."""
    first: dict[Place, float] = {}
    for call in history.calls:
        if call.recorded and call.event == "purchase":
            place = call.site, call.payment_id
            first[place] = min(call.at, first.get(place, call.at))
    return sorted(first.values())


WORRYING = (
    "worker.failed", "delivery.failed", "request.failed", "process.failed", "delivery.lease_lost",
    "delivery.not_settled", "site.hold_not_noted",
)  # fmt: skip


def worrying_lines(logs: Iterable[Path]) -> dict[str, int]:
    """Count the log lines that a person would look at."""
    texts = [log.read_text(errors="replace").replace('": "', '":"') for log in logs]
    counts = {word: sum(text.count(f'"event":"{word}"') for text in texts) for word in WORRYING}
    return {word: count for word, count in counts.items() if count}
