"""Deliveries due to Faurya, and every attempt at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.domain.attribution import Attribution
from gateway.domain.books import Dispatch
from gateway.domain.delivery import DESTINATION, SUCCESSES, AttemptVerdict, Earlier, Reason, Status
from gateway.domain.revenue import RevenueKind
from gateway.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this worker attempts under a lease."""

    site: str
    connection: str
    key: str
    plugin: str
    kind: RevenueKind
    payment_id: str
    order_id: str | None
    order_id_sent: str
    subscription_id: str | None
    api: str
    amount_minor: int
    amount_unit: str
    currency: str
    attribution: Attribution
    number: int
    spent: int
    lease: UUID
    lease_until: datetime
    earlier: tuple[Earlier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What an attempt came to. `due_at` is set where it is tried again."""

    site: str
    connection: str
    key: str
    number: int
    lease: UUID
    verdict: AttemptVerdict
    status: Status
    reason: Reason | None
    spent: int
    due_at: datetime | None
    recorded_at: datetime | None
    status_code: int | None
    answer: str
    milliseconds: int


PUT = """
INSERT INTO outbox (site, connection, revenue_key, destination, api, payment_id, is_sale, order_id_sent, basis,
                    amount_minor, amount_unit, currency, status, reason, due_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (site, connection, revenue_key, destination) DO UPDATE SET
    api = EXCLUDED.api, basis = EXCLUDED.basis, amount_minor = EXCLUDED.amount_minor,
    amount_unit = EXCLUDED.amount_unit, status = EXCLUDED.status, reason = EXCLUDED.reason, due_at = EXCLUDED.due_at
WHERE outbox.attempts = 0 AND outbox.status IN ('pending', 'unattributed')
"""


async def put(connection: Connection, site: str, dispatches: Sequence[Dispatch], now: datetime) -> None:
    """
    Write deliveries as booking leaves them, in the lock order of `settle`; one not attempted yet is replaced.

    A late figure may show that a sale is never sent: then its refunds, which wait for it, are not sent either.
    """
    rows = [
        (
            *(site, row.connection, row.key, DESTINATION, row.api, row.payment_id, row.is_sale, row.order_id_sent),
            *(row.basis, row.amount_minor, row.amount_unit, row.currency, row.status.value),
            *(row.reason.value if row.reason else None, now if row.due else None, now),
        )
        for row in sorted(dispatches, key=lambda row: (row.connection, row.key))
    ]
    if not rows:
        return
    await connection.executemany(PUT, rows)
    never = [row for row in dispatches if row.is_sale and row.status is not Status.PENDING]
    if never:
        named = [site] * len(never), [row.connection for row in never], [row.payment_id for row in never]
        await connection.execute(RELEASE, DESTINATION, *named, now, [False] * len(never))


# The keys as arrays too, so that one look into the primary key finds the rows, whatever Postgres knows of the tables.
CLAIM = """
WITH due AS (
    SELECT site, connection, revenue_key, destination FROM outbox
    WHERE site = $1 AND destination = $2 AND connection = ANY($3::text[]) AND due_at <= $4
      AND ($8 OR (SELECT count(*) FROM holds WHERE site = $1 AND destination = $2) = 0)
    ORDER BY due_at LIMIT $7
    FOR UPDATE SKIP LOCKED
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys FROM due
), claimed AS (
    UPDATE outbox SET lease = $5, due_at = $6, attempts = attempts + 1
    WHERE site = $1 AND destination = $2
      AND connection = ANY((SELECT connections FROM keys)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
      AND (connection, revenue_key) IN (SELECT connection, revenue_key FROM due)
    RETURNING outbox.*
), noted AS (
    INSERT INTO attempts (site, connection, revenue_key, destination, number, started_at)
    SELECT site, connection, revenue_key, destination, attempts, $4 FROM claimed
), earlier AS (
    SELECT connection, revenue_key, array_agg(status_code ORDER BY number) AS codes,
           array_agg(verdict ORDER BY number) AS verdicts
    FROM attempts WHERE site = $1 AND destination = $2
      AND connection = ANY((SELECT connections FROM keys)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
    GROUP BY connection, revenue_key
)
SELECT claimed.*, ledger.plugin, ledger.kind, ledger.order_id, ledger.subscription_id,
       ledger.visitor_id, ledger.session_id, ledger.token,
       coalesce(earlier.codes, '{}') AS earlier_codes, coalesce(earlier.verdicts, '{}') AS earlier_verdicts
FROM claimed JOIN ledger USING (site, connection, revenue_key) LEFT JOIN earlier USING (connection, revenue_key)
WHERE ledger.site = $1 AND ledger.connection = ANY((SELECT connections FROM keys)::text[])
  AND ledger.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
ORDER BY ledger.occurred_at
"""


async def claim(
    connection: Connection,
    site: str,
    connections: Sequence[str],
    *,
    now: datetime,
    lease: UUID,
    lease_for: timedelta,
    limit: int,
    held_too: bool = False,
) -> list[ClaimedDelivery]:
    """Claim due deliveries of one site and note an attempt for each; nothing where it is on hold, unless `held_too`."""
    until = now + lease_for
    rows = await connection.fetch(CLAIM, site, DESTINATION, connections, now, lease, until, limit, held_too)
    return [
        ClaimedDelivery(
            site=site,
            connection=row["connection"],
            key=row["revenue_key"],
            plugin=row["plugin"],
            kind=RevenueKind(row["kind"]),
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            order_id_sent=row["order_id_sent"],
            subscription_id=row["subscription_id"],
            api=row["api"],
            amount_minor=row["amount_minor"],
            amount_unit=row["amount_unit"],
            currency=row["currency"],
            attribution=Attribution(visitor_id=row["visitor_id"], session_id=row["session_id"], token=row["token"]),
            number=row["attempts"],
            spent=row["spent"],
            lease=lease,
            lease_until=until,
            earlier=tuple(
                Earlier(status=code, verdict=AttemptVerdict(verdict) if verdict else None)
                for code, verdict in zip(row["earlier_codes"], row["earlier_verdicts"], strict=True)
            ),
        )
        for row in rows
    ]


NOTE = """
UPDATE attempts SET status_code = done.status_code, verdict = done.verdict, answer = done.answer,
    milliseconds = done.milliseconds
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[], $8::text[], $9::int[])
     AS done (site, connection, revenue_key, number, status_code, verdict, answer, milliseconds)
WHERE attempts.site = done.site AND attempts.connection = done.connection
  AND attempts.revenue_key = done.revenue_key AND attempts.destination = $1 AND attempts.number = done.number
  AND attempts.site = ANY($2::text[]) AND attempts.connection = ANY($3::text[])
  AND attempts.revenue_key = ANY($4::text[])
"""

# The lease fences every result but a success: money that was recorded is recorded, however late the answer came.
SETTLE = """
WITH done AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::int[],
                         $9::timestamptz[], $10::timestamptz[])
        AS done (site, connection, revenue_key, lease, status, reason, spent, due_at, recorded_at)
), locked AS (
    SELECT outbox.site, outbox.connection, outbox.revenue_key
    FROM outbox JOIN done USING (site, connection, revenue_key)
    WHERE outbox.destination = $1 AND outbox.site = ANY($2::text[]) AND outbox.connection = ANY($3::text[])
      AND outbox.revenue_key = ANY($4::text[])
    ORDER BY outbox.site, outbox.connection, outbox.revenue_key
    FOR UPDATE OF outbox
)
UPDATE outbox SET status = done.status, reason = done.reason, spent = done.spent, due_at = done.due_at, lease = NULL,
    recorded_at = coalesce(outbox.recorded_at, done.recorded_at)
FROM done JOIN locked USING (site, connection, revenue_key)
WHERE outbox.site = done.site AND outbox.connection = done.connection AND outbox.revenue_key = done.revenue_key
  AND outbox.destination = $1 AND outbox.site = ANY($2::text[]) AND outbox.connection = ANY($3::text[])
  AND outbox.revenue_key = ANY($4::text[])
  AND (outbox.lease = done.lease OR (done.recorded_at IS NOT NULL AND outbox.status IN ('pending', 'dead', 'rejected')))
RETURNING outbox.site, outbox.connection, outbox.revenue_key, outbox.payment_id, outbox.is_sale, outbox.status
"""

# What waited for its sale goes out, or never will. A refund that was given up because its sale was not recorded is
# taken up again if the sale is recorded after all.
RELEASE = """
UPDATE outbox SET
    status = CASE WHEN sale.recorded THEN 'pending' ELSE 'skipped' END,
    reason = CASE WHEN sale.recorded THEN NULL ELSE 'sale_not_recorded' END,
    due_at = CASE WHEN sale.recorded THEN $5::timestamptz END
FROM unnest($2::text[], $3::text[], $4::text[], $6::boolean[]) AS sale (site, connection, payment_id, recorded)
WHERE outbox.site = sale.site AND outbox.connection = sale.connection AND outbox.payment_id = sale.payment_id
  AND outbox.site = ANY($2::text[]) AND outbox.connection = ANY($3::text[]) AND outbox.payment_id = ANY($4::text[])
  AND outbox.destination = $1 AND NOT outbox.is_sale AND outbox.amount_minor IS NOT NULL
  AND outbox.reason IN ('waiting_for_sale', 'sale_not_recorded')
"""


async def settle(connection: Connection, batch: Sequence[Settlement], now: datetime) -> list[bool]:
    """Note what attempts came to; return for each whether it also moved its delivery (False: the lease was lost)."""
    rows = sorted(batch, key=lambda row: (row.site, row.connection, row.key, row.number))
    note = ("site", "connection", "key", "number", "status_code", "verdict", "answer", "milliseconds")
    await connection.execute(NOTE, DESTINATION, *([getattr(row, name) for row in rows] for name in note))
    moved: set[tuple[str, str, str, int]] = set()
    for one_each in _one_each(rows):
        moved |= await _move(connection, one_each, now)
    return [(row.site, row.connection, row.key, row.number) in moved for row in batch]


def _one_each(rows: Sequence[Settlement]) -> list[list[Settlement]]:
    """Split results of the same delivery: one UPDATE would take one of them at random, and the success may lose."""
    rounds: list[dict[tuple[str, str, str], Settlement]] = []
    for row in rows:
        place = (row.site, row.connection, row.key)
        free = next((known for known in rounds if place not in known), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[place] = row
    return [list(known.values()) for known in rounds]


async def _move(connection: Connection, rows: Sequence[Settlement], now: datetime) -> set[tuple[str, str, str, int]]:
    fields = ("site", "connection", "key", "lease", "status", "reason", "spent", "due_at", "recorded_at")
    moved = await connection.fetch(SETTLE, DESTINATION, *([getattr(row, name) for row in rows] for name in fields))
    final_sales = [row for row in moved if row["is_sale"] and row["status"] != Status.PENDING]
    if final_sales:
        await connection.execute(
            RELEASE,
            DESTINATION,
            [row["site"] for row in final_sales],
            [row["connection"] for row in final_sales],
            [row["payment_id"] for row in final_sales],
            now,
            [row["status"] in SUCCESSES for row in final_sales],
        )
    places = {(row["site"], row["connection"], row["revenue_key"]) for row in moved}
    return {
        (row.site, row.connection, row.key, row.number) for row in rows if (row.site, row.connection, row.key) in places
    }


async def not_found_in_a_row(connection: Connection, site: str, limit: int) -> int:
    """Return how many of the site's latest answered attempts, at most `limit`, were 404 without another in between."""
    rows = await connection.fetch(
        """
        SELECT status_code FROM attempts WHERE site = $1 AND destination = $2 AND status_code IS NOT NULL
        ORDER BY started_at DESC LIMIT $3
        """,
        site,
        DESTINATION,
        limit,
    )
    codes = [row["status_code"] for row in rows]
    return next((position for position, code in enumerate(codes) if code != 404), len(codes))
