"""
Webhooks of Paddle, distinct and genuine: one sample, whose ids are exchanged without changing its length.

The process that sends them imports only this, so that it starts at once.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

ID = "0123456789abcdefghjkmnpq"
"""What is exchanged: the 24 characters after `evt_01` and `txn_01`, and a part of the order id."""

RUN_CHARS = 8
SECRET = "pdl_ntfset_made_up_for_the_bench"
SIGNATURE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Target:
    """Where webhooks go and which secret signs them."""

    host: str
    port: int
    path: str
    secret: str = SECRET


def unique(run: str, number: int) -> str:
    """Return the id of a run's webhook: the run's name and the number, 24 characters."""
    return f"{run:0<{RUN_CHARS}.{RUN_CHARS}}{number:0{len(ID) - RUN_CHARS}d}"


class Requests:
    """Whole HTTP/1.1 requests for one target, signed for the second in which they are made."""

    def __init__(self, target: Target, run: str, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
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
