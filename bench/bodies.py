"""Webhooks of Paddle, distinct and genuine: one sample, whose ids are exchanged without changing its length."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from gateway.sdk import Attribution, RevenueKind
from providers.paddle.stand_in.samples import sample

ID = "0123456789abcdefghjkmnpq"
"""What is exchanged: the 24 characters after `evt_01` and `txn_01`, and a part of the order id."""

RUN_CHARS = 8
SECRET = "pdl_ntfset_made_up_for_the_bench"  # noqa: S105 - invented
SIGNATURE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Target:
    """Where webhooks go and which secret signs them."""

    host: str
    port: int
    path: str
    secret: str = SECRET


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
        second[own] |= {"id": second[own]["id"][:-6] + "second", "name": "Seats", "description": "A seat for one person"}
        lines.append(second)
    return orjson.dumps(event)


def unique(run: str, number: int) -> str:
    """Return the id of a run's webhook: the run's name and the number, 24 characters."""
    return f"{run:0<{RUN_CHARS}.{RUN_CHARS}}{number:0{len(ID) - RUN_CHARS}d}"


class Requests:
    """Whole HTTP/1.1 requests for one target, signed for the second in which they are made."""

    def __init__(self, target: Target, run: str) -> None:
        self._pieces = template()
        self._run = run
        self._key = target.secret.encode()
        length = len(self.body(0))
        self._head = (
            f"POST {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUser-Agent: Paddle\r\n"
            f"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        ).encode()

    def body(self, number: int) -> bytes:
        """Return the body of one webhook."""
        return unique(self._run, number).encode().join(self._pieces)

    def __call__(self, number: int, second: int) -> bytes:
        """Return the request of one webhook, signed at a Unix time."""
        body = self.body(number)
        signature = hmac.digest(self._key, b"%d:%b" % (second, body), hashlib.sha256).hex().encode()
        return b"%bPaddle-Signature: ts=%d;h1=%b\r\n\r\n%b" % (self._head, second, signature, body)
