"""Checkouts that the gateway created: remembered before the provider is asked, so that none is ever unknown."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.domain.attribution import Attribution
from gateway.store.pool import Connection

KEY_KEPT = timedelta(hours=24)
"""How long an `Idempotency-Key` names the same checkout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheckout:
    """A checkout about to be created."""

    site: str
    order_id: str
    connection: str
    plan: str
    quantity: int | None
    attribution: Attribution
    dropped: tuple[str, ...]
    idempotency_key: str | None = field(repr=False)
    request_hash: bytes
    lease: UUID
    lease_until: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The checkout that an `Idempotency-Key` already names."""

    order_id: str
    request_hash: bytes
    state: str
    url: str | None
    checkout_id: str | None
    lease_until: datetime | None


REMEMBER = """
INSERT INTO checkouts (site, order_id, connection, plan, quantity, visitor_id, session_id, token, dropped,
                       idempotency_key, request_hash, state, lease, lease_until, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'creating', $12, $13, $14)
ON CONFLICT (site, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING order_id
"""


async def remember(connection: Connection, new: NewCheckout) -> Remembered | None:
    """Write the checkout down; return the one that its `Idempotency-Key` already names, if it does."""
    await connection.execute(
        """
        UPDATE checkouts SET idempotency_key = NULL
        WHERE site = $1 AND idempotency_key = $2 AND created_at <= $3
        """,
        new.site,
        new.idempotency_key,
        new.created_at - KEY_KEPT,
    )
    who = new.attribution
    written = await connection.fetchval(
        REMEMBER,
        *(new.site, new.order_id, new.connection, new.plan, new.quantity, who.visitor_id, who.session_id, who.token),
        *(list(new.dropped), new.idempotency_key, new.request_hash, new.lease, new.lease_until, new.created_at),
    )
    if written is not None:
        return None
    row = await connection.fetchrow(
        """
        SELECT order_id, request_hash, state, url, checkout_id, lease_until FROM checkouts
        WHERE site = $1 AND idempotency_key = $2
        """,
        new.site,
        new.idempotency_key,
    )
    return Remembered(**row) if row else await remember(connection, new)


async def take_over(
    connection: Connection, site: str, order_id: str, *, now: datetime, lease: UUID, lease_until: datetime
) -> bool:
    """Take a checkout that failed, or whose creator is gone, for another try; False where somebody else has it."""
    taken = await connection.fetchval(
        """
        UPDATE checkouts SET state = 'creating', lease = $4, lease_until = $5, problem = NULL
        WHERE site = $1 AND order_id = $2 AND (state = 'failed' OR (state = 'creating' AND lease_until <= $3))
        RETURNING order_id
        """,
        site,
        order_id,
        now,
        lease,
        lease_until,
    )
    return taken is not None


async def created(
    connection: Connection, site: str, order_id: str, *, lease: UUID, url: str, checkout_id: str | None, expires_at: Any
) -> bool:
    """Note the provider's answer; False where somebody else has taken the checkout over."""
    noted = await connection.fetchval(
        """
        UPDATE checkouts SET state = 'created', url = $4, checkout_id = $5, expires_at = $6, lease = NULL,
            lease_until = NULL
        WHERE site = $1 AND order_id = $2 AND lease = $3
        RETURNING 1
        """,
        site,
        order_id,
        lease,
        url,
        checkout_id,
        expires_at,
    )
    return noted is not None


async def failed(connection: Connection, site: str, order_id: str, *, lease: UUID, problem: str) -> None:
    """Note that the provider refused or was away; the same `Idempotency-Key` may try again."""
    await connection.execute(
        """
        UPDATE checkouts SET state = 'failed', problem = $4, lease = NULL, lease_until = NULL
        WHERE site = $1 AND order_id = $2 AND lease = $3
        """,
        site,
        order_id,
        lease,
        problem,
    )
