"""What is to happen in a storm: everything that the seed decides beforehand. Pure, but for a seed that nobody chose."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.faults import FAULTS

CALM_SECONDS = 5.5
"""Before each fault; the rates before it are taken here."""

RECOVERY_SECONDS = 12.0
"""After each fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to happen. `rate` is in sales per second; the load goes on until both sales and faults are through."""

    seed: int
    sales: int
    rate: float
    faults: Sequence[str]
    swallowed: int
    calm: float = CALM_SECONDS
    recovery: float = RECOVERY_SECONDS


def plan(seed: int, *, sales: int, rate: float, faults: int, swallowed: int) -> Plan:
    """Return the plan of a seed."""
    names = schedule(Random(f"{seed}-faults"), faults)
    return Plan(seed=seed, sales=sales, rate=rate, faults=names, swallowed=swallowed)


def schedule(draw: Random, number: int) -> list[str]:
    """Return the names of `number` faults in the order in which they happen: every kind before any comes again."""
    found: list[str] = []
    while len(found) < number:
        kinds = list(FAULTS)
        draw.shuffle(kinds)
        found += kinds
    return found[:number]


def new_seed() -> int:
    """Return a seed that nobody chose."""
    return secrets.randbelow(10**6)
