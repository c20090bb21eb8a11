"""
How a reading asks Stripe without doing any I/O.

A reading is a generator: it yields a `Question` where an event lacks a link, is sent Stripe's answer (a JSON object),
and returns what it has read. So the rules about money need no network, and the network knows no rules.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.sdk import Ignored, RevenueEvent

Entity = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A GET to Stripe's API. `account` is the connected account whose object is asked for (Connect)."""

    path: str
    query: Mapping[str, str]
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event without its envelope: what happened to which object, when and in whose account."""

    type: str
    at: datetime
    test: bool
    account: str | None
    entity: Entity


Result = Sequence[RevenueEvent] | Ignored
Reading = Generator[Question, Entity, Result]
