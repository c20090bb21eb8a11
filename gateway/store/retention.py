"""What leaves after a while: the bytes and addresses of webhooks, as received, and looks that nobody makes any more."""

from datetime import datetime

from gateway.store.pool import Connection

# A loose index scan of `inbox_raw`: one probe for each site that still holds bytes, whether it is configured or not.
SITES = """
WITH RECURSIVE holding AS (
    (SELECT site FROM inbox WHERE body IS NOT NULL ORDER BY site LIMIT 1)
    UNION ALL
    SELECT next.site FROM holding CROSS JOIN LATERAL (
        SELECT site FROM inbox WHERE body IS NOT NULL AND inbox.site > holding.site ORDER BY site LIMIT 1) AS next
)
SELECT site FROM holding
WHERE (SELECT min(received_at) FROM inbox WHERE inbox.site = holding.site AND body IS NOT NULL) < $1
"""

# Ordered by the columns of `inbox_raw`, so that it is read and the oldest go first. Rows that somebody is writing are
# left to the next time: this waits for nobody, so that it can be in nobody's deadlock.
FORGET = """
UPDATE inbox SET body = NULL, headers = NULL, query = NULL, remote_ip = NULL
WHERE (site, connection, event_key) IN (
    SELECT site, connection, event_key FROM inbox
    WHERE site = $1 AND received_at < $2 AND body IS NOT NULL AND outcome <> 'received'
    ORDER BY site, received_at LIMIT $3
    FOR UPDATE SKIP LOCKED)
RETURNING 1
"""

# On a table that was never analyzed Postgres would read and sort all that is old, for every batch; and a generic plan
# does not know how small the batch is, and reads the table.
IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL plan_cache_mode = force_custom_plan"


async def sites(connection: Connection, before: datetime) -> list[str]:
    """Return every site, configured or not, that holds bytes received before `before`."""
    return [row["site"] for row in await connection.fetch(SITES, before)]


async def forget(connection: Connection, site: str, before: datetime, limit: int) -> int:
    """Forget the bytes of settled webhooks received before `before`; the row stays, so a repeat is still known."""
    await connection.execute(IN_ORDER)
    return len(await connection.fetch(FORGET, site, before, limit))


async def forget_callers(connection: Connection, before: datetime) -> None:
    """Forget who was refused before `before`; one row for each connection there is."""
    await connection.execute(
        "UPDATE refusals SET remote_ip = NULL WHERE last_at < $1 AND remote_ip IS NOT NULL", before
    )


async def forget_watches(connection: Connection, before: datetime) -> None:
    """Stop expecting payments that were to be looked up before `before`: their connection was removed."""
    await connection.execute(
        """
        DELETE FROM watches WHERE (site, order_id) IN (
            SELECT site, order_id FROM watches WHERE due_at < $1 ORDER BY site, order_id FOR UPDATE SKIP LOCKED)
        """,
        before,
    )
