"""Values for tests of the store."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from gateway.store.inbox import Webhook

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def webhook(event_key: str = "evt_1", **what: Any) -> Webhook:
    """A webhook of acme/example with a proven event id, unless said otherwise."""
    values: dict[str, Any] = {
        "site": "acme",
        "connection": "example",
        "event_key": event_key,
        "id": uuid4(),
        "event_id": event_key,
        "event_type": "payment.paid",
        "method": "POST",
        "headers": b"X-One: 1",
        "query": "",
        "body": b"{}",
        "received_at": NOON,
        "remote_ip": "192.0.2.1",
        "proof": "signature",
    }
    return Webhook(**{**values, **what})
