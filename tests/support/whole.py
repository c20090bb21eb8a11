"""Is anything half-written? One comparison of inbox, ledger, outbox and attempts for every test of a fault."""

from typing import Any, Protocol

from gateway.domain.delivery import SUCCESSES


class Reading(Protocol):
    """A connection or a pool of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...


KEYS = "site, connection, revenue_key"

# Each finds rows that no crash may leave behind, in a moment when nothing is being written.
HALVES = {
    "a line of the ledger without its delivery": f"""
        SELECT {KEYS} FROM ledger LEFT JOIN outbox USING (site, connection, revenue_key)
        WHERE outbox.destination IS NULL""",
    "a delivery without its line of the ledger": f"""
        SELECT {KEYS} FROM outbox LEFT JOIN ledger USING (site, connection, revenue_key) WHERE ledger.kind IS NULL""",
    "a booked webhook without a line of the ledger": """
        SELECT site, connection, event_key FROM inbox WHERE outcome = 'booked' AND NOT EXISTS (
            SELECT 1 FROM ledger WHERE (ledger.site, ledger.connection, ledger.event_key)
                                     = (inbox.site, inbox.connection, inbox.event_key))""",
    "a line of the ledger whose webhook is not booked": """
        SELECT ledger.site, ledger.connection, ledger.event_key FROM ledger
        LEFT JOIN inbox USING (site, connection, event_key)
        WHERE ledger.source = 'webhook' AND inbox.outcome IS DISTINCT FROM 'booked'
          AND NOT (inbox.outcome = 'received' AND (inbox.seen > 1 OR inbox.reason = 'waiting_for_sale'))""",
    "a delivery that counts other attempts than there are": f"""
        SELECT {KEYS}, outbox.attempts, count(attempts.number) FROM outbox
        LEFT JOIN attempts USING (site, connection, revenue_key, destination)
        GROUP BY {KEYS}, destination, outbox.attempts
        HAVING outbox.attempts <> count(attempts.number) OR outbox.attempts <> coalesce(max(attempts.number), 0)""",
    "an attempt without its delivery": f"""
        SELECT {KEYS}, number FROM attempts LEFT JOIN outbox USING (site, connection, revenue_key, destination)
        WHERE outbox.status IS NULL""",
    "a success that no attempt had, or without its moment": f"""
        SELECT {KEYS}, status FROM outbox WHERE status = ANY($1::text[]) AND (recorded_at IS NULL OR NOT EXISTS (
            SELECT 1 FROM attempts WHERE (attempts.site, attempts.connection, attempts.revenue_key)
                = (outbox.site, outbox.connection, outbox.revenue_key) AND attempts.verdict IS NOT NULL))""",
    "a lease on something that is finished": f"""
        SELECT site, connection, event_key FROM inbox WHERE lease IS NOT NULL AND outcome <> 'received'
        UNION ALL SELECT {KEYS} FROM outbox WHERE lease IS NOT NULL AND status <> 'pending'""",
    "an order that went to Faurya twice": """
        SELECT site, order_id FROM ledger WHERE carries_order GROUP BY site, order_id HAVING count(*) > 1""",
    "a delivery that nobody will ever look at": f"""
        SELECT {KEYS}, reason FROM outbox WHERE status = 'pending' AND due_at IS NULL
           AND reason IS DISTINCT FROM 'waiting_for_sale' AND reason IS DISTINCT FROM 'waiting_for_amount'""",
}


async def halves(database: Reading) -> dict[str, list[Any]]:
    """Return what is half-written, under what is wrong with it; empty where all is whole."""
    found = {}
    for what, sql in HALVES.items():
        arguments = [sorted(status.value for status in SUCCESSES)] if "$1" in sql else []
        if rows := await database.fetch(sql, *arguments):
            found[what] = [tuple(row.values()) for row in rows]
    return found
