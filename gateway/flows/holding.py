"""An operator looks at the holds, holds a site, or lets it go on. A running worker obeys within a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.domain.text import checked_or_none
from gateway.flows.verdict import HOLDS
from gateway.store import holds, reports
from gateway.store.pool import Database
from gateway.store.reports import HeldSite
from gateway.telemetry import Redaction

MAX_NOTE = 200


class UnknownSite(Exception):
    """There is no such site; the text names those that there are."""

    def __init__(self, site: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no site {site!r} (there are: {', '.join(sorted(known))})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One hold, told. `is_probing` while one delivery is being tried; `next_probe_at` None: until somebody lifts it."""

    hold: HeldSite
    is_configured: bool
    is_probing: bool

    @property
    def why(self) -> str:
        """The reason in plain words, with what the operator wrote."""
        words = HOLDS.get(self.hold.reason, self.hold.reason)
        return f"{words}: {self.hold.note}" if self.hold.note else words

    def as_json(self) -> dict[str, Any]:
        """Return the hold as JSON has it."""
        hold = self.hold
        return {
            "site": hold.site,
            "configured": self.is_configured,
            "since": hold.since.isoformat(),
            "next_probe_at": hold.until.isoformat() if hold.until else None,
            "probing": self.is_probing,
            "reason": hold.reason,
            "note": hold.note,
            "why": self.why,
            "probes": hold.probes,
            "waiting": hold.waiting,
        }


async def standing(database: Database, configured: Sequence[str], now: datetime) -> list[Standing]:
    """Return every hold, also those of sites that are not configured any more."""
    async with database.reading() as connection:
        found = await reports.held(connection)
    return [
        Standing(
            hold=hold,
            is_configured=hold.site in configured,
            is_probing=hold.probe_until is not None and hold.probe_until > now,
        )
        for hold in found
    ]


async def put_on_hold(
    database: Database, configured: Sequence[str], site: str, *, now: datetime, note: str | None, redaction: Redaction
) -> str | None:
    """
    Hold a site until somebody lifts it; return the reason of a hold that it had before.

    Raises `UnknownSite`, and `Malformed` for a note that is too long or cannot be stored.
    """
    if site not in configured:
        raise UnknownSite(site, configured)
    note = checked_or_none(redaction.clean(note) if note else None, "the reason", MAX_NOTE)
    async with database.transaction() as connection:
        return await holds.set_by_operator(connection, site, now=now, note=note)


async def lift(database: Database, configured: Sequence[str], site: str) -> bool:
    """Let a site's deliveries go on; return whether it was held. Raises `UnknownSite` where nothing knows the site."""
    async with database.transaction() as connection:
        lifted = await holds.lift(connection, [site])
    if not lifted and site not in configured:
        raise UnknownSite(site, configured)
    return bool(lifted)


async def lift_all(database: Database) -> list[str]:
    """Let all deliveries go on, also of sites that are not configured any more; return which sites were held."""
    async with database.transaction() as connection:
        return await holds.lift(connection, [hold.site for hold in await reports.held(connection)])
