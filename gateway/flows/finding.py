"""One thing that `check` looked at."""

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["fine", "note", "warning", "problem"]
"""A `problem` needs somebody now, a `warning` is worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `about` is a site, a site/connection or a part of the gateway."""

    level: Level
    about: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
