"""
The booking transaction's two ends: the site's lock with the fence of the claim, and all that was decided.

A round trip costs more than the rows of a small batch, so that what can share a statement does.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Literal
from uuid import UUID

from gateway.domain.books import Dispatch, Entry
from gateway.domain.delivery import DESTINATION, Status
from gateway.domain.money import Money
from gateway.store import ledger, outbox
from gateway.store.inbox import Outcome
from gateway.store.packing import packed
from gateway.store.pool import Connection

Place = tuple[str, str]
"""A connection's name and a key at it."""

# The site's lock is taken, and waited for, before a webhook is looked at (its count comes before everything else). The
# rows may have changed meanwhile: to lock one is to look at its newest version, and a lease that was lost is seen lost.
# Nothing else may be read here, because this statement's snapshot is older than the lock.
ENTER = """
WITH locked AS MATERIALIZED (
    SELECT 1 FROM sites WHERE site = $1 FOR UPDATE
), keys AS MATERIALIZED (
    SELECT array_agg(key ->> 0) AS connections, array_agg(key ->> 1) AS event_keys
    FROM jsonb_array_elements($2::jsonb) AS key
)
SELECT connection, event_key FROM inbox
WHERE (SELECT count(*) FROM locked) > 0
  AND site = $1 AND connection = ANY((SELECT connections FROM keys)::text[])
  AND event_key = ANY((SELECT event_keys FROM keys)::text[]) AND lease = $3
ORDER BY connection, event_key
FOR UPDATE
"""


async def enter(connection: Connection, site: str, keys: Sequence[Place], lease: UUID, now: datetime) -> set[Place]:
    """Take the site's lock, lock the claimed webhooks, and return those whose lease is still ours."""
    sent = packed(keys)
    rows = await connection.fetch(ENTER, site, sent, lease)
    if not rows:  # nothing is ours any more, or it is the site's first booking
        await ledger.lock_site(connection, site, now)
        rows = await connection.fetch(ENTER, site, sent, lease)
    return {(name, key) for name, key in rows}


# Four writes to different rows. Deliveries come in the lock order of `outbox.settle`; one that was not attempted yet is
# replaced. What waited for the money that is booked now is due at once, unless it is being read. The result says
# whether the site may have sales without a visitor: of few deliveries that ended badly all are looked at.
# Keys come as arrays, and `due_at` in an expression, so that the primary key finds the rows, whatever Postgres knows of
# the tables: by the index of what is due it would go through everything that waits.
WRITE = """
WITH lines AS (
    INSERT INTO ledger (site, source, connection, revenue_key, plugin, kind, payment_id, order_id, carries_order,
                        checkout_id, subscription_id, account, amount_minor, currency, tax_minor, net_minor, cumulative,
                        items, visitor_id, session_id, token, attribution_source, cause, test, event_key, occurred_at,
                        booked_at)
    SELECT $1, $4, line ->> 0, line ->> 1, line ->> 2, line ->> 3, line ->> 4, line ->> 5, (line ->> 6)::boolean,
           line ->> 7, line ->> 8, line ->> 9, (line ->> 10)::bigint, line ->> 11, (line ->> 12)::bigint,
           (line ->> 13)::bigint, (line ->> 14)::boolean, ARRAY(SELECT jsonb_array_elements_text(line -> 15)),
           line ->> 16, line ->> 17, line ->> 18, line ->> 19, line ->> 20, (line ->> 21)::boolean, line ->> 22,
           (line ->> 23)::timestamptz, (line ->> 24)::timestamptz
    FROM jsonb_array_elements($5::jsonb) AS line
), deliveries AS (
    INSERT INTO outbox (site, destination, connection, revenue_key, api, payment_id, is_sale, order_id_sent, basis,
                        amount_minor, amount_unit, currency, status, reason, due_at, created_at)
    SELECT $1, $2, delivery ->> 0, delivery ->> 1, delivery ->> 2, delivery ->> 3, (delivery ->> 4)::boolean,
           delivery ->> 5, delivery ->> 6, (delivery ->> 7)::bigint, delivery ->> 8, delivery ->> 9, delivery ->> 10,
           delivery ->> 11, CASE WHEN (delivery ->> 12)::boolean THEN $3::timestamptz END, $3
    FROM jsonb_array_elements($6::jsonb) AS delivery
    ON CONFLICT (site, connection, revenue_key, destination) DO UPDATE SET
        api = EXCLUDED.api, basis = EXCLUDED.basis, amount_minor = EXCLUDED.amount_minor,
        amount_unit = EXCLUDED.amount_unit, status = EXCLUDED.status, reason = EXCLUDED.reason, due_at = EXCLUDED.due_at
    WHERE outbox.attempts = 0 AND outbox.status IN ('pending', 'unattributed')
), done AS MATERIALIZED (
    SELECT webhook ->> 0 AS connection, webhook ->> 1 AS event_key, webhook ->> 2 AS outcome, webhook ->> 3 AS reason,
           webhook ->> 4 AS detail, (webhook ->> 5)::timestamptz AS due_at, webhook ->> 6 AS waits_for,
           ARRAY(SELECT jsonb_array_elements_text(webhook -> 7)) AS refs
    FROM jsonb_array_elements($7::jsonb) AS webhook
), keys AS MATERIALIZED (
    SELECT array_agg(connection) AS connections, array_agg(event_key) AS event_keys FROM done
), ended AS (
    UPDATE inbox SET outcome = done.outcome, reason = done.reason, detail = done.detail, due_at = done.due_at,
        waits_for = done.waits_for, refs = done.refs, lease = NULL
    FROM done
    WHERE inbox.site = $1 AND inbox.connection = done.connection AND inbox.event_key = done.event_key
      AND inbox.connection = ANY((SELECT connections FROM keys)::text[])
      AND inbox.event_key = ANY((SELECT event_keys FROM keys)::text[])
), booked AS MATERIALIZED (
    SELECT ref ->> 0 AS connection, ref ->> 1 AS ref FROM jsonb_array_elements($8::jsonb) AS ref
), waiting AS MATERIALIZED (
    SELECT connection, event_key FROM inbox
    WHERE site = $1 AND connection = ANY((SELECT array_agg(connection) FROM booked)::text[])
      AND waits_for = ANY((SELECT array_agg(ref) FROM booked)::text[])
      AND (connection, waits_for) IN (SELECT connection, ref FROM booked)
    ORDER BY connection, event_key
    FOR UPDATE
), woken AS (
    UPDATE inbox SET due_at = $3
    WHERE site = $1 AND connection = ANY((SELECT array_agg(connection) FROM waiting)::text[])
      AND event_key = ANY((SELECT array_agg(event_key) FROM waiting)::text[])
      AND (connection, event_key) IN (SELECT connection, event_key FROM waiting)
      AND lease IS NULL AND coalesce(due_at > $3, false)
)
SELECT count(*) = 100 OR coalesce(bool_or(status = 'unattributed'), false) FROM (
    SELECT status FROM outbox WHERE site = $1 AND status IN ('rejected', 'dead', 'unattributed') LIMIT 100
) AS stuck
"""


async def write(
    connection: Connection,
    site: str,
    now: datetime,
    source: Literal["webhook", "sweep"],
    *,
    lines: Sequence[Entry] = (),
    deliveries: Sequence[Dispatch] = (),
    outcomes: Sequence[Outcome] = (),
    refs: Sequence[Place] = (),
) -> bool:
    """
    Write new lines, deliveries, and outcomes of webhooks; return whether the site may have unattributed sales.

    Everything is there once, and the caller holds the locks of the webhooks. `refs` name the money that is new, as
    (connection, `payment:ID` or `subscription:ID`).

    A late figure may show that a sale is never sent: then its refunds, which wait for it, are not sent either.
    """
    rows = [_delivery(row) for row in sorted(deliveries, key=by_key)]
    may_be: bool = await connection.fetchval(
        WRITE,
        site,
        DESTINATION,
        now,
        source,
        packed([_line(entry) for entry in lines]),
        packed(rows),
        packed([ended_of(outcome) for outcome in outcomes]),
        packed(refs),
    )
    never = [row for row in deliveries if row.is_sale and row.status is not Status.PENDING]
    if never:
        await outbox.release(connection, [(site, row.connection, row.payment_id, False) for row in never], now)
    return may_be or any(row.status is Status.UNATTRIBUTED for row in never)


by_key = attrgetter("connection", "key")
ended_of = attrgetter("connection", "event_key", "outcome", "reason", "detail", "due_at", "waits_for", "refs")


def _line(entry: Entry) -> tuple[object, ...]:
    event, who = entry.event, entry.attribution
    return (
        *(entry.connection, event.key, entry.plugin, event.kind, event.payment_id, entry.order_id),
        *(entry.carries_order, event.checkout_id, event.subscription_id, event.account),
        *(event.amount.minor, event.amount.currency, _minor(event.tax), _minor(event.net), event.cumulative),
        *(event.items, who.visitor_id, who.session_id, who.token, entry.attribution_source, event.cause),
        *(entry.test, entry.event_key, event.occurred_at, entry.booked_at),
    )


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def _delivery(row: Dispatch) -> tuple[object, ...]:
    return (
        *(row.connection, row.key, row.api, row.payment_id, row.is_sale, row.order_id_sent, row.basis),
        *(row.amount_minor, row.amount_unit, row.currency, row.status, row.reason, row.due),
    )
