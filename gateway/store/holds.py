"""Deliveries of one site paused: a bad key, a quota. Nothing is lost; one real delivery at a time probes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.domain.delivery import DESTINATION, HoldReason
from gateway.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteHold:
    """One site on hold. `until` is the next probe; None means until somebody lifts it. `note` is the operator's."""

    site: str
    since: datetime
    until: datetime | None
    reason: str
    probes: int
    note: str | None = None


async def find(connection: Connection, site: str) -> SiteHold | None:
    """Return the site's hold; None where its deliveries run."""
    found = await find_all(connection, [site])
    return found[0] if found else None


async def find_all(connection: Connection, sites: Sequence[str]) -> list[SiteHold]:
    """Return the holds of these sites."""
    rows = await connection.fetch(
        """
        SELECT site, since, until, reason, probes, note FROM holds
        WHERE site = ANY($1::text[]) AND destination = $2 ORDER BY site
        """,
        sites,
        DESTINATION,
    )
    return [SiteHold(**row) for row in rows]


async def start_probe(connection: Connection, site: str, now: datetime, lease_for: timedelta) -> bool:
    """Take the right to probe a held site, for one lease; False where it is not time or another process has it."""
    taken = await connection.fetchval(
        """
        UPDATE holds SET probe_until = $4 WHERE site = $1 AND destination = $2 AND until <= $3
          AND (probe_until IS NULL OR probe_until <= $3) RETURNING site
        """,
        site,
        DESTINATION,
        now,
        now + lease_for,
    )
    return taken is not None


async def set_hold(connection: Connection, site: str, *, now: datetime, until: datetime | None, reason: str) -> None:
    """Put a site on hold, or prolong its hold after a failed probe."""
    await connection.execute(
        """
        INSERT INTO holds (site, destination, since, until, reason) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (site, destination) DO UPDATE
            SET until = EXCLUDED.until, reason = EXCLUDED.reason, probes = holds.probes + 1, probe_until = NULL
        WHERE holds.until IS NOT NULL
        """,
        site,
        DESTINATION,
        now,
        until,
        reason,
    )


async def begin(connection: Connection, site: str, *, now: datetime, until: datetime | None, reason: str) -> bool:
    """Put a site on hold unless it is; return whether this did it."""
    begun = await connection.fetchval(
        """
        INSERT INTO holds (site, destination, since, until, reason) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (site, destination) DO NOTHING RETURNING site
        """,
        site,
        DESTINATION,
        now,
        until,
        reason,
    )
    return begun is not None


async def end_probe(connection: Connection, site: str, *, lift: bool, now: datetime, again_in: timedelta) -> None:
    """Lift the hold after an answer that shows the site works; otherwise let the next probe come a little later."""
    if lift:
        await connection.execute(
            "DELETE FROM holds WHERE site = $1 AND destination = $2 AND until IS NOT NULL", site, DESTINATION
        )
        return
    await connection.execute(
        "UPDATE holds SET probe_until = NULL, until = $3 WHERE site = $1 AND destination = $2 AND until IS NOT NULL",
        site,
        DESTINATION,
        now + again_in,
    )


async def probe_now(connection: Connection, sites: Sequence[str], reasons: Sequence[str], now: datetime) -> None:
    """Let held sites be probed at once: somebody may just have mended their configuration."""
    await connection.execute(
        """
        UPDATE holds SET until = $4 WHERE site = ANY($1::text[]) AND destination = $2 AND reason = ANY($3::text[])
          AND until > $4
        """,
        sites,
        DESTINATION,
        reasons,
        now,
    )


async def set_by_operator(connection: Connection, site: str, *, now: datetime, note: str | None) -> str | None:
    """
    Hold a site until somebody lifts it; return the reason of the hold that it had already, None where it had none.

    An automatic hold becomes the operator's: it is probed no more, and goes on counting from its beginning. A probe
    that is under way changes nothing any more, whatever it is answered.
    """
    before: str | None = await connection.fetchval(
        "SELECT reason FROM holds WHERE site = $1 AND destination = $2 FOR UPDATE", site, DESTINATION
    )
    await connection.execute(
        """
        INSERT INTO holds (site, destination, since, until, reason, note) VALUES ($1, $2, $3, NULL, $4, $5)
        ON CONFLICT (site, destination) DO UPDATE
            SET until = NULL, reason = EXCLUDED.reason, probe_until = NULL, note = coalesce(EXCLUDED.note, holds.note)
        """,
        site,
        DESTINATION,
        now,
        HoldReason.OPERATOR.value,
        note,
    )
    return before


async def lift(connection: Connection, sites: Sequence[str]) -> list[str]:
    """Remove the holds of these sites, whoever set them; return which sites were held."""
    rows = await connection.fetch(
        "DELETE FROM holds WHERE site = ANY($1::text[]) AND destination = $2 RETURNING site", sites, DESTINATION
    )
    return sorted(row["site"] for row in rows)
