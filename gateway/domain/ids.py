"""Identifiers made in Python, never by a database sequence."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from gateway.domain.text import is_storable

MAX_EVENT_KEY_BYTES = 255
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """Return the version 7 UUID (RFC 9562) of a moment and 10 random bytes: sortable by time, unguessable."""
    since = at - EPOCH
    milliseconds = (since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000) & (1 << 48) - 1
    rand = int.from_bytes(entropy[:10], "big")
    value = milliseconds << 80 | 0x7 << 76 | (rand >> 64 & 0xFFF) << 64 | 0b10 << 62 | rand & (1 << 62) - 1
    return UUID(int=value)


def uuid7_time(number: UUID) -> datetime | None:
    """Return the moment, in whole milliseconds, that a version 7 UUID begins with; None for any other UUID."""
    if number.version != 7:
        return None
    try:
        return EPOCH + timedelta(milliseconds=number.int >> 80)
    except OverflowError:
        return None


def event_key(event_id: str | None, body: bytes, query: str) -> str:
    """
    Return what makes a webhook the same webhook: its proven event id, else its body, else (no body) its query.

    An id that is too long for an index, or that Postgres cannot store, is hashed.
    """
    if not event_id:
        return "sha256:" + hashlib.sha256(body or query.encode("utf-8", "surrogatepass")).hexdigest()
    raw = event_id.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_EVENT_KEY_BYTES or not is_storable(event_id):
        return "id-sha256:" + hashlib.sha256(raw).hexdigest()
    return event_id


def movement_key(site: str, connection: str, revenue_key: str) -> str:
    """Return the one `Idempotency-Key` of a movement of money: the same on every attempt, safe in a header."""
    return hashlib.sha256(f"{site}\0{connection}\0{revenue_key}".encode()).hexdigest()
