"""What probes and scrapes ask."""

from collections.abc import Sequence
from datetime import datetime

from gateway.domain.delivery import DESTINATION
from gateway.store.pool import Connection, Database


class _Undo(Exception):
    """Ends the trial transaction without leaving anything behind."""


async def try_write(database: Database, now: datetime) -> None:
    """Write a row and take it back; raise `StoreUnavailable` where the database is away, full or read-only."""
    try:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO sites (site, created_at) VALUES ('', $1)", now)
            raise _Undo  # noqa: TRY301 - the rollback is the point
    except _Undo:
        return


async def clock(database: Database) -> datetime:
    """Return the database's own clock, aware UTC."""
    async with database.reading() as connection:
        moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return moment


BACKLOG = """
SELECT asked.site,
    (SELECT min(due_at) FROM inbox
      WHERE inbox.site = asked.site AND due_at IS NOT NULL AND connection = ANY(asked.connections)) AS read_at,
    (SELECT min(due_at) FROM outbox WHERE outbox.site = asked.site AND destination = $3 AND due_at IS NOT NULL
        AND connection = ANY(asked.connections) AND held.site IS NULL) AS deliver_at,
    (SELECT count(*) FROM outbox WHERE outbox.site = asked.site AND destination = $3 AND due_at <= $4
        AND connection = ANY(asked.connections)) AS due,
    held.site IS NOT NULL AS held
FROM (SELECT site, array_agg(connection) AS connections FROM unnest($1::text[], $2::text[]) AS pair (site, connection)
      GROUP BY site) AS asked
LEFT JOIN holds AS held ON held.site = asked.site AND held.destination = $3
ORDER BY asked.site
"""


async def backlog(
    connection: Connection, places: Sequence[tuple[str, str]], now: datetime
) -> list[tuple[str, datetime | None, int, bool]]:
    """
    Return for each site when its oldest work was due, how many deliveries are due, and whether it is held.

    Rows of connections that are not among the (site, connection) pairs wait for nobody; a held site's deliveries do not
    count as overdue.
    """
    rows = await connection.fetch(BACKLOG, [site for site, _ in places], [name for _, name in places], DESTINATION, now)
    return [
        (
            row["site"],
            min((at for at in (row["read_at"], row["deliver_at"]) if at is not None), default=None),
            row["due"],
            row["held"],
        )
        for row in rows
    ]


async def last_webhooks(
    connection: Connection, places: Sequence[tuple[str, str]]
) -> list[tuple[str, str, datetime | None]]:
    """Return when each (site, connection) last kept a webhook."""
    rows = await connection.fetch(
        """
        SELECT site, connection, (SELECT max(received_at) FROM inbox
            WHERE inbox.site = asked.site AND inbox.connection = asked.connection) AS at
        FROM unnest($1::text[], $2::text[]) AS asked (site, connection)
        """,
        [site for site, _ in places],
        [name for _, name in places],
    )
    return [(row["site"], row["connection"], row["at"]) for row in rows]


async def last_sweeps(connection: Connection, places: Sequence[tuple[str, str]]) -> list[tuple[str, str, datetime]]:
    """Return when each (site, connection) was last swept to the end of its list, where it was."""
    rows = await connection.fetch(
        """
        SELECT site, connection, finished_at
        FROM sweeps JOIN unnest($1::text[], $2::text[]) AS asked (site, connection) USING (site, connection)
        WHERE finished_at IS NOT NULL
        """,
        [site for site, _ in places],
        [name for _, name in places],
    )
    return [(row["site"], row["connection"], row["finished_at"]) for row in rows]
