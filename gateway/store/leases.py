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

# Named by key as well as by lease, so that the primary key finds them on tables that were never analyzed, too. A lease
# is one claim's alone, so a row that has one of ours is ours.
OURS = """
WITH ours AS (
    SELECT connection, {key} AS key FROM {table}
    WHERE site = $1 AND connection = ANY($2::text[]) AND {key} = ANY($3::text[]) AND lease = ANY($4::uuid[])
    FOR UPDATE SKIP LOCKED
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(key) AS keys FROM ours
)
"""
OF_OURS = """
WHERE site = $1 AND connection = ANY((SELECT connections FROM keys)::text[])
  AND {key} = ANY((SELECT keys FROM keys)::text[]) AND lease = ANY($4::uuid[])
"""
WEBHOOKS, OF_WEBHOOKS = OURS.format(table="inbox", key="event_key"), OF_OURS.format(key="event_key")

RENEW_WEBHOOKS = f"{WEBHOOKS} UPDATE inbox SET due_at = $5 {OF_WEBHOOKS}"  # noqa: S608 - constant text

GIVE_BACK_WEBHOOKS = f"""
{WEBHOOKS} UPDATE inbox SET due_at = $5, lease = NULL, attempts = attempts - 1 {OF_WEBHOOKS}
"""  # noqa: S608 - constant text

RENEW_DELIVERIES = f"""
{OURS.format(table="outbox", key="revenue_key")} UPDATE outbox SET due_at = $5 {OF_OURS.format(key="revenue_key")}
  AND destination = $6
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
