"""Everything that is known around one id, for `trace`. Reads only; one site at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.domain.delivery import DESTINATION
from gateway.domain.ids import uuid7_time
from gateway.store.pool import Connection

MOST_ROWS = 200
"""Rows of each table in one story; a visitor or a subscription can have thousands."""

SHORTEST_SEARCH = 6
"""Characters. Shorter text would be found in bodies by accident."""

SEARCH_MILLISECONDS = 5000
"""The search through bodies has no index; on a very large site it gives up and the story goes on without it."""

NEAR = timedelta(hours=1)
"""
Where something is known of an id, only bodies received so near to it are searched: what else a provider says of a
payment (created, tried, updated) comes at about the time of what was booked.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows as they are, by table. `searched` is False where the search through the bodies gave up."""

    checkouts: list[dict[str, Any]] = field(default_factory=list)
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    hold: dict[str, Any] | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)
    searched: bool = True

    def __bool__(self) -> bool:
        return bool(self.checkouts or self.webhooks or self.ledger)


# The site's connections, one index probe for each: the indexes that name a payment or an event begin with them.
_PLACES = """
WITH RECURSIVE places AS (
    (SELECT connection FROM {table} WHERE site = $1{whose} ORDER BY connection LIMIT 1)
    UNION ALL
    SELECT (SELECT connection FROM {table} WHERE site = $1 AND connection > places.connection{whose}
            ORDER BY connection LIMIT 1) FROM places WHERE places.connection IS NOT NULL
)
"""

# An index probe for each way in which an id can name a row: with OR over several columns Postgres reads all rows.
# A refund or a renewal that was booked before its sale has not inherited the order id: the sale leads to it.
LEDGER = f"""
{_PLACES.format(table="ledger", whose="")}, ordered AS (
    SELECT connection, payment_id, subscription_id FROM ledger WHERE site = $1 AND order_id = $2
), payments AS (
    SELECT connection, payment_id FROM ordered
    UNION
    SELECT ordered.connection, later.payment_id FROM ordered, LATERAL (
        SELECT payment_id FROM ledger WHERE site = $1 AND connection = ordered.connection
          AND subscription_id = ordered.subscription_id AND order_id IS NULL OFFSET 0
    ) AS later
    UNION
    SELECT found.connection, found.payment_id FROM places, LATERAL (
        SELECT connection, payment_id FROM ledger
        WHERE site = $1 AND connection = places.connection AND payment_id = $2
        UNION
        SELECT connection, payment_id FROM ledger
        WHERE site = $1 AND connection = places.connection AND checkout_id = $2
        UNION
        SELECT connection, payment_id FROM ledger
        WHERE site = $1 AND connection = places.connection AND subscription_id = $2
        UNION
        SELECT connection, payment_id FROM ledger
        WHERE site = $1 AND connection = places.connection AND event_key = $2
        UNION
        SELECT connection, payment_id FROM ledger
        WHERE site = $1 AND connection = places.connection
          AND revenue_key = ANY(ARRAY[$2, 'payment:' || $2, 'refund:' || $2, 'reversal:' || $2])
    ) AS found
), named AS (
    SELECT connection, revenue_key FROM ledger WHERE site = $1 AND order_id = $2
    UNION
    SELECT connection, revenue_key FROM ledger WHERE site = $1 AND visitor_id = $2
    UNION
    SELECT payments.connection, found.revenue_key FROM payments, LATERAL (
        SELECT revenue_key FROM ledger
        WHERE site = $1 AND connection = payments.connection AND payment_id = payments.payment_id OFFSET 0
    ) AS found
)
SELECT booked.* FROM named, LATERAL (
    SELECT * FROM ledger WHERE site = $1 AND connection = named.connection AND revenue_key = named.revenue_key OFFSET 0
) AS booked
ORDER BY occurred_at, revenue_key LIMIT $3
"""  # noqa: S608 - constant text

BY_EVENTS = """
SELECT * FROM ledger WHERE site = $1 AND connection = ANY($2::text[]) AND event_key = ANY($3::text[])
  AND (connection, event_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
ORDER BY occurred_at, revenue_key LIMIT $4
"""

CHECKOUTS = f"""
{_PLACES.format(table="checkouts", whose=" AND checkout_id IS NOT NULL")}, named AS (
    SELECT order_id FROM checkouts WHERE site = $1 AND order_id = ANY($2::text[])
    UNION
    SELECT found.order_id FROM places, LATERAL (
        SELECT order_id FROM checkouts
        WHERE site = $1 AND connection = places.connection AND checkout_id = ANY($3::text[]) OFFSET 0) AS found
    UNION
    SELECT order_id FROM checkouts WHERE site = $1 AND visitor_id = $4
)
SELECT made.* FROM named, LATERAL (
    SELECT * FROM checkouts WHERE site = $1 AND order_id = named.order_id OFFSET 0) AS made
ORDER BY created_at LIMIT $5
"""  # noqa: S608 - constant text

COLUMNS = (
    "id, connection, event_key, event_id, event_type, received_at, last_seen_at, seen, outcome, reason, detail, due_at"
)

WEBHOOKS = f"""
{_PLACES.format(table="inbox", whose="")}, named AS (
    SELECT connection, event_key FROM inbox WHERE site = $1 AND event_id = $2
    UNION
    SELECT connection, $2 FROM places
    UNION
    SELECT * FROM unnest($3::text[], $4::text[])
)
SELECT kept.* FROM named, LATERAL (
    SELECT {COLUMNS} FROM inbox
    WHERE site = $1 AND connection = named.connection AND event_key = named.event_key OFFSET 0) AS kept
ORDER BY received_at, id LIMIT $5
"""  # noqa: S608 - constant text

# No index has it, but our ids begin with their time, which `received_at` is.
BY_ID = f"""
{_PLACES.format(table="inbox", whose="")}
SELECT kept.* FROM places, LATERAL (
    SELECT {COLUMNS} FROM inbox WHERE site = $1 AND connection = places.connection
       AND received_at >= $3 AND received_at < $3 + interval '1 millisecond' AND id = $2 OFFSET 0) AS kept
"""  # noqa: S608 - constant text

SEARCH = f"""
SELECT {COLUMNS} FROM inbox
WHERE site = $1 AND EXISTS (SELECT 1 FROM unnest($2::bytea[]) AS word WHERE position(word IN body) > 0)
ORDER BY received_at, id LIMIT $3
"""  # noqa: S608 - constant text

SEARCH_NEAR = f"""
SELECT kept.* FROM unnest($4::timestamptz[], $5::timestamptz[]) AS near (begins, ends), LATERAL (
    SELECT {COLUMNS} FROM inbox
    WHERE site = $1 AND body IS NOT NULL AND received_at BETWEEN near.begins AND near.ends
      AND EXISTS (SELECT 1 FROM unnest($2::bytea[]) AS word WHERE position(word IN body) > 0) OFFSET 0) AS kept
ORDER BY received_at, id LIMIT $3
"""  # noqa: S608 - constant text

OUTBOX = """
SELECT * FROM outbox WHERE site = $1 AND destination = $2
   AND connection = ANY($3::text[]) AND revenue_key = ANY($4::text[])
   AND (connection, revenue_key) IN (SELECT * FROM unnest($3::text[], $4::text[]))
"""

ATTEMPTS = """
SELECT * FROM attempts WHERE site = $1 AND destination = $2
   AND connection = ANY($3::text[]) AND revenue_key = ANY($4::text[])
   AND (connection, revenue_key) IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY number
"""


async def find(connection: Connection, site: str, query: str) -> Found:
    """
    Return what one site knows of an order, payment, refund, event, checkout or visitor id.

    An id that no table has (a customer, an invoice) is looked for in the bodies; money booked from those is its story.
    """
    ledger = await _rows(connection, LEDGER, site, query, MOST_ROWS)
    ledger = ledger or await _mentioning(connection, site, query)
    orders = {query, *(row["order_id"] for row in ledger if row["order_id"])}
    checkout_ids = {query, *(row["checkout_id"] for row in ledger if row["checkout_id"])}
    checkouts = await _rows(connection, CHECKOUTS, site, sorted(orders), sorted(checkout_ids), query, MOST_ROWS)
    events = [(row["connection"], row["event_key"]) for row in ledger if row["event_key"]]
    named = await _rows(
        connection, WEBHOOKS, site, query, [name for name, _ in events], [key for _, key in events], MOST_ROWS
    )
    named += await _by_id(connection, site, query)
    words = {query, *(row["payment_id"] for row in ledger), *(row["checkout_id"] or "" for row in checkouts)}
    return await _around(connection, site, words, ledger=ledger, checkouts=checkouts, named=named)


async def _by_id(connection: Connection, site: str, query: str) -> list[dict[str, Any]]:
    try:
        number = UUID(query)
    except ValueError:
        return []
    made_at = uuid7_time(number)
    return await _rows(connection, BY_ID, site, number, made_at) if made_at else []


async def _mentioning(connection: Connection, site: str, query: str) -> list[dict[str, Any]]:
    webhooks = await search(connection, site, [query]) or []
    keys = ([row["connection"] for row in webhooks], [row["event_key"] for row in webhooks])
    return await _rows(connection, BY_EVENTS, site, *keys, MOST_ROWS)


async def _around(
    connection: Connection,
    site: str,
    words: set[str],
    *,
    ledger: list[dict[str, Any]],
    checkouts: list[dict[str, Any]],
    named: list[dict[str, Any]],
) -> Found:
    keys = ([row["connection"] for row in ledger], [row["revenue_key"] for row in ledger])
    outbox = await _rows(connection, OUTBOX, site, DESTINATION, *keys)
    attempts = await _rows(connection, ATTEMPTS, site, DESTINATION, *keys)
    hold = await connection.fetchrow("SELECT * FROM holds WHERE site = $1 AND destination = $2", site, DESTINATION)
    refusals = await _rows(connection, "SELECT * FROM refusals WHERE site = $1 ORDER BY last_at DESC", site)
    moments = [row["occurred_at"] for row in ledger] + [row["booked_at"] for row in ledger]
    moments += [row["created_at"] for row in checkouts] + [row["received_at"] for row in named]
    mentioned = await search(connection, site, sorted(words), moments)
    by_id = {row["id"]: row for row in (*(mentioned or ()), *named)}
    return Found(
        checkouts=checkouts,
        webhooks=sorted(by_id.values(), key=lambda row: (row["received_at"], row["id"])),
        ledger=ledger,
        outbox=outbox,
        attempts=attempts,
        hold=dict(hold) if hold else None,
        refusals=refusals,
        searched=mentioned is not None,
    )


async def search(
    connection: Connection, site: str, words: Sequence[str], moments: Sequence[datetime] = ()
) -> list[dict[str, Any]] | None:
    """
    Return webhooks whose body mentions one of the words; None where that takes too long.

    With `moments` only those received near to one are searched.
    """
    needles = [  # whole JSON values, not parts of ids
        f'"{word}"'.encode("utf-8", "surrogatepass") for word in words if len(word) >= SHORTEST_SEARCH
    ]
    if not needles:
        return []
    limit = SEARCH_MILLISECONDS / 1000
    try:
        if moments:
            spans = spans_around(moments, NEAR)
            near = [begins for begins, _ in spans], [ends for _, ends in spans]
            rows = await connection.fetch(SEARCH_NEAR, site, needles, MOST_ROWS, *near, timeout=limit)
        else:
            rows = await connection.fetch(SEARCH, site, needles, MOST_ROWS, timeout=limit)
    except TimeoutError:
        return None
    return [dict(row) for row in rows]


def spans_around(moments: Sequence[datetime], near: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the spans of time that reach so far around the moments, without overlaps."""
    spans: list[tuple[datetime, datetime]] = []
    for moment in sorted(moments):
        begins, ends = moment - near, moment + near
        if spans and begins <= spans[-1][1]:
            begins, _ = spans.pop()
        spans.append((begins, ends))
    return spans


async def _rows(connection: Connection, sql: str, *arguments: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(sql, *arguments)]
