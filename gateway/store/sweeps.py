"""
Sweeps: how far each connection's list was read, and the one that is under way.

`due_at` doubles as the end of a lease, and every write of whoever reads is fenced by the lease's token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.store.pool import Connection

Place = tuple[str, str]
"""A site and one of its connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedSweep:
    """A sweep under a lease. `cursor` and `progress` are set where an earlier turn broke off."""

    begins_at: datetime
    since: datetime
    cursor: str | None
    progress: str | None
    started_at: datetime
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a sweep came to that read the list to its end. `differences` is JSON."""

    watermark: datetime
    listed: int
    already: int
    booked: int
    waiting: int
    other_site: int
    test: int
    differing: int
    differences: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """What is known of a connection's sweeps."""

    site: str
    connection: str
    begins_at: datetime
    watermark: datetime | None
    since: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime
    failures: int
    problem: str | None
    booked: int
    booked_total: int
    booked_at: datetime | None
    differing: int
    differences: str | None


# A sweep that was due so long ago was nobody's meanwhile: the connection was not configured, or no worker ran. What was
# sold since is as little ours to book by itself as what was sold before the connection's first sign.
CLAIM = """
UPDATE sweeps SET lease = $3, due_at = $5,
    begins_at = CASE WHEN due_at < $7 THEN greatest(begins_at, $7) ELSE begins_at END,
    started_at = CASE WHEN since IS NULL THEN $4 ELSE started_at END,
    since = coalesce(since, coalesce(watermark, begins_at) - $6::interval)
WHERE site = $1 AND connection = $2 AND due_at <= $4
RETURNING begins_at, since, cursor, progress, started_at, failures
"""


async def claim(
    connection: Connection,
    place: Place,
    *,
    now: datetime,
    lease: UUID,
    until: datetime,
    overlap: timedelta,
    earliest: datetime,
) -> ClaimedSweep | None:
    """
    Take a due sweep, a new one or one that broke off; None where somebody else was faster.

    Where it was due before `earliest`, money counts from there on.
    """
    row = await connection.fetchrow(CLAIM, *place, lease, now, until, overlap, earliest)
    return ClaimedSweep(**row) if row else None


async def count(
    connection: Connection, place: Place, booked: int, now: datetime, *, lease: UUID | None, until: datetime | None
) -> bool:
    """
    Count money that no webhook brought, in the transaction that books it.

    Whoever sweeps also renews its lease with it; False means that the lease is lost and nothing may be written.
    """
    counted = await connection.fetchval(
        """
        UPDATE sweeps SET booked_total = booked_total + $3, due_at = coalesce($6, due_at),
            booked_at = CASE WHEN $3 > 0 THEN $4 ELSE booked_at END
        WHERE site = $1 AND connection = $2 AND ($5::uuid IS NULL OR lease = $5)
        RETURNING 1
        """,
        *place,
        booked,
        now,
        lease,
        until,
    )
    return counted is not None or lease is None


async def turn_page(
    connection: Connection,
    place: Place,
    *,
    lease: UUID,
    cursor: str,
    progress: str,
    until: datetime,
) -> bool:
    """Note where the sweep goes on, and renew its lease; False where it is lost."""
    turned = await connection.fetchval(
        """
        UPDATE sweeps SET cursor = $4, progress = $5, due_at = $6 WHERE site = $1 AND connection = $2 AND lease = $3
        RETURNING 1
        """,
        *place,
        lease,
        cursor,
        progress,
        until,
    )
    return turned is not None


async def start_over(connection: Connection, place: Place, *, lease: UUID, now: datetime, until: datetime) -> bool:
    """Forget the cursor: the sweep reads its list from the beginning; False where the lease is lost."""
    started = await connection.fetchval(
        """
        UPDATE sweeps SET cursor = NULL, progress = NULL, started_at = $4, due_at = $5
        WHERE site = $1 AND connection = $2 AND lease = $3
        RETURNING 1
        """,
        *place,
        lease,
        now,
        until,
    )
    return started is not None


async def give_back(connection: Connection, place: Place, *, lease: UUID, due_at: datetime) -> None:
    """End a turn before the list's end; the next one goes on at the page that is noted."""
    await connection.execute(
        "UPDATE sweeps SET lease = NULL, due_at = $4 WHERE site = $1 AND connection = $2 AND lease = $3",
        *place,
        lease,
        due_at,
    )


async def fail(
    connection: Connection, place: Place, *, lease: UUID, due_at: datetime, problem: str, keeps_cursor: bool
) -> None:
    """Note what went wrong and when it is tried again, from its page or (without the cursor) from the beginning."""
    await connection.execute(
        """
        UPDATE sweeps SET lease = NULL, due_at = $4, failures = failures + 1, problem = $5,
            cursor = CASE WHEN $6 THEN cursor END, progress = CASE WHEN $6 THEN progress END
        WHERE site = $1 AND connection = $2 AND lease = $3
        """,
        *place,
        lease,
        due_at,
        problem,
        keeps_cursor,
    )


async def unsupported(connection: Connection, place: Place, *, lease: UUID, due_at: datetime, problem: str) -> None:
    """Note that the provider lists nothing: no failure, and asked again in case its plugin learns it."""
    await connection.execute(
        """
        UPDATE sweeps SET lease = NULL, due_at = $4, problem = $5, failures = 0, since = NULL, cursor = NULL,
            progress = NULL
        WHERE site = $1 AND connection = $2 AND lease = $3
        """,
        *place,
        lease,
        due_at,
        problem,
    )


FINISH = """
UPDATE sweeps SET lease = NULL, since = NULL, cursor = NULL, progress = NULL, failures = 0, problem = NULL,
    due_at = $4, finished_at = $5, watermark = $6, listed = $7, already = $8, booked = $9, waiting = $10,
    other_site = $11, test = $12, differing = $13, differences = $14
WHERE site = $1 AND connection = $2 AND lease = $3
RETURNING 1
"""
COUNTS = ("watermark", "listed", "already", "booked", "waiting", "other_site", "test", "differing", "differences")


async def finish(
    connection: Connection, place: Place, came_to: Finished, *, lease: UUID, now: datetime, due_at: datetime
) -> bool:
    """Note that the list was read to its end; only now the watermark moves. False where the lease is lost."""
    finished = await connection.fetchval(
        FINISH, *place, lease, due_at, now, *(getattr(came_to, name) for name in COUNTS)
    )
    return finished is not None


async def find(connection: Connection, places: Sequence[Place]) -> list[SweepRow]:
    """Return what is known of these connections' sweeps."""
    rows = await connection.fetch(
        """
        SELECT site, connection, begins_at, watermark, since, started_at, finished_at, due_at, failures, problem,
            booked, booked_total, booked_at, differing, differences
        FROM sweeps JOIN unnest($1::text[], $2::text[]) AS asked (site, connection) USING (site, connection)
        ORDER BY site, connection
        """,
        [site for site, _ in places],
        [name for _, name in places],
    )
    return [SweepRow(**row) for row in rows]
