"""
What ended and may be tried again: deliveries of the outbox and unreadable webhooks, read page by page and taken up.

Whoever takes up holds the site's lock (`ledger.lock_site`), as booking does. Every change is guarded by what the row
was when it was decided, so a second replay, a worker or another operator in between makes it a change of nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from gateway.domain.books import Entry
from gateway.domain.delivery import DESTINATION, Reason, Status
from gateway.domain.replay import Ended, TakenUp
from gateway.domain.revenue import RevenueKind
from gateway.store import ledger
from gateway.store.inbox import INSERTED, Claimed
from gateway.store.pool import Connection

Place = tuple[str, str]
"""A connection's name and a key at it."""

After = tuple[datetime, str, str]
"""Where a page begins: behind this moment, connection and key."""


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows in their order, and where the next page begins; None after the last."""

    rows: Sequence[Row]
    after: After | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A webhook that could not be read. `purged`: its body is gone, as `retention.raw_days` asks for."""

    webhook: Claimed
    reason: str | None
    detail: str | None
    purged: bool


FIELDS = """
SELECT ledger.*, outbox.status, outbox.reason, outbox.attempts, outbox.spent, outbox.basis, outbox.created_at,
    outbox.amount_minor AS frozen_minor,
    EXISTS (SELECT 1 FROM attempts
             WHERE (attempts.site, attempts.connection, attempts.revenue_key, attempts.destination)
                 = (outbox.site, outbox.connection, outbox.revenue_key, outbox.destination)
               AND (attempts.verdict IS NULL OR attempts.verdict = 'unclear')) AS is_unclear
"""

# The page is cut before it is joined, so that the last page of many costs no more than the first. The states are
# written out, so that the partial index `outbox_stuck` serves them; `skipped` has none and is rarely asked for.
PAGE = """
  AND destination = $2 AND status = ANY($3::text[]) AND created_at >= $4
  AND (created_at, connection, revenue_key) > ($4, $5, $6)
ORDER BY created_at, connection, revenue_key LIMIT $7
"""
STUCK = f"""
{FIELDS} FROM (
    SELECT * FROM outbox WHERE site = $1 AND status IN ('rejected', 'dead', 'unattributed') {PAGE}
) AS outbox JOIN ledger USING (site, connection, revenue_key)
ORDER BY outbox.created_at, connection, revenue_key
"""  # noqa: S608 - constant text
SKIPPED = f"""
{FIELDS} FROM (SELECT * FROM outbox WHERE site = $1 AND status = 'skipped' {PAGE}) AS outbox
JOIN ledger USING (site, connection, revenue_key)
ORDER BY outbox.created_at, connection, revenue_key
"""  # noqa: S608 - constant text

AT = f"""
{FIELDS} FROM outbox JOIN ledger USING (site, connection, revenue_key)
WHERE outbox.site = $1 AND outbox.destination = $2
  AND outbox.connection = ANY($3::text[]) AND outbox.revenue_key = ANY($4::text[])
  AND (outbox.connection, outbox.revenue_key) IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY outbox.connection, outbox.revenue_key
"""  # noqa: S608 - constant text
LOCKED = f"{AT} FOR UPDATE OF outbox"


async def deliveries(
    connection: Connection, site: str, statuses: Sequence[str], *, skipped: bool, after: After, limit: int
) -> Page[Ended]:
    """Return one page of a site's ended deliveries, the oldest first; `skipped` ones have pages of their own."""
    rows = await connection.fetch(SKIPPED if skipped else STUCK, site, DESTINATION, statuses, *after, limit)
    last = rows[-1] if len(rows) == limit else None
    return Page(
        rows=[_ended(row) for row in rows],
        after=(last["created_at"], last["connection"], last["revenue_key"]) if last else None,
    )


async def deliveries_at(connection: Connection, site: str, places: Sequence[Place], *, lock: bool) -> list[Ended]:
    """Return the deliveries at these places, in the order in which everybody locks them."""
    names, keys = [name for name, _ in places], [key for _, key in places]
    rows = await connection.fetch(LOCKED if lock else AT, site, DESTINATION, names, keys)
    return [_ended(row) for row in rows]


def _ended(row: Any) -> Ended:
    return Ended(
        entry=ledger.entry_of(row),
        status=Status(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        attempts=row["attempts"],
        spent=row["spent"],
        basis=row["basis"],
        amount_minor=row["frozen_minor"],
        is_unclear=row["is_unclear"],
    )


# Due at once, also where this machine's clock is ahead of the workers'.
TAKE_UP = """
UPDATE outbox SET status = 'pending', reason = done.reason, spent = 0, lease = NULL,
    amount_minor = coalesce(outbox.amount_minor, done.amount_minor),
    due_at = CASE WHEN done.reason IS NULL THEN coalesce(outbox.due_at, least($9::timestamptz, now())) END
FROM unnest($3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::bigint[])
     AS done (connection, revenue_key, status, attempts, reason, amount_minor)
WHERE outbox.site = $1 AND outbox.destination = $2 AND outbox.connection = done.connection
  AND outbox.revenue_key = done.revenue_key AND outbox.status = done.status AND outbox.attempts = done.attempts
  AND outbox.lease IS NULL AND outbox.recorded_at IS NULL
  AND outbox.connection = ANY($3::text[]) AND outbox.revenue_key = ANY($4::text[])
RETURNING outbox.connection, outbox.revenue_key
"""


async def take_up(connection: Connection, site: str, decided: Sequence[TakenUp], now: datetime) -> set[Place]:
    """Make deliveries pending, all attempts unspent; return those that still were as they were decided about."""
    rows = await connection.fetch(
        TAKE_UP,
        site,
        DESTINATION,
        [row.delivery.place[0] for row in decided],
        [row.delivery.place[1] for row in decided],
        [row.delivery.status.value for row in decided],
        [row.delivery.attempts for row in decided],
        [row.reason.value if row.reason else None for row in decided],
        [row.amount_minor for row in decided],
        now,
    )
    return {(row["connection"], row["revenue_key"]) for row in rows}


NAME = """
UPDATE ledger SET visitor_id = $4, session_id = NULL, token = NULL, attribution_source = 'operator'
WHERE site = $1 AND (connection, revenue_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
"""

# What gives money back belongs to the visitor of its sale, as booking would have found it, unless it was tried already.
NAME_REFUNDS = """
UPDATE ledger SET visitor_id = $5, session_id = NULL, token = NULL, attribution_source = 'payment'
FROM outbox
WHERE ledger.site = $1 AND (ledger.connection, ledger.payment_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))
  AND ledger.connection = ANY($3::text[]) AND ledger.payment_id = ANY($4::text[])
  AND ledger.kind = ANY($6::text[]) AND ledger.visitor_id IS NULL
  AND outbox.site = $1 AND outbox.connection = ledger.connection AND outbox.revenue_key = ledger.revenue_key
  AND outbox.destination = $2 AND outbox.attempts = 0
RETURNING ledger.connection, ledger.revenue_key
"""
GIVING_BACK = (RevenueKind.REFUND.value, RevenueKind.REFUND_REVERSAL.value)


async def name_visitor(
    connection: Connection, site: str, entries: Sequence[Entry], visitor_id: str, now: datetime
) -> set[Place]:
    """Give sales the visitor that an operator named; return who inherits it: siblings and refunds without a visitor."""
    names, keys = [entry.connection for entry in entries], [entry.event.key for entry in entries]
    await connection.execute(NAME, site, names, keys, visitor_id)
    payments = [entry.event.payment_id for entry in entries]
    refunds = await connection.fetch(NAME_REFUNDS, site, DESTINATION, names, payments, visitor_id, GIVING_BACK)
    siblings = await ledger.attribute_siblings(connection, site, entries, now)
    return siblings | {(row["connection"], row["revenue_key"]) for row in refunds}


FAMILY = """
SELECT ledger.connection, ledger.revenue_key
FROM unnest($2::text[], $3::text[]) AS named (connection, payment_id)
JOIN ledger ON ledger.site = $1 AND ledger.connection = named.connection AND ledger.payment_id = named.payment_id
UNION
SELECT ledger.connection, ledger.revenue_key
FROM unnest($2::text[], $4::text[]) AS named (connection, subscription_id)
JOIN ledger ON ledger.site = $1 AND ledger.connection = named.connection
    AND ledger.subscription_id = named.subscription_id
ORDER BY connection, revenue_key
"""


async def family(connection: Connection, site: str, entries: Sequence[Entry]) -> list[Place]:
    """Return all movements of the payments and subscriptions of these."""
    rows = await connection.fetch(
        FAMILY,
        site,
        [entry.connection for entry in entries],
        [entry.event.payment_id for entry in entries],
        [entry.event.subscription_id for entry in entries],
    )
    return [(row["connection"], row["revenue_key"]) for row in rows]


WEBHOOK = """
SELECT site, connection, event_key, id, event_id, event_type, method, coalesce(headers, '') AS headers,
    coalesce(query, '') AS query, coalesce(body, '') AS body, received_at, remote_ip, proof, seen, attempts,
    reason, detail, body IS NULL AS purged
FROM inbox WHERE site = $1 AND outcome = 'unreadable'
"""


UNREADABLE = f"""
{WEBHOOK} AND received_at >= $2 AND (received_at, connection, event_key) > ($2, $3, $4)
ORDER BY received_at, connection, event_key LIMIT $5
"""

UNREADABLE_AT = f"""
{WEBHOOK} AND connection = ANY($2::text[]) AND event_key = ANY($3::text[])
  AND (connection, event_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
ORDER BY received_at, connection, event_key
"""  # noqa: S608 - constant text


async def unreadable(connection: Connection, site: str, *, after: After, limit: int) -> Page[Unread]:
    """Return one page of a site's unreadable webhooks, the oldest first, with their bodies."""
    rows = await connection.fetch(UNREADABLE, site, *after, limit)
    last = rows[-1] if len(rows) == limit else None
    return Page(
        rows=[_unread(row) for row in rows],
        after=(last["received_at"], last["connection"], last["event_key"]) if last else None,
    )


async def unreadable_at(connection: Connection, site: str, places: Sequence[Place]) -> list[Unread]:
    """Return those of the webhooks at these places that are unreadable, the oldest first."""
    rows = await connection.fetch(UNREADABLE_AT, site, [name for name, _ in places], [key for _, key in places])
    return [_unread(row) for row in rows]


def _unread(row: Any) -> Unread:
    webhook = Claimed(**{name: row[name] for name in (*INSERTED, "attempts")})
    return Unread(webhook=webhook, reason=row["reason"], detail=row["detail"], purged=row["purged"])


# The keys are said twice: on a table that was never analyzed, Postgres would else find the rows by another index.
READ_AGAIN = """
WITH locked AS (
    SELECT connection, event_key FROM inbox
    WHERE site = $1 AND connection = ANY($2::text[]) AND event_key = ANY($3::text[])
      AND (connection, event_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
      AND outcome = 'unreadable' AND body IS NOT NULL
    ORDER BY connection, event_key
    FOR UPDATE
)
UPDATE inbox SET outcome = 'received', reason = NULL, detail = NULL, due_at = least($4, now()), attempts = 0, lost = 0,
    lease = NULL, waits_for = NULL, refs = '{}'
FROM locked
WHERE inbox.site = $1 AND inbox.connection = locked.connection AND inbox.event_key = locked.event_key
  AND inbox.connection = ANY($2::text[]) AND inbox.event_key = ANY($3::text[])
RETURNING inbox.connection, inbox.event_key
"""


async def read_again(connection: Connection, site: str, places: Sequence[Place], now: datetime) -> set[Place]:
    """Let a worker read webhooks again; return those that still were unreadable and have their body."""
    rows = await connection.fetch(READ_AGAIN, site, [name for name, _ in places], [key for _, key in places], now)
    return {(row["connection"], row["event_key"]) for row in rows}
