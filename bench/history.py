"""
Years of rows in a moment: INSERT ... SELECT generate_series, with keys, sizes and spread as real ones have.

Number n is a sale and its webhook, one a second, the last one an hour ago. In a history half of all rows are `acme`'s,
the rest are spread over nine other sites, every second sale of a site is a renewal of the one before, and everything
is booked and recorded with one attempt. What is due is `acme`'s alone, and each sale has an order of its own.

Parameters of every statement: $1 and $2 are the numbers (from the one after $1 to $2), $3 is the present moment.
"""

from bench.bodies import ID
from bench.samples import template
from gateway.domain.delivery import DESTINATION

TABLES = ("inbox", "ledger", "outbox", "attempts", "checkouts")

KEY = "lpad(n::text, 24, '0')"
AT = "$3::timestamptz - make_interval(secs => 3600 + $2::bigint - n)"
SPREAD = "CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'site-' || n % 9 END"
ACME = "'acme'"
FIRST = "lpad((n - n % 4 + n % 2)::text, 24, '0')"
"""The number of the sale that began the subscription."""


def inbox(*, due: bool) -> str:
    """Return the statement for webhooks; those up to $4 were purged, $5 is the body's text."""
    prefix, outcome, due_at = ("evt_02", "received", AT) if due else ("evt_01", "booked", "NULL")
    return f"""
    INSERT INTO inbox (site, connection, event_key, id, event_id, event_type, method, headers, query, body,
                       received_at, last_seen_at, remote_ip, proof, seen, outcome, due_at)
    SELECT {ACME if due else SPREAD}, 'paddle', '{prefix}' || {KEY}, gen_random_uuid(), '{prefix}' || {KEY},
           'transaction.completed', 'POST',
           CASE WHEN n > $4 THEN convert_to(repeat('Paddle-Signature, ts=1, ', 8), 'UTF8') END, '',
           CASE WHEN n > $4 THEN convert_to(replace($5::text, '{ID}', {KEY}), 'UTF8') END,
           {AT}, {AT}, '127.0.0.1', 'signature', 1, '{outcome}', {due_at}
    FROM generate_series($1::bigint + 1, $2::bigint) AS n
    """


def ledger(*, due: bool) -> str:
    """Return the statement for booked sales."""
    first, sale = (KEY, "true") if due else (FIRST, "n % 4 < 2")
    return f"""
    INSERT INTO ledger (site, connection, revenue_key, plugin, kind, payment_id, order_id, carries_order, checkout_id,
                        subscription_id, amount_minor, currency, tax_minor, net_minor, cumulative, items, visitor_id,
                        session_id, token, attribution_source, test, source, event_key, occurred_at, booked_at)
    SELECT {ACME if due else SPREAD}, 'paddle', 'payment:txn_01' || {KEY}, 'paddle',
           CASE WHEN {sale} THEN 'purchase' ELSE 'renewal' END, 'txn_01' || {KEY}, 'ord-' || {first}, {sale},
           'txn_01' || {first}, 'sub_01' || {first}, 6500, 'USD', 1083, 5042, false, ARRAY['pri_01kjinventedprice'],
           'fv_' || {first}, 'fs_' || {KEY}, 'token', 'webhook', true, 'webhook', 'evt_01' || {KEY}, {AT}, {AT}
    FROM generate_series($1::bigint + 1, $2::bigint) AS n
    """


def outbox(*, due: bool) -> str:
    """Return the statement for deliveries."""
    status = f"'pending', 0, {AT}, NULL" if due else f"'recorded', 1, NULL, {AT}"
    return f"""
    INSERT INTO outbox (site, connection, revenue_key, destination, api, payment_id, is_sale, order_id_sent, basis,
                        amount_minor, amount_unit, currency, status, attempts, due_at, recorded_at, created_at)
    SELECT {ACME if due else SPREAD}, 'paddle', 'payment:txn_01' || {KEY}, '{DESTINATION}', 'revenue',
           'txn_01' || {KEY}, true, 'ord-' || {KEY}, 'gross', 6500, 'minor', 'USD', {status}, {AT}
    FROM generate_series($1::bigint + 1, $2::bigint) AS n
    """


ATTEMPTS = f"""
INSERT INTO attempts (site, connection, revenue_key, destination, number, started_at, status_code, verdict, answer,
                      milliseconds)
SELECT {SPREAD}, 'paddle', 'payment:txn_01' || {KEY}, '{DESTINATION}', 1, {AT}, 200, 'recorded', '{{"ok":true}}', 40
FROM generate_series($1::bigint + 1, $2::bigint) AS n
"""

CHECKOUTS = f"""
INSERT INTO checkouts (site, order_id, connection, plan, checkout_id, visitor_id, session_id, token, request_hash,
                       state, url, created_at)
SELECT {SPREAD}, 'ord-' || {KEY}, 'paddle', 'pro', 'txn_01' || {KEY}, 'fv_' || {KEY}, 'fs_' || {KEY}, 'token',
       sha256({KEY}::bytea), 'created', 'https://pay.example/' || n, {AT}
FROM generate_series($1::bigint + 1, $2::bigint) AS n WHERE n % 4 < 2
"""


def key(number: int) -> str:
    """Return the 24 characters that name a row."""
    return f"{number:0{len(ID)}d}"


def body() -> str:
    """Return the text of a body, its id still to be exchanged."""
    return ID.encode().join(template()).decode()
