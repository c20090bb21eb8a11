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


BACKLOG = """
SELECT asked.site,
    (SELECT min(due_at) FROM inbox WHERE inbox.site = asked.site AND due_at IS NOT NULL) AS read_at,
    (SELECT min(due_at) FROM outbox WHERE outbox.site = asked.site AND destination = $2 AND due_at IS NOT NULL)
        AS deliver_at,
    (SELECT count(*) FROM outbox WHERE outbox.site = asked.site AND destination = $2 AND due_at <= $3) AS due,
    EXISTS (SELECT 1 FROM holds WHERE holds.site = asked.site AND destination = $2) AS held
FROM unnest($1::text[]) AS asked (site)
"""


async def backlog(
    connection: Connection, sites: Sequence[str], now: datetime
) -> list[tuple[str, datetime | None, int, bool]]:
    """Return for each site when its oldest work was due, how many deliveries are due, and whether it is held."""
    rows = await connection.fetch(BACKLOG, sites, DESTINATION, now)
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
