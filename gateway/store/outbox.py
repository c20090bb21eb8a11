"""Deliveries due to Faurya, and every attempt at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

from gateway.domain.attribution import Attribution
from gateway.domain.delivery import DESTINATION, SUCCESSES, AttemptVerdict, Earlier, Reason, Status
from gateway.domain.revenue import RevenueKind
from gateway.store.packing import packed
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


# The keys as arrays too, so that one look into the primary key finds the rows, whatever Postgres knows of the tables;
# and one look for all of them, however few Postgres takes them for.
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
), earlier AS MATERIALIZED (
    SELECT connection, revenue_key, array_agg(status_code ORDER BY number) AS codes,
           array_agg(verdict ORDER BY number) AS verdicts
    FROM attempts WHERE site = $1 AND destination = $2
      AND connection = ANY((SELECT connections FROM keys)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
    GROUP BY connection, revenue_key
), booked AS MATERIALIZED (
    SELECT connection, revenue_key, plugin, kind, order_id, subscription_id, visitor_id, session_id, token, occurred_at
    FROM ledger
    WHERE site = $1 AND connection = ANY((SELECT connections FROM keys)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
)
SELECT claimed.*, booked.plugin, booked.kind, booked.order_id, booked.subscription_id,
       booked.visitor_id, booked.session_id, booked.token,
       earlier.codes AS earlier_codes, earlier.verdicts AS earlier_verdicts
FROM claimed JOIN booked USING (connection, revenue_key) LEFT JOIN earlier USING (connection, revenue_key)
ORDER BY booked.occurred_at
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
            earlier=_earlier(row["earlier_codes"], row["earlier_verdicts"]),
        )
        for row in rows
    ]


def _earlier(codes: Sequence[int | None] | None, verdicts: Sequence[str | None]) -> tuple[Earlier, ...]:
    """Return the attempts before this one, of which there are none as a rule."""
    if codes is None:
        return ()
    return tuple(
        Earlier(status=code, verdict=AttemptVerdict(verdict) if verdict else None)
        for code, verdict in zip(codes, verdicts, strict=True)
    )


# The lease fences every result but a success: money that was recorded is recorded, however late the answer came. The
# attempts are noted whatever becomes of their deliveries. What comes back says which of the rows moved. All rows are
# locked in their order before the first is changed: counting them comes before everything else (as a join it would be
# taken for one row, and each delivery be looked up by itself).
SETTLE = """
WITH done AS MATERIALIZED (
    SELECT (given ->> 0)::integer AS place, given ->> 1 AS site, given ->> 2 AS connection, given ->> 3 AS revenue_key,
           (given ->> 4)::integer AS number, (given ->> 5)::uuid AS lease, given ->> 6 AS status, given ->> 7 AS reason,
           (given ->> 8)::integer AS spent, (given ->> 9)::timestamptz AS due_at,
           (given ->> 10)::timestamptz AS recorded_at, (given ->> 11)::integer AS status_code,
           given ->> 12 AS verdict, given ->> 13 AS answer, (given ->> 14)::integer AS milliseconds
    FROM jsonb_array_elements($2::jsonb) AS given
), keys AS (
    SELECT array_agg(site) AS sites, array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys
    FROM done
), noted AS (
    UPDATE attempts SET status_code = done.status_code, verdict = done.verdict, answer = done.answer,
        milliseconds = done.milliseconds
    FROM done
    WHERE attempts.site = done.site AND attempts.connection = done.connection
      AND attempts.revenue_key = done.revenue_key AND attempts.destination = $1 AND attempts.number = done.number
      AND attempts.site = ANY((SELECT sites FROM keys)::text[])
      AND attempts.connection = ANY((SELECT connections FROM keys)::text[])
      AND attempts.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
), locked AS MATERIALIZED (
    SELECT 1 FROM outbox JOIN done USING (site, connection, revenue_key)
    WHERE outbox.destination = $1 AND outbox.site = ANY((SELECT sites FROM keys)::text[])
      AND outbox.connection = ANY((SELECT connections FROM keys)::text[])
      AND outbox.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
    ORDER BY outbox.site, outbox.connection, outbox.revenue_key
    FOR UPDATE OF outbox
)
UPDATE outbox SET status = done.status, reason = done.reason, spent = done.spent, due_at = done.due_at, lease = NULL,
    recorded_at = coalesce(outbox.recorded_at, done.recorded_at)
FROM done
WHERE (SELECT count(*) FROM locked) > 0
  AND outbox.site = done.site AND outbox.connection = done.connection AND outbox.revenue_key = done.revenue_key
  AND outbox.destination = $1 AND outbox.site = ANY((SELECT sites FROM keys)::text[])
  AND outbox.connection = ANY((SELECT connections FROM keys)::text[])
  AND outbox.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
  AND (outbox.lease = done.lease OR (done.recorded_at IS NOT NULL AND outbox.status IN ('pending', 'dead', 'rejected')))
RETURNING done.place, outbox.is_sale, outbox.payment_id
"""

# What waited for its sale goes out, or never will. A refund that was given up because its sale was not recorded is
# taken up again if the sale is recorded after all. A statement of its own, so that it sees what was booked while the
# sale's row was waited for.
RELEASE = """
WITH sale AS (
    SELECT given ->> 0 AS site, given ->> 1 AS connection, given ->> 2 AS payment_id, (given ->> 3)::boolean AS recorded
    FROM jsonb_array_elements($2::jsonb) AS given
), keys AS (
    SELECT array_agg(site) AS sites, array_agg(connection) AS connections, array_agg(payment_id) AS payment_ids
    FROM sale
)
UPDATE outbox SET
    status = CASE WHEN sale.recorded THEN 'pending' ELSE 'skipped' END,
    reason = CASE WHEN sale.recorded THEN NULL ELSE 'sale_not_recorded' END,
    due_at = CASE WHEN sale.recorded THEN $3::timestamptz END
FROM sale
WHERE outbox.site = sale.site AND outbox.connection = sale.connection AND outbox.payment_id = sale.payment_id
  AND outbox.site = ANY((SELECT sites FROM keys)::text[])
  AND outbox.connection = ANY((SELECT connections FROM keys)::text[])
  AND outbox.payment_id = ANY((SELECT payment_ids FROM keys)::text[])
  AND outbox.destination = $1 AND NOT outbox.is_sale AND outbox.amount_minor IS NOT NULL
  AND outbox.reason IN ('waiting_for_sale', 'sale_not_recorded')
"""


async def release(connection: Connection, sales: Sequence[tuple[str, str, str, bool]], now: datetime) -> None:
    """Let go what waited for sales: (site, connection, payment id, whether it was recorded)."""
    await connection.execute(RELEASE, DESTINATION, packed(sales), now)


by_place = attrgetter("site", "connection", "key", "number")
settled_of = attrgetter("site", "connection", "key", "number", "lease", "status", "reason", "spent", "due_at",
                        "recorded_at", "status_code", "verdict", "answer", "milliseconds")  # fmt: skip


async def settle(connection: Connection, batch: Sequence[Settlement], now: datetime) -> list[bool]:
    """Note what attempts came to; return for each whether it also moved its delivery (False: the lease was lost)."""
    moved = [False] * len(batch)
    order = sorted(range(len(batch)), key=lambda place: by_place(batch[place]))
    for one_each in _one_each(batch, order):
        for place in await _move(connection, batch, one_each, now):
            moved[place] = True
    return moved


def _one_each(batch: Sequence[Settlement], order: Sequence[int]) -> list[list[int]]:
    """Split results of the same delivery: one UPDATE would take one of them at random, and the success may lose."""
    rounds: list[dict[tuple[str, str, str], int]] = []
    for place in order:
        row = batch[place]
        delivery = (row.site, row.connection, row.key)
        free = next((known for known in rounds if delivery not in known), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[delivery] = place
    return [list(known.values()) for known in rounds]


async def _move(connection: Connection, batch: Sequence[Settlement], places: Sequence[int], now: datetime) -> list[int]:
    rows = packed([(place, *settled_of(batch[place])) for place in places])
    moved = await connection.fetch(SETTLE, DESTINATION, rows)
    final_sales = []
    for row in moved:
        settled = batch[row["place"]]
        if row["is_sale"] and settled.status is not Status.PENDING:
            payment = (settled.site, settled.connection, row["payment_id"], settled.status in SUCCESSES)
            final_sales.append(payment)
    if final_sales:
        await release(connection, final_sales, now)
    return [row["place"] for row in moved]


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
