"""Webhooks kept exactly as received."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from gateway.domain.messages import Headers, Proof, headers_of
from gateway.store.pool import Connection

COLUMNS = """site, connection, event_key, id, event_id, event_type, method, headers, query, body, received_at,
       remote_ip, proof, seen, outcome, reason, detail, attempts, waits_for, lost"""

SUSPECT = 2
"""Lost readings after which a webhook is read alone: it may be what ended the process, and takes no other with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One webhook to keep. `headers` come without secret ones, `query` with secret parameters masked."""

    site: str
    connection: str
    event_key: str
    id: UUID
    event_id: str | None
    event_type: str | None
    method: str
    headers: bytes
    query: str
    body: bytes = field(repr=False)
    received_at: datetime
    remote_ip: str | None
    proof: Proof
    seen: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        """The primary key."""
        return self.site, self.connection, self.event_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Webhook):
    """A webhook that this worker reads under a lease. `lost` counts readings whose process never came to an end."""

    attempts: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether the webhook was new or had been kept before; of several with one key in a batch only the first is new."""

    new: bool


NEW, REPEAT = Kept(True), Kept(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a webhook ended, or (`due_at` set) when and why it is read again."""

    connection: str
    event_key: str
    outcome: str
    reason: str | None = None
    detail: str | None = None
    due_at: datetime | None = None
    waits_for: str | None = None
    refs: tuple[str, ...] = ()


def pack_headers(headers: Headers, leave_out: frozenset[str]) -> bytes:
    """Return the headers as bytes, one `Name: value` a line, less the secret ones."""
    kept = (f"{name}: {value}" for name, value in headers.items() if name.lower() not in leave_out)
    return "\r\n".join(kept).encode("utf-8", "surrogateescape")


def unpack_headers(packed: bytes | None) -> Headers:
    """Return what `pack_headers` packed."""
    lines = (packed or b"").decode("utf-8", "surrogateescape").split("\r\n")
    return headers_of([(name, value) for name, colon, value in (line.partition(": ") for line in lines) if colon])


def merged(batch: Sequence[Webhook]) -> list[Webhook]:
    """Return one webhook per key, `seen` added up, the last body kept, sorted so that writers never deadlock."""
    unique: dict[tuple[str, str, str], Webhook] = {}
    for webhook in batch:
        key = webhook.key
        before = unique.get(key)
        unique[key] = webhook if before is None else replace(webhook, seen=before.seen + webhook.seen)
    return [unique[key] for key in sorted(unique)]


INSERTED = ("site", "connection", "event_key", "id", "event_id", "event_type", "method", "headers", "query", "body",
            "received_at", "remote_ip", "proof", "seen")  # fmt: skip
REPEATED = ("site", "connection", "event_key", "body", "headers", "query", "method", "event_type", "proof",
            "received_at")  # fmt: skip
inserted_of, repeated_of = attrgetter(*INSERTED), attrgetter(*REPEATED)

# Due at once, also where the clock that received it is ahead of the one by which it will be read.
# Only what was kept before comes back, which is nothing as a rule.
INSERT = """
WITH written AS (
INSERT INTO inbox (site, connection, event_key, id, event_id, event_type, method, headers, query, body,
                   received_at, last_seen_at, remote_ip, proof, seen, outcome, due_at)
SELECT site, connection, event_key, id, event_id, event_type, method, headers, query, body,
       received_at, received_at, remote_ip, proof, seen, 'received', least(received_at, now())
FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bytea[],
            $9::text[], $10::bytea[], $11::timestamptz[], $12::text[], $13::text[], $14::int[])
     AS new (site, connection, event_key, id, event_id, event_type, method, headers,
             query, body, received_at, remote_ip, proof, seen)
ON CONFLICT (site, connection, event_key) DO UPDATE
    SET seen = inbox.seen + EXCLUDED.seen, last_seen_at = EXCLUDED.last_seen_at
RETURNING site, connection, event_key, xmax
)
SELECT site, connection, event_key FROM written WHERE xmax <> 0
"""

# A repeat with another body is read again while nothing is booked from it; a repeat without a proven event id is read
# again whatever became of it, because some providers send the same bytes for "paid" and "refunded". Clearing the lease
# makes a reader that is at work right now lose its claim, so that the newer content wins.
READ_AGAIN = """
UPDATE inbox SET body = new.body, headers = new.headers, query = new.query, method = new.method,
    event_type = new.event_type, proof = new.proof, outcome = 'received', reason = NULL, detail = NULL,
    attempts = 0, lost = 0, due_at = least(new.received_at, now()), lease = NULL, waits_for = NULL, refs = '{}'
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::timestamptz[])
     AS new (site, connection, event_key, body, headers, query, method, event_type, proof, received_at)
WHERE inbox.site = new.site AND inbox.connection = new.connection AND inbox.event_key = new.event_key
  AND inbox.site = ANY($1::text[]) AND inbox.connection = ANY($2::text[]) AND inbox.event_key = ANY($3::text[])
  AND (inbox.event_id IS NULL OR (inbox.outcome <> 'booked' AND inbox.body IS DISTINCT FROM new.body))
"""


# Its own transaction takes the locks in the order of the keys, like `INSERT`, so that writers never deadlock.
LOCK = """
SELECT 1 FROM inbox JOIN unnest($1::text[], $2::text[], $3::text[]) AS again (site, connection, event_key)
    USING (site, connection, event_key)
WHERE inbox.site = ANY($1::text[]) AND inbox.connection = ANY($2::text[]) AND inbox.event_key = ANY($3::text[])
ORDER BY inbox.site, inbox.connection, inbox.event_key
FOR UPDATE OF inbox
"""


async def insert(connection: Connection, rows: Sequence[Webhook]) -> list[Webhook]:
    """Keep what `merged` returned, in one statement; return those that had been kept before, now counted once more."""
    found = await connection.fetch(INSERT, *map(list, zip(*map(inserted_of, rows), strict=True)))
    known = {tuple(row) for row in found}
    return [row for row in rows if row.key in known] if known else []


async def read_again(connection: Connection, repeats: Sequence[Webhook]) -> None:
    """Take over what `insert` had kept before, where it is to be read again; in a transaction."""
    columns = [list(column) for column in zip(*map(repeated_of, repeats), strict=True)]
    await connection.execute(LOCK, *columns[:3])
    await connection.execute(READ_AGAIN, *columns)


def kept(batch: Sequence[Webhook], repeats: Sequence[Webhook]) -> list[Kept]:
    """Return for each of a batch whether it was new."""
    known = {row.key for row in repeats}
    found = []
    for webhook in batch:
        key = webhook.key
        found.append(REPEAT if key in known else NEW)
        known.add(key)
    return found


async def keep(connection: Connection, batch: Sequence[Webhook]) -> list[Kept]:
    """Keep the webhooks in the transaction of `connection`; further statements only where some were kept before."""
    repeats = await insert(connection, merged(batch))
    if repeats:
        await read_again(connection, repeats)
    return kept(batch, repeats)


# A claim waits for no disk: one that is lost with the server leaves the rows due, and what was read under it is fenced.
# The keys as arrays, so that the primary key finds the rows also by a plan that was made while the table was empty.
CLAIM = f"""
WITH due AS (
    SELECT connection, event_key FROM inbox
    WHERE site = $1 AND connection = ANY($2::text[]) AND due_at <= $3 AND (lost >= $7) = $8
    ORDER BY due_at LIMIT $6
    FOR UPDATE SKIP LOCKED
), keys AS (
    SELECT array_agg(connection) AS connections, array_agg(event_key) AS event_keys,
           set_config('synchronous_commit', 'off', true) FROM due
)
UPDATE inbox SET lease = $4, due_at = $5, attempts = attempts + 1, lost = lost + (lease IS NOT NULL)::integer
WHERE site = $1
  AND connection = ANY((SELECT connections FROM keys)::text[])
  AND event_key = ANY((SELECT event_keys FROM keys)::text[])
  AND (connection, event_key) IN (SELECT connection, event_key FROM due)
RETURNING {COLUMNS}
"""  # noqa: S608 - constant text


async def claim(
    connection: Connection,
    site: str,
    connections: Sequence[str],
    *,
    now: datetime,
    lease: UUID,
    lease_for: timedelta,
    limit: int,
) -> list[Claimed]:
    """
    Claim due webhooks of one site for reading. A claim ends with its lease: `due_at` is when that is.

    The transaction's commit is not waited for on the disk: nothing else belongs into it.

    Once nothing else is due, a webhook whose reading was lost before is claimed alone.
    """
    until = now + lease_for
    rows = await connection.fetch(CLAIM, site, connections, now, lease, until, limit, SUSPECT, False)
    rows = rows or await connection.fetch(CLAIM, site, connections, now, lease, until, 1, SUSPECT, True)
    return [_claimed(row) for row in sorted(rows, key=itemgetter("received_at"))]


def _claimed(row: Any) -> Claimed:
    return Claimed(
        site=row["site"],
        connection=row["connection"],
        event_key=row["event_key"],
        id=row["id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        method=row["method"],
        headers=row["headers"] or b"",
        query=row["query"] or "",
        body=row["body"] or b"",
        received_at=row["received_at"],
        remote_ip=row["remote_ip"],
        proof=row["proof"],
        seen=row["seen"],
        attempts=row["attempts"],
        lost=row["lost"],
    )
