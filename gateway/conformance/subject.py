"""The plugin under test and what its author says about the provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.domain.messages import Proof
from gateway.sdk import Plugin

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
"""When everything in the kit happens, unless a recorded signature says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    One plugin with made-up settings, its recordings, and the facts that no code can know.

    `settings` are a connection's, with at least two secrets in `secrets_field` where the provider signs. What the
    provider cannot do is said with a reason: in `never` (`refund`, `not_final`, ...) or by None and False.
    """

    plugin: Plugin
    settings: Mapping[str, Any] = field(repr=False)
    fixtures: Path | None = None
    vectors: Path | None = None
    expected: Path | None = None
    proof: Proof | None = None
    signs_time: bool | None = None
    signs_url: bool = False
    signature_header: str | None = None
    secrets_field: str | None = "webhook_secrets"
    base_url_field: str | None = "base_url"
    constant_time: str | None = None
    never: Mapping[str, str] = field(default_factory=dict)
    url: str = "https://pay.example.com/webhooks/acme/provider"
    now: datetime = NOW
    prepare: Callable[[web.Application], None] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The webhook secrets of `settings`, in order."""
        given = self.settings.get(self.secrets_field or "", ())
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def expectations(self) -> Path | None:
        """The file of what must come out of the fixtures: `expected`, else `expected.json` beside their folder."""
        return self.expected or (self.fixtures.parent / "expected.json" if self.fixtures else None)
