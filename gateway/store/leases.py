"""
Leases of claimed rows: prolonged while their worker lives, and given back where it stops in good order.

A row that is locked at this moment is just being settled, or repeated by its provider: it is passed over.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from gateway.domain.delivery import DESTINATION
from gateway.store.pool import Connection

Held = Sequence[tuple[str, str, UUID]]
"""Rows of one site: connection, event key or revenue key, and the lease under which they are held."""

# Named by key as well as by lease, so that the primary key finds them on tables that were never analyzed, too.
OURS = """
SELECT {table}.connection, {table}.{key} AS key FROM {table}
JOIN unnest($2::text[], $3::text[], $4::uuid[]) AS mine (connection, key, lease)
  ON {table}.connection = mine.connection AND {table}.{key} = mine.key AND {table}.lease = mine.lease
WHERE {table}.site = $1 AND {table}.connection = ANY($2::text[]) AND {table}.{key} = ANY($3::text[])
FOR UPDATE OF {table} SKIP LOCKED
"""
WEBHOOKS = OURS.format(table="inbox", key="event_key")
DELIVERIES = OURS.format(table="outbox", key="revenue_key")

RENEW_WEBHOOKS = f"""
UPDATE inbox SET due_at = $5 FROM ({WEBHOOKS}) AS ours
WHERE inbox.site = $1 AND inbox.connection = ours.connection AND inbox.event_key = ours.key
"""  # noqa: S608 - constant text

GIVE_BACK_WEBHOOKS = f"""
UPDATE inbox SET due_at = $5, lease = NULL, attempts = attempts - 1 FROM ({WEBHOOKS}) AS ours
WHERE inbox.site = $1 AND inbox.connection = ours.connection AND inbox.event_key = ours.key
"""  # noqa: S608 - constant text

RENEW_DELIVERIES = f"""
UPDATE outbox SET due_at = $5 FROM ({DELIVERIES}) AS ours
WHERE outbox.site = $1 AND outbox.connection = ours.connection AND outbox.revenue_key = ours.key
  AND outbox.destination = $6
"""  # noqa: S608 - constant text


async def renew_webhooks(connection: Connection, site: str, held: Held, until: datetime) -> None:
    """Prolong the leases of webhooks that are being read, where they are still ours."""
    await connection.execute(RENEW_WEBHOOKS, site, *_columns(held), until)


async def give_back_webhooks(connection: Connection, site: str, held: Held, now: datetime) -> None:
    """End the leases of webhooks that nobody goes on reading here: another worker need not wait for their end."""
    await connection.execute(GIVE_BACK_WEBHOOKS, site, *_columns(held), now)


async def renew_deliveries(connection: Connection, site: str, held: Held, until: datetime) -> None:
    """Prolong the leases of deliveries under way, where they are still ours."""
    await connection.execute(RENEW_DELIVERIES, site, *_columns(held), until, DESTINATION)


def _columns(held: Held) -> tuple[list[str], list[str], list[UUID]]:
    return [name for name, _, _ in held], [key for _, key, _ in held], [lease for _, _, lease in held]
