"""
What the kit has to say: a rule, why it exists, what was sent and what came back.

A check is an async generator that yields `Evidence` for every breach it sees; `@check` gives it a rule and a reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.text import printable

if TYPE_CHECKING:
    from gateway.conformance.trial import Trial

MAX_SHOWN = 600
"""Characters of one line of evidence; a whole webhook of some providers has 20,000."""


class NotApplicable(Exception):
    """The check has nothing to look at in this plugin; the text says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One breach of a rule: what was sent, what came back, and what to do about it."""

    sent: str
    came_back: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule of the provider interface and the code that looks for breaches. `quick` ones need no recordings."""

    name: str
    rule: str
    why: str
    run: Callable[[Trial], AsyncIterator[Evidence]]
    quick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that a plugin breaks. `str()` is the text for its author."""

    check: str
    rule: str
    why: str
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        lines = [f"rule:      {self.rule}", f"why:       {self.why}"]
        for item in self.evidence[:3]:
            lines += ["", f"sent:      {_cut(item.sent)}", f"came back: {_cut(item.came_back)}"]
            lines += [f"mend:      {item.mend}"] if item.mend else []
        more = len(self.evidence) - 3
        return "\n".join([*lines, "", f"... and {more} more like these"] if more > 0 else lines)


Run = Callable[["Trial"], AsyncIterator[Evidence]]


def check(rule: str, why: str, *, quick: bool = True) -> Callable[[Run], Check]:
    """Make a check of an async generator; its name is the function's."""

    def made(run: Run) -> Check:
        return Check(name=run.__name__, rule=rule, why=why, run=run, quick=quick)

    return made


def shown(value: object) -> str:
    """Return a value as a plugin's author wants to see it: errors with their class, bytes as text."""
    if isinstance(value, BaseException):
        return f"raised {type(value).__name__}: {value}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return repr(value)


def _cut(text: str) -> str:
    return printable(text, MAX_SHOWN)
