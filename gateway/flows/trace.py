"""
An id becomes a story with one verdict: why is this sale unattributed, counted twice, the wrong amount, or missing?

Everything is read; nothing is changed. Secrets are not in the database, so none can be shown.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from gateway.domain.text import is_storable
from gateway.flows.verdict import Verdict, judge
from gateway.store import refusals, stories
from gateway.store.pool import Connection, Database
from gateway.store.stories import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is known of an id, in the form that `trace --json` prints."""

    query: str
    site: str | None
    verdict: Verdict
    checkout: dict[str, Any] | None = None
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    revenue: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the story as JSON has it."""
        return {
            "query": self.query,
            "site": self.site,
            "verdict": self.verdict.word,
            "reason": self.verdict.reason,
            "checkout": self.checkout,
            "webhooks": self.webhooks,
            "revenue": self.revenue,
            "deliveries": self.deliveries,
        }


async def trace(database: Database, sites: Sequence[str], query: str) -> Story:
    """Tell the story of an order, payment, refund, event, checkout or visitor id, as far as these sites know it."""
    query = query.strip()
    async with database.reading() as connection:
        everything = [(site, await _found(connection, site, query)) for site in sites]
        refused = [asdict(row) for row in await refusals.find(connection, sites)]
    known = [(site, found) for site, found in everything if found]
    if not known:
        nothing = Found(refusals=refused, searched=all(found.searched for _, found in everything))
        return Story(query=query, site=None, verdict=judge(query, nothing, ()))
    known.sort(key=lambda pair: (-len(pair[1].ledger), -len(pair[1].checkouts)))
    site, found = known[0]
    return _told(query, site, found, judge(query, found, [name for name, _ in known[1:]]))


async def _found(connection: Connection, site: str, query: str) -> Found:
    return await stories.find(connection, site, query) if is_storable(query) else Found()


def _told(query: str, site: str, found: Found, verdict: Verdict) -> Story:
    attempts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for attempt in found.attempts:
        attempts.setdefault((attempt["connection"], attempt["revenue_key"]), []).append(attempt)
    return Story(
        query=query,
        site=site,
        verdict=verdict,
        checkout=_checkout(found.checkouts[-1]) if found.checkouts else None,
        webhooks=[_webhook(row) for row in found.webhooks],
        revenue=[_revenue(row) for row in found.ledger],
        deliveries=[
            _delivery(row, attempts.get((row["connection"], row["revenue_key"]), []), held=found.hold is not None)
            for row in sorted(found.outbox, key=lambda row: (row["created_at"], row["revenue_key"]))
        ],
    )


def _ids(row: dict[str, Any]) -> dict[str, Any]:
    return {"visitor_id": row["visitor_id"], "session_id": row["session_id"], "token": row["token"]}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _checkout(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "order_id": row["order_id"],
        "plan": row["plan"],
        "connection": row["connection"],
        "checkout_id": row["checkout_id"],
        "attribution": _ids(row),
        "dropped": list(row["dropped"]),
        "state": row["state"],
        "problem": row["problem"],
        "created_at": _iso(row["created_at"]),
    }


def _webhook(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "connection": row["connection"],
        "event_id": row["event_id"],
        "event_type": row["event_type"],
        "received_at": _iso(row["received_at"]),
        "seen": row["seen"],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "detail": row["detail"],
        "next_reading_at": _iso(row["due_at"]),
    }


def _revenue(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "connection": row["connection"],
        "key": row["revenue_key"],
        "kind": row["kind"],
        "payment_id": row["payment_id"],
        "order_id": row["order_id"],
        "subscription_id": row["subscription_id"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "attribution": _ids(row),
        "attribution_source": row["attribution_source"],
        "occurred_at": _iso(row["occurred_at"]),
        "test": row["test"],
        "source": row["source"],
    }


def _delivery(row: dict[str, Any], attempts: Sequence[dict[str, Any]], *, held: bool) -> dict[str, Any]:
    status = "held" if held and row["status"] == "pending" else row["status"]
    return {
        "connection": row["connection"],
        "key": row["revenue_key"],
        "status": status,
        "reason": row["reason"],
        "amount_minor": row["amount_minor"],
        "recorded_at": _iso(row["recorded_at"]),
        "next_attempt_at": _iso(row["due_at"]),
        "attempts": [
            {
                "at": _iso(attempt["started_at"]),
                "status_code": attempt["status_code"],
                "verdict": attempt["verdict"],
                "milliseconds": attempt["milliseconds"],
                "answer": attempt["answer"],
            }
            for attempt in attempts
        ],
    }
