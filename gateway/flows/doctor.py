"""
The signature doctor: when a signature does not match, would another secret of this gateway have matched?

The commonest cause of refused webhooks is a secret of the wrong environment or of another site. The doctor says so to
the operator (log, refusals, `check`, `trace`) and never in the answer. It runs after the answer, only for a well-formed
and fresh header, and sparingly: whoever floods us with wrong signatures must not make us compute.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from gateway.config import secrets_in
from gateway.domain.messages import Accepted, RefusalReason, Refused, WebhookRequest
from gateway.flows.context import Context
from gateway.plugins import Live, Opened, PluginFault, verify
from gateway.store import refusals
from gateway.telemetry import log

MAX_SECRETS = 64
EVERY = timedelta(seconds=1)
NOTE_SECONDS = 1.8
CURABLE = frozenset({RefusalReason.SIGNATURE_MISMATCH, RefusalReason.SECRET_MISMATCH})
"""With these the header was readable and fresh; only the secret was another."""


class SignatureDoctor:
    """Tries the other secrets of the same plugin, at most once a second per process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._looked_at: datetime | None = None

    def admits(self, refused: Refused) -> bool:
        """Say whether this refusal is looked at; a yes counts as a look."""
        now = self._context.now()
        stale = refused.seconds_off is not None
        if (
            stale
            or refused.reason not in CURABLE
            or (self._looked_at is not None and abs(now - self._looked_at) < EVERY)
        ):
            return False
        self._looked_at = now
        return True

    async def look(self, opened: Opened, live: Live, request: WebhookRequest) -> None:
        """Find out whose secret would have matched, and note it."""
        others = _others(opened, live)
        tried = list(_affordable(others))
        match = await _first_accepting(tried, request)
        finding = _finding(match, all_tried=len(tried) == len(others))
        log().warning("signature.diagnosed", site=opened.site, connection=opened.name, finding=finding)
        async with asyncio.timeout(NOTE_SECONDS), self._context.database.transaction() as connection:
            await refusals.diagnose(
                connection,
                opened.site,
                opened.name,
                doctor=finding,
                at=self._context.now(),
                matched=match is not None,
            )


def _finding(match: Opened | None, *, all_tried: bool) -> str:
    if match is not None:
        whose = f"{match.site}/{match.name}"
        return (
            f"the secret of {whose} ({match.connection.environment}) matches: give this webhook's destination the "
            f"address of {whose}, or this connection that secret"
        )
    which = "no other secret of this gateway" if all_tried else f"none of the {MAX_SECRETS} secrets that were tried"
    return f"{which} matches: compare the secret with the provider's dashboard"


def _others(opened: Opened, live: Live) -> list[Opened]:
    """Return the other connections of the same plugin; those of the same site, the likeliest mix-up, first."""
    found = [
        other
        for place, other in live.connections.items()
        if other.connection.plugin == opened.connection.plugin and place != (opened.site, opened.name)
    ]
    return sorted(found, key=lambda other: other.site != opened.site)


def _affordable(others: Sequence[Opened]) -> Iterator[Opened]:
    """Yield connections as long as their secrets together are not too many."""
    secrets = 0
    for other in others:
        secrets += sum(1 for _ in secrets_in(other.connection.settings))
        if secrets > MAX_SECRETS:
            return
        yield other


async def _first_accepting(others: Sequence[Opened], request: WebhookRequest) -> Opened | None:
    for other in others:
        await asyncio.sleep(0)  # webhooks that arrive meanwhile go first
        try:
            if isinstance(verify(other, request), Accepted):
                return other
        except PluginFault:
            continue
    return None
