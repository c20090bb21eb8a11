"""The webhook that all benches send: a genuine sale of Paddle, in pieces."""

from datetime import UTC, datetime

import orjson

from bench.bodies import ID
from gateway.sdk import Attribution, RevenueKind
from providers.paddle.stand_in.samples import sample


def template(at: datetime | None = None) -> list[bytes]:
    """Return a sale in pieces; between two of them comes the webhook's own id. 4 to 5 KB in all."""
    body = sample(
        RevenueKind.PURCHASE,
        now=at or datetime.now(UTC),
        simulated=False,
        event_id=f"evt_01{ID}",
        payment_id=f"txn_01{ID}",
        reference=f"ord-{ID}",
        attribution=Attribution(
            visitor_id="fv_5d1f7c1e-54be-4a52-9c39-visitor00001",
            session_id="fs_0f4b4f57-9f0e-4d5f-8a5b-session00001",
            token="eyJhbGciOiJIUzI1NiJ9.invented-attribution-token",
        ),
    )
    return _second_item(body).split(ID.encode())


def _second_item(body: bytes) -> bytes:
    """Return the sale with a second item: real bodies are that long."""
    event = orjson.loads(body)
    data = event["data"]
    for lines, own in ((data["items"], "price"), (data["details"]["line_items"], "product")):
        second = orjson.loads(orjson.dumps(lines[0]))
        second[own] |= {
            "id": second[own]["id"][:-6] + "second",
            "name": "Seats",
            "description": "A seat for one person",
        }
        lines.append(second)
    return orjson.dumps(event)
