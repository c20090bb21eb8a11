"""
What Postgres knows of the tables' sizes, kept in step with tables that grow fast.

Plans are kept as long as nothing is learned about their tables. One that was made while a table was empty may read all
of a site's rows for each row that it looks for: nothing tells it yet which index is the narrow one. Autovacuum
would come in a minute, and where it is switched off, never.
"""

from gateway.store.pool import Connection

GROWTH = 8
"""A table is looked at again when it has so many times the pages that it had at the last look."""

# Only the role that owns a table may; where another one migrates, autovacuum is left to do it.
OUTGROWN = """
SELECT relname FROM pg_class
WHERE oid IN (to_regclass('inbox'), to_regclass('ledger'), to_regclass('outbox'), to_regclass('attempts'),
              to_regclass('checkouts'), to_regclass('watches'))
  AND pg_has_role(relowner, 'USAGE')
  AND pg_relation_size(oid) >= $1 * greatest(relpages, 1) * current_setting('block_size')::bigint
ORDER BY relname
"""


async def refresh(connection: Connection) -> list[str]:
    """Let Postgres look at the tables that outgrew what it knows of them; return which they were."""
    names = [row["relname"] for row in await connection.fetch(OUTGROWN, GROWTH)]
    for name in names:
        await connection.execute(f"ANALYZE (SKIP_LOCKED) {name}")
    return names
