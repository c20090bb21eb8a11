"""
The signature doctor: when a signature does not match, would another secret of this gateway have matched?

The commonest cause of refused webhooks is a secret of the wrong environment or of another site. The doctor says so to
the operator (log, refusals, `check`, `trace`) and never in the answer. It runs after the answer, only for a well-formed
and fresh header, and sparingly: whoever floods us with wrong signatures must not make us compute.
"""

import asyncio
from datetime import datetime, timedelta

from gateway.config import secrets_in
from gateway.domain.messages import Accepted, RefusalReason, Refused, WebhookRequest
from gateway.flows.context import Context
from gateway.plugins import Live, Opened, PluginFault, verify
from gateway.store import refusals
from gateway.telemetry import log

MAX_SECRETS = 64
EVERY = timedelta(seconds=1)
CURABLE = frozenset({RefusalReason.SIGNATURE_MISMATCH, RefusalReason.SECRET_MISMATCH})
"""With these the header was readable and fresh; only the secret was another."""


class SignatureDoctor:
    """Tries the other secrets of the same plugin, at most once a second per process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rests_until: datetime | None = None

    async def look(self, opened: Opened, live: Live, request: WebhookRequest, refused: Refused) -> None:
        """Find out whose secret would have matched, and note it."""
        now = self._context.now()
        if refused.reason not in CURABLE or (self._rests_until and now < self._rests_until):
            return
        self._rests_until = now + EVERY
        match = await _whose(opened, live, request)
        finding = (
            f"the secret of {match.site}/{match.name} ({match.connection.environment}) matches: "
            f"give this webhook's destination the address of {match.site}/{match.name}, or this connection that secret"
            if match
            else "no other secret of this gateway matches: compare the secret with the provider's dashboard"
        )
        log().warning("signature.diagnosed", site=opened.site, connection=opened.name, finding=finding)
        async with self._context.database.transaction() as connection:
            await refusals.diagnose(connection, opened.site, opened.name, doctor=finding, at=now)


async def _whose(opened: Opened, live: Live, request: WebhookRequest) -> Opened | None:
    tried = 0
    for other in live.connections.values():
        same = other.connection.plugin == opened.connection.plugin
        if not same or (other.site, other.name) == (opened.site, opened.name):
            continue
        tried += sum(1 for _ in secrets_in(other.connection.settings))
        if tried > MAX_SECRETS:
            return None
        try:
            if isinstance(verify(other, request), Accepted):
                return other
        except PluginFault:
            continue
        await asyncio.sleep(0)
    return None
