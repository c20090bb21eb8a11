"""Revenue events booked, unique by their key. All of it runs inside one transaction that holds the site's lock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.books import SALES, Books, Entry, KnownCheckout
from gateway.domain.delivery import DESTINATION, Status
from gateway.domain.money import Money
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.store.packing import packed
from gateway.store.pool import Connection

Place = tuple[str, str]
"""A connection's name and a key at it."""


LOCK = "SELECT site FROM sites WHERE site = $1 FOR UPDATE"
FIRST = "INSERT INTO sites (site, created_at) VALUES ($1, $2) ON CONFLICT (site) DO NOTHING"


async def lock_site(connection: Connection, site: str, now: datetime) -> None:
    """
    Let one transaction at a time book for this site.

    It makes "each order id once", running totals and inheritance simple to get right. A booking transaction holds a
    batch and no call to anybody, so it is short.
    """
    if await connection.fetchval(LOCK, site) is None:  # the site's first booking
        await connection.execute(FIRST, site, now)
        await connection.fetchval(LOCK, site)


# Whether a refund goes out now or waits depends on its sale's delivery, which may be settling at this moment: the lock
# makes one of the two wait for the other, so that either the refund sees the result or the settling sees the refund.
LOCK_SALES = """
SELECT 1 FROM outbox
WHERE site = $1 AND destination = $2 AND connection = ANY($3::text[]) AND payment_id = ANY($4::text[]) AND is_sale
ORDER BY connection, revenue_key
FOR SHARE
"""

# One index probe for each way to be near: the movement itself, its payment, and the first booking of its subscription.
# Beside the lines, in a row of its own: our checkouts that they or the events name, the order ids of all those that
# were sent before, and what other sites' money is named. The keys are arrays that come out of one text, so that the
# indexes find the rows by one plan for any number of events, also on tables of which Postgres knows nothing yet.
AROUND = """
WITH asked AS MATERIALIZED (
    SELECT event ->> 0 AS connection, event ->> 1 AS revenue_key, event ->> 2 AS payment_id,
           event ->> 3 AS subscription_id, event ->> 4 AS checkout_id, event ->> 5 AS reference
    FROM jsonb_array_elements($2::jsonb) AS event
), named AS MATERIALIZED (
    SELECT array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys,
           array_agg(payment_id) AS payment_ids, array_agg(checkout_id) AS checkout_ids,
           array_agg(reference) AS order_ids,
           array_agg('payment:' || payment_id) || array_agg('subscription:' || subscription_id) AS refs
    FROM asked
), near AS (
    SELECT connection, revenue_key FROM ledger
    WHERE site = $1 AND connection = ANY((SELECT connections FROM named)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM named)::text[])
    UNION
    SELECT connection, revenue_key FROM ledger
    WHERE site = $1 AND connection = ANY((SELECT connections FROM named)::text[])
      AND payment_id = ANY((SELECT payment_ids FROM named)::text[])
    UNION
    SELECT first.connection, first.revenue_key
    FROM (SELECT DISTINCT connection, subscription_id FROM asked WHERE subscription_id IS NOT NULL) AS of, LATERAL (
        SELECT connection, revenue_key FROM ledger
        WHERE site = $1 AND connection = of.connection AND subscription_id = of.subscription_id
          AND kind IN ('purchase', 'renewal')
        ORDER BY booked_at, occurred_at, revenue_key LIMIT 1
    ) AS first
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys FROM near
), booked AS MATERIALIZED (
    SELECT * FROM ledger WHERE site = $1 AND connection = ANY((SELECT connections FROM keys)::text[])
       AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
), sent AS MATERIALIZED (
    SELECT connection, revenue_key, status, attempts FROM outbox
    WHERE site = $1 AND connection = ANY((SELECT connections FROM keys)::text[])
      AND revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
), lines AS (
    SELECT booked.*, sent.status, coalesce(sent.attempts, 0) AS attempted
    FROM near JOIN booked USING (connection, revenue_key) LEFT JOIN sent USING (connection, revenue_key)
), opened AS MATERIALIZED (
    SELECT order_id, connection, checkout_id, visitor_id, session_id, token FROM checkouts
    WHERE site = $1 AND ((connection = ANY((SELECT connections FROM named)::text[])
                          AND checkout_id = ANY((SELECT checkout_ids FROM named)::text[]
                                                || (SELECT array_agg(checkout_id) FROM booked)::text[]))
                      OR order_id = ANY((SELECT order_ids FROM named)::text[]))
), carried AS (
    SELECT order_id FROM ledger
    WHERE site = $1 AND carries_order AND order_id = ANY((SELECT order_ids FROM named)::text[]
                                                         || (SELECT array_agg(order_id) FROM opened)::text[])
), elsewhere AS (
    SELECT connection, unnest(refs) AS ref FROM inbox
    WHERE site = $1 AND refs <> '{}' AND refs && (SELECT refs FROM named)::text[]
), beside AS (
    SELECT (SELECT json_agg(json_build_array(connection, order_id, checkout_id, visitor_id, session_id, token))
            FROM opened) AS checkouts,
           (SELECT json_agg(order_id) FROM carried) AS carried,
           (SELECT json_agg(json_build_array(connection, ref)) FROM elsewhere) AS elsewhere
)
SELECT lines.*, beside.checkouts, beside.carried, beside.elsewhere
FROM lines FULL JOIN beside ON false
ORDER BY booked_at, occurred_at, revenue_key
"""


async def read_books(connection: Connection, site: str, events: Sequence[tuple[str, RevenueEvent]]) -> Books:
    """Return what is known around these (connection, event) pairs."""
    books = Books()
    if not events:
        return books
    behind = sorted({event.payment_id for _, event in events if event.kind not in SALES})
    if behind:
        await connection.execute(LOCK_SALES, site, DESTINATION, sorted({name for name, _ in events}), behind)
    asked = [
        (name, event.key, event.payment_id, event.subscription_id, event.checkout_id, event.reference)
        for name, event in events
    ]
    *lines, beside = await connection.fetch(AROUND, site, packed(asked))
    for row in lines:
        entry = entry_of(row)
        books.learn(entry, Status(row["status"]))
        if row["attempted"]:
            books.attempted.add((entry.connection, entry.event.key))
    for checkout in orjson.loads(beside["checkouts"] or "[]"):
        _learn_checkout(books, *checkout)
    books.carried |= set(orjson.loads(beside["carried"] or "[]"))
    books.foreign |= {(name, ref) for name, ref in orjson.loads(beside["elsewhere"] or "[]")}
    return books


def _learn_checkout(books: Books, name: str, order_id: str, checkout_id: str | None, *ids: str | None) -> None:
    visitor_id, session_id, token = ids
    who = Attribution(visitor_id=visitor_id, session_id=session_id, token=token)
    checkout = KnownCheckout(order_id=order_id, connection=name, checkout_id=checkout_id, attribution=who)
    books.orders[order_id] = checkout
    if checkout_id:
        books.checkouts[name, checkout_id] = checkout


def _attribution(row: Any) -> Attribution:
    return Attribution(visitor_id=row["visitor_id"], session_id=row["session_id"], token=row["token"])


def entry_of(row: Any) -> Entry:
    """Return a row of the ledger as booking knows it."""
    currency = row["currency"]
    event = RevenueEvent(
        kind=RevenueKind(row["kind"]),
        key=row["revenue_key"],
        payment_id=row["payment_id"],
        amount=Money(row["amount_minor"], currency),
        occurred_at=row["occurred_at"],
        test=row["test"],
        cumulative=row["cumulative"],
        tax=None if row["tax_minor"] is None else Money(row["tax_minor"], currency),
        net=None if row["net_minor"] is None else Money(row["net_minor"], currency),
        reference=row["order_id"],
        checkout_id=row["checkout_id"],
        subscription_id=row["subscription_id"],
        account=row["account"],
        items=row["items"],
        attribution=_attribution(row),
        cause=row["cause"],
    )
    return Entry(
        connection=row["connection"],
        plugin=row["plugin"],
        event=event,
        test=row["test"],
        order_id=row["order_id"],
        carries_order=row["carries_order"],
        attribution=event.attribution,
        attribution_source=AttributionSource(row["attribution_source"]),
        event_key=row["event_key"],
        booked_at=row["booked_at"],
    )


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


FILL = """
WITH filled AS (
    SELECT line ->> 0 AS connection, line ->> 1 AS revenue_key, (line ->> 2)::bigint AS tax_minor,
           (line ->> 3)::bigint AS net_minor, line ->> 4 AS visitor_id, line ->> 5 AS session_id, line ->> 6 AS token,
           line ->> 7 AS attribution_source
    FROM jsonb_array_elements($2::jsonb) AS line
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys FROM filled
)
UPDATE ledger SET tax_minor = filled.tax_minor, net_minor = filled.net_minor, visitor_id = filled.visitor_id,
    session_id = filled.session_id, token = filled.token, attribution_source = filled.attribution_source
FROM filled
WHERE ledger.site = $1 AND ledger.connection = filled.connection AND ledger.revenue_key = filled.revenue_key
  AND ledger.connection = ANY((SELECT connections FROM keys)::text[])
  AND ledger.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
"""


async def fill(connection: Connection, site: str, entries: Sequence[Entry]) -> None:
    """Write figures and ids that booked lines lacked; of several for the same line the last."""
    rows = {
        (entry.connection, entry.event.key): (
            *(entry.connection, entry.event.key, _minor(entry.event.tax), _minor(entry.event.net)),
            *(entry.attribution.visitor_id, entry.attribution.session_id, entry.attribution.token),
            entry.attribution_source,
        )
        for entry in entries
    }
    if rows:
        await connection.execute(FILL, site, packed(list(rows.values())))


# A sale that could not be attributed gets the ids of its sibling: the same payment, else the same subscription. One
# index probe for each way and each row (OFFSET 0 keeps the planner from making a join of it): plans that were made
# while the tables were empty would else read all of a site's rows for every row.
ATTRIBUTE = """
WITH named AS (
    SELECT line ->> 0 AS connection, line ->> 1 AS payment_id, line ->> 2 AS subscription_id, line ->> 3 AS visitor_id,
           line ->> 4 AS session_id, line ->> 5 AS token
    FROM jsonb_array_elements($2::jsonb) AS line
), siblings AS (
    SELECT named.connection, found.revenue_key, 'payment' AS source, named.visitor_id, named.session_id, named.token
    FROM named, LATERAL (
        SELECT revenue_key FROM ledger WHERE site = $1 AND connection = named.connection
           AND payment_id = named.payment_id AND visitor_id IS NULL OFFSET 0) AS found
    UNION ALL
    SELECT named.connection, found.revenue_key, 'subscription', named.visitor_id, named.session_id, named.token
    FROM named, LATERAL (
        SELECT revenue_key FROM ledger WHERE site = $1 AND connection = named.connection
           AND subscription_id = named.subscription_id AND visitor_id IS NULL OFFSET 0) AS found
), nearest AS (
    SELECT DISTINCT ON (siblings.connection, siblings.revenue_key) siblings.* FROM siblings, LATERAL (
        SELECT 1 FROM outbox WHERE outbox.site = $1 AND outbox.connection = siblings.connection
           AND outbox.revenue_key = siblings.revenue_key AND outbox.destination = $3
           AND outbox.status = 'unattributed' OFFSET 0) AS unattributed
    ORDER BY siblings.connection, siblings.revenue_key, siblings.source, siblings.visitor_id
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(revenue_key) AS revenue_keys FROM nearest
), changed AS (
    UPDATE ledger SET visitor_id = nearest.visitor_id, session_id = nearest.session_id, token = nearest.token,
        attribution_source = nearest.source
    FROM nearest
    WHERE ledger.site = $1 AND ledger.connection = nearest.connection AND ledger.revenue_key = nearest.revenue_key
      AND ledger.connection = ANY((SELECT connections FROM keys)::text[])
      AND ledger.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
    RETURNING ledger.connection, ledger.revenue_key
)
UPDATE outbox SET status = 'pending', reason = CASE WHEN amount_minor IS NULL THEN 'waiting_for_amount' END,
    due_at = CASE WHEN amount_minor IS NOT NULL THEN $4::timestamptz END
FROM changed
WHERE outbox.site = $1 AND outbox.connection = changed.connection AND outbox.revenue_key = changed.revenue_key
  AND outbox.connection = ANY((SELECT connections FROM keys)::text[])
  AND outbox.revenue_key = ANY((SELECT revenue_keys FROM keys)::text[])
  AND outbox.destination = $3 AND outbox.status = 'unattributed'
RETURNING outbox.connection, outbox.revenue_key
"""


async def attribute_siblings(connection: Connection, site: str, entries: Sequence[Entry], now: datetime) -> set[Place]:
    """Attribute unattributed sales whose payment or subscription now has a known visitor; return which they were."""
    named = [
        (
            entry.connection,
            entry.event.payment_id,
            entry.event.subscription_id,
            who.visitor_id,
            who.session_id,
            who.token,
        )
        for entry in entries
        if (who := entry.attribution).visitor_id
    ]
    if not named:
        return set()
    rows = await connection.fetch(ATTRIBUTE, site, packed(named), DESTINATION, now)
    return {(row["connection"], row["revenue_key"]) for row in rows}
