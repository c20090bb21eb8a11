"""
What `check`, `holds` and `replay` ask about everything there is. Reads only.

These statements may look at several sites; none is on the path of a webhook.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.delivery import DESTINATION
from gateway.store.pool import Connection

# A loose index scan: one probe of the primary key for each different place, however many rows there are.
PLACES = """
WITH RECURSIVE
kept AS (
    (SELECT site, connection FROM inbox ORDER BY site, connection LIMIT 1)
    UNION ALL
    SELECT next.site, next.connection FROM kept CROSS JOIN LATERAL (
        SELECT site, connection FROM inbox WHERE (inbox.site, inbox.connection) > (kept.site, kept.connection)
        ORDER BY site, connection LIMIT 1) AS next
),
booked AS (
    (SELECT site, connection FROM ledger ORDER BY site, connection LIMIT 1)
    UNION ALL
    SELECT next.site, next.connection FROM booked CROSS JOIN LATERAL (
        SELECT site, connection FROM ledger WHERE (ledger.site, ledger.connection) > (booked.site, booked.connection)
        ORDER BY site, connection LIMIT 1) AS next
)
SELECT site, connection FROM kept UNION SELECT site, connection FROM booked ORDER BY site, connection
"""

LEFT_BEHIND = """
SELECT asked.site, asked.connection,
    (SELECT count(*) FROM inbox WHERE inbox.site = asked.site AND inbox.connection = asked.connection) AS webhooks,
    (SELECT count(*) FROM ledger WHERE ledger.site = asked.site AND ledger.connection = asked.connection) AS revenue,
    (SELECT count(*) FROM inbox WHERE inbox.site = asked.site AND inbox.connection = asked.connection
        AND inbox.due_at IS NOT NULL)
    + (SELECT count(*) FROM outbox WHERE outbox.site = asked.site AND outbox.connection = asked.connection
        AND outbox.status = 'pending') AS unfinished
FROM unnest($1::text[], $2::text[]) AS asked (site, connection)
"""

STUCK = """
SELECT site, connection, status AS what, count(*) AS count, count(*) FILTER (WHERE created_at >= $3) AS recent,
    max(created_at) AS latest
FROM outbox WHERE site = ANY($1::text[]) AND destination = $2 AND status IN ('rejected', 'dead', 'unattributed')
GROUP BY site, connection, status
UNION ALL
SELECT site, connection, outcome, count(*), count(*) FILTER (WHERE received_at >= $3), max(received_at)
FROM inbox WHERE site = ANY($1::text[]) AND outcome = 'unreadable'
GROUP BY site, connection, outcome
ORDER BY site, connection, what
"""


HELD = """
SELECT site, since, until, probe_until, reason, note, probes,
    (SELECT count(*) FROM outbox WHERE outbox.site = holds.site AND outbox.destination = holds.destination
        AND outbox.due_at IS NOT NULL) AS waiting
FROM holds WHERE destination = $1 ORDER BY site
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSite:
    """
    A site on hold, configured or not.

    `until` is the next probe, None until somebody lifts it; `probe_until` is set while a probe is under way. `waiting`
    counts the deliveries that would be sent or tried again but for the hold.
    """

    site: str
    since: datetime
    until: datetime | None
    probe_until: datetime | None
    reason: str
    note: str | None
    probes: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """Rows of one (site, connection); `unfinished` are webhooks to be read and deliveries to be sent."""

    site: str
    connection: str
    webhooks: int
    revenue: int
    unfinished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """What ended in a way that a person may want to look at: rejected, dead, unattributed or unreadable."""

    site: str
    connection: str
    what: str
    count: int
    recent: int
    latest: datetime


async def places(connection: Connection) -> list[tuple[str, str]]:
    """Return every (site, connection) that has webhooks or revenue, configured or not."""
    return [(row["site"], row["connection"]) for row in await connection.fetch(PLACES)]


async def left_behind(connection: Connection, configured: Sequence[tuple[str, str]]) -> list[LeftBehind]:
    """Return what the database has of connections other than these."""
    known = set(configured)
    gone = [place for place in await places(connection) if place not in known]
    rows = await connection.fetch(LEFT_BEHIND, [site for site, _ in gone], [name for _, name in gone])
    return [LeftBehind(**row) for row in rows]


async def stuck(connection: Connection, sites: Sequence[str], since: datetime) -> list[Stuck]:
    """Return what is stuck at these sites, all of it and since a moment."""
    return [Stuck(**row) for row in await connection.fetch(STUCK, sites, DESTINATION, since)]


async def held(connection: Connection) -> list[HeldSite]:
    """Return every hold there is, by site."""
    return [HeldSite(**row) for row in await connection.fetch(HELD, DESTINATION)]
