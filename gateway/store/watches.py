"""Checkouts whose webhook has not come yet, and when the provider is asked about them next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gateway.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A checkout that is looked up under a lease. `looks` were made before this one."""

    order_id: str
    checkout_id: str
    looks: int


async def watch(
    connection: Connection, site: str, order_id: str, *, name: str, checkout_id: str, due_at: datetime
) -> None:
    """Expect the payment of a checkout; a checkout created anew takes the place of the failed one."""
    await connection.execute(
        """
        INSERT INTO watches (site, order_id, connection, checkout_id, due_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (site, order_id) DO UPDATE SET connection = EXCLUDED.connection,
            checkout_id = EXCLUDED.checkout_id, due_at = EXCLUDED.due_at, looks = 0, lease = NULL
        """,
        site,
        order_id,
        name,
        checkout_id,
        due_at,
    )


CLAIM = """
UPDATE watches SET lease = $4, due_at = $5
WHERE (site, order_id) IN (
    SELECT site, order_id FROM watches WHERE site = $1 AND connection = $2 AND due_at <= $3
    ORDER BY due_at LIMIT $6
    FOR UPDATE SKIP LOCKED)
RETURNING order_id, checkout_id, looks
"""


async def claim(
    connection: Connection, site: str, name: str, *, now: datetime, lease: UUID, until: datetime, limit: int
) -> list[Watch]:
    """Take checkouts that are due for a look, until `until`."""
    rows = await connection.fetch(CLAIM, site, name, now, lease, until, limit)
    return [Watch(**row) for row in rows]


async def drop_booked(connection: Connection, site: str, orders: Sequence[str], lease: UUID) -> set[str]:
    """Stop watching those of the claimed orders whose money is in the ledger; return them."""
    rows = await connection.fetch(
        """
        DELETE FROM watches WHERE site = $1 AND order_id = ANY($2::text[]) AND lease = $3
          AND EXISTS (SELECT 1 FROM ledger WHERE ledger.site = watches.site AND ledger.order_id = watches.order_id)
        RETURNING order_id
        """,
        site,
        orders,
        lease,
    )
    return {row["order_id"] for row in rows}


async def drop_late(connection: Connection, site: str, name: str, before: datetime) -> int:
    """Stop watching what was due before `before`: more checkouts than can be looked up."""
    rows = await connection.fetch(
        "DELETE FROM watches WHERE site = $1 AND connection = $2 AND due_at < $3 RETURNING 1", site, name, before
    )
    return len(rows)


async def drop(connection: Connection, site: str, order_id: str, lease: UUID) -> None:
    """Stop watching an order."""
    await connection.execute(
        "DELETE FROM watches WHERE site = $1 AND order_id = $2 AND lease = $3", site, order_id, lease
    )


async def postpone(connection: Connection, site: str, order_id: str, lease: UUID, *, due_at: datetime) -> None:
    """Count a look, and look again at `due_at`."""
    await connection.execute(
        """
        UPDATE watches SET lease = NULL, due_at = $4, looks = looks + 1
        WHERE site = $1 AND order_id = $2 AND lease = $3
        """,
        site,
        order_id,
        lease,
        due_at,
    )
