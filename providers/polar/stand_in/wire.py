"""How Polar writes things: ids, times, and webhooks as bytes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from providers.polar.api import VERSION
from providers.polar.events import SIMULATED

Entity = dict[str, Any]


def new_id(*, simulated: bool = False) -> str:
    """Return a random UUID as all of Polar's ids are, or one that is marked as simulated."""
    return SIMULATED + secrets.token_hex(6) if simulated else str(uuid4())


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def envelope(event_type: str, data: Mapping[str, Any], at: datetime) -> Entity:
    """Return a webhook."""
    return {"type": event_type, "timestamp": timestamp(at), "api_version": VERSION, "data": data}


def wire(webhook: Mapping[str, Any]) -> bytes:
    """Return the bytes as Polar writes them: with blanks, everything beyond ASCII as \\uXXXX."""
    return json.dumps(webhook, ensure_ascii=True).encode()
