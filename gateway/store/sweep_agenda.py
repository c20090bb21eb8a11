"""When connections are swept and their checkouts looked up, and the rows of new connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.store.pool import Connection
from gateway.store.sweeps import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a connection's next sweep and its next look at a checkout are due; `sweep_at` is None before the first."""

    site: str
    connection: str
    sweep_at: datetime | None
    watch_at: datetime | None


# The second read on the working path that looks at several sites: two index probes for each connection.
AGENDA = """
SELECT asked.site, asked.connection, sweeps.due_at AS sweep_at,
    (SELECT min(due_at) FROM watches
      WHERE watches.site = asked.site AND watches.connection = asked.connection) AS watch_at
FROM unnest($1::text[], $2::text[]) AS asked (site, connection)
LEFT JOIN sweeps ON sweeps.site = asked.site AND sweeps.connection = asked.connection
"""


async def read(connection: Connection, places: Sequence[Place]) -> list[Due]:
    """Return when something is due at each of these places."""
    rows = await connection.fetch(AGENDA, [site for site, _ in places], [name for _, name in places])
    return [Due(**row) for row in rows]


# The first sign of a connection is its first kept webhook or its first checkout: order ids begin with their time.
BEGIN = """
INSERT INTO sweeps (site, connection, begins_at, due_at)
SELECT asked.site, asked.connection, greatest($4, least($3,
        (SELECT min(received_at) FROM inbox WHERE inbox.site = asked.site AND inbox.connection = asked.connection),
        (SELECT created_at FROM checkouts
          WHERE checkouts.site = asked.site AND checkouts.connection = asked.connection ORDER BY order_id LIMIT 1))),
    asked.due_at
FROM unnest($1::text[], $2::text[], $5::timestamptz[]) AS asked (site, connection, due_at)
ON CONFLICT (site, connection) DO NOTHING
"""


async def begin(
    connection: Connection, places: Sequence[Place], *, now: datetime, earliest: datetime, due: Sequence[datetime]
) -> None:
    """Open the book of new connections: money counts from their first sign on, at most from `earliest`."""
    sites, names = [site for site, _ in places], [name for _, name in places]
    await connection.execute(BEGIN, sites, names, now, earliest, due)
