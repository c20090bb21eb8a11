"""Webhooks that were refused: how many, why the last one, and what the signature doctor found. No bodies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.store.pool import Connection

MAX_SECONDS = 2**31 - 1
"""What the column holds. A header may claim any moment until the year 33658."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refused webhook."""

    site: str
    connection: str
    at: datetime
    reason: str
    detail: str
    seconds_off: int | None
    remote_ip: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    """All refusals of one connection: the count and the latest."""

    site: str
    connection: str
    count: int
    first_at: datetime
    last_at: datetime
    reason: str
    detail: str
    seconds_off: int | None
    doctor: str | None
    doctor_at: datetime | None


NOISE = ("header_missing", "header_malformed")
"""Anybody can cause these; for a day they do not hide that a provider's own webhooks fail."""

NOTE = """
INSERT INTO refusals (site, connection, count, first_at, last_at, reason, detail, seconds_off, remote_ip)
SELECT site, connection, count, at, at, reason, detail, seconds_off, remote_ip
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::int[], $8::text[])
     AS new (site, connection, count, at, reason, detail, seconds_off, remote_ip)
ON CONFLICT (site, connection) DO UPDATE SET count = refusals.count + EXCLUDED.count, last_at = EXCLUDED.last_at,
    (reason, detail, seconds_off, remote_ip) = (
        SELECT EXCLUDED.reason, EXCLUDED.detail, EXCLUDED.seconds_off, EXCLUDED.remote_ip
        WHERE NOT (EXCLUDED.reason = ANY($9::text[]) AND refusals.reason <> ALL($9::text[])
                   AND refusals.last_at > EXCLUDED.last_at - interval '1 day')
        UNION ALL
        SELECT refusals.reason, refusals.detail, refusals.seconds_off, refusals.remote_ip
        LIMIT 1)
"""


async def note(connection: Connection, batch: Sequence[Refusal]) -> None:
    """Count refusals; of several of one connection the last is described."""
    last = {(row.site, row.connection): row for row in batch}
    keys = sorted(last)
    counts = [sum((row.site, row.connection) == key for row in batch) for key in keys]
    off = [last[key].seconds_off for key in keys]
    await connection.execute(
        NOTE,
        [site for site, _ in keys],
        [name for _, name in keys],
        counts,
        *([getattr(last[key], field) for key in keys] for field in ("at", "reason", "detail")),
        [None if seconds is None else min(seconds, MAX_SECONDS) for seconds in off],
        [last[key].remote_ip for key in keys],
        NOISE,
    )


async def diagnose(connection: Connection, site: str, name: str, *, doctor: str, at: datetime, matched: bool) -> None:
    """Note what the signature doctor found. For a day a match is not replaced by a forgery that matches nothing."""
    await connection.execute(
        """
        UPDATE refusals SET doctor = $3, doctor_at = $4, doctor_matched = $5 WHERE site = $1 AND connection = $2
          AND ($5 OR NOT coalesce(doctor_matched, false) OR doctor_at < $4::timestamptz - interval '1 day')
        """,
        site,
        name,
        doctor,
        at,
        matched,
    )


async def find(connection: Connection, sites: Sequence[str]) -> list[RefusalRow]:
    """Return the refusals of these sites, the latest first."""
    rows = await connection.fetch(
        """
        SELECT site, connection, count, first_at, last_at, reason, detail, seconds_off, doctor, doctor_at
        FROM refusals WHERE site = ANY($1::text[]) ORDER BY last_at DESC
        """,
        sites,
    )
    return [RefusalRow(**row) for row in rows]
