"""
What the make-believe company sends, and what it means.

    {"id": "evt_1", "type": "payment.paid", "created": 1790000000, "live": true,
     "data": {"payment": "pay_1", "amount": 6500, "currency": "USD", "checkout": "chk_1", "subscription": null,
              "refund": null, "prices": ["price_1"], "metadata": {"order": "...", "visitor": "..."}}}
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import orjson

from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueEvent, RevenueKind, is_storable

# documentation page of a real company here
KINDS = {
    "payment.paid": RevenueKind.PURCHASE,
    "payment.renewed": RevenueKind.RENEWAL,
    "payment.refunded": RevenueKind.REFUND,
    "refund.reversed": RevenueKind.REFUND_REVERSAL,
}
NOT_FINAL = frozenset({"payment.pending", "payment.failed"})
KEY_WORDS = {RevenueKind.REFUND: "refund", RevenueKind.REFUND_REVERSAL: "reversal"}
MAX_ID = 256


def json_object(content: bytes) -> dict[str, Any]:
    """Return a JSON object; raise `Malformed` for anything else."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Malformed("the content is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise Malformed("the content is not a JSON object")
    return value


def names(body: bytes) -> tuple[str | None, str | None]:
    """Return the event's id and type as far as the body names them; never raises."""
    try:
        event = json_object(body)
    except Malformed:
        return None, None
    event_id, event_type = event.get("id"), event.get("type")
    return (
        event_id if isinstance(event_id, str) and is_storable(event_id) else None,
        event_type if isinstance(event_type, str) and is_storable(event_type) else None,
    )


def extract(body: bytes) -> Sequence[RevenueEvent] | Ignored:
    """Return the movement of money in an event; raise `Malformed` for signed nonsense."""
    event = json_object(body)
    event_type = event.get("type")
    if not isinstance(event_type, str):
        raise Malformed("the event has no type")
    if str(event.get("id", "")).startswith("sim_"):
        return Ignored("simulated")
    if event_type in NOT_FINAL:
        return Ignored("not_final")
    if event_type not in KINDS:
        return Ignored("not_revenue")
    return [_revenue(event, KINDS[event_type])]


def _revenue(event: Mapping[str, Any], kind: RevenueKind) -> RevenueEvent:
    data, created = event.get("data"), event.get("created")
    if not isinstance(data, dict) or type(created) is not int or not 0 < created < 10**11:
        raise Malformed("the event lacks its data or its time")
    currency = data.get("currency")

    def money(name: str) -> Money | None:
        return None if data.get(name) is None else Money(data[name], currency)  # type: ignore[arg-type]

    amount = money("amount")
    if amount is None:
        raise Malformed("the event has no amount")
    moved = data.get("refund") if kind in KEY_WORDS else data.get("payment")
    given = data.get("metadata")
    metadata = given if isinstance(given, dict) else {}
    prices = data.get("prices")
    return RevenueEvent(
        kind=kind,
        key=f"{KEY_WORDS.get(kind, 'payment')}:{moved or ''}",
        payment_id=data.get("payment"),  # type: ignore[arg-type]
        amount=amount,
        tax=money("tax"),
        net=money("net"),
        occurred_at=datetime.fromtimestamp(created, UTC),
        test=event.get("live") is False,
        reference=_id(metadata, "order"),
        checkout_id=data.get("checkout"),
        subscription_id=data.get("subscription"),
        account=event.get("account"),
        items=prices if isinstance(prices, list) else (),
        attribution=Attribution(
            visitor_id=_id(metadata, "visitor"), session_id=_id(metadata, "session"), token=_id(metadata, "token")
        ),
        cause=event.get("type"),
    )


def _id(metadata: Mapping[str, Any], name: str) -> str | None:
    """Return a metadata value that a browser may have set: anything odd is dropped, not refused."""
    value = metadata.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID and is_storable(value) else None


def metadata(reference: str, attribution: Attribution) -> dict[str, str]:
    """Return what travels inside a checkout; absent ids are left out."""
    values = {
        "order": reference,
        "visitor": attribution.visitor_id,
        "session": attribution.session_id,
        "token": attribution.token,
    }
    return {name: value for name, value in values.items() if value}


def sample(kind: RevenueKind, **what: Any) -> bytes:
    """Return the body of a webhook of this kind. Field names are those of `RevenueEvent`; the rest is invented."""
    amount: Money = what.get("amount", Money(4900, "USD"))
    occurred_at: datetime = what.get("occurred_at", datetime(2026, 9, 1, 12, tzinfo=UTC))
    types = {kind: name for name, kind in KINDS.items()}
    data = {
        "payment": what.get("payment_id", f"pay_{token_hex(6)}"),
        "refund": what.get("refund_id", f"ref_{token_hex(6)}") if kind in KEY_WORDS else None,
        "amount": amount.minor,
        "currency": amount.currency,
        "tax": what.get("tax"),
        "net": what.get("net"),
        "checkout": what.get("checkout_id"),
        "subscription": what.get("subscription_id"),
        "prices": list(what.get("items", ["price_sample1"])),
        "metadata": metadata(what.get("reference", ""), what.get("attribution", Attribution())),
    }
    simulated = "sim_" if what.get("simulated", True) else ""
    event = {
        "id": simulated + str(what.get("event_id", f"evt_{token_hex(6)}")),
        "type": what.get("event_type", types[kind]),
        "created": int(occurred_at.timestamp()),
        "live": what.get("live", True),
        "account": what.get("account"),
        "data": data,
    }
    return orjson.dumps(event)
