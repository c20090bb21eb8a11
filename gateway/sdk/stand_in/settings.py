"""How a stand-in behaves, and what it answers to a lever that cannot be pulled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Failure = Literal["unsent", "unanswered", "lost"]
"""An attempt that is never made, one whose answer gets lost, and a webhook that is never sent at all."""


class NotPossible(Exception):
    """This cannot be done now."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """
    How the stand-in behaves; `POST /stand-in/settings` changes it while it runs.

    `scale` multiplies every wait (0.001 makes an hour of retries a few seconds). `timeout_seconds` is how long it waits
    for a webhook's answer. `return_to` is where the buyer's page links back to. `failures` is used up by the next
    attempts to deliver, `api_failures` (status codes) by the next API calls. Providers add their own.
    """

    scale: float = 1.0
    timeout_seconds: float = 10.0
    return_to: str | None = None
    failures: list[Failure] = field(default_factory=list)
    api_failures: list[int] = field(default_factory=list)

    def failure(self, *kinds: Failure) -> Failure | None:
        """Use up the next failure to deliver, if it is one of these kinds."""
        return self.failures.pop(0) if self.failures and self.failures[0] in kinds else None

    def api_failure(self) -> int | None:
        """Use up the status that the next API call shall fail with."""
        return self.api_failures.pop(0) if self.api_failures else None
