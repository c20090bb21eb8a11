"""
Proving that a webhook came from Paddle: the header `Paddle-Signature: ts=1710498758;h1=<hex>`.

Signed are the time as sent, a colon and the body as received, with the whole secret string as the key
(https://developer.paddle.com/webhooks/about/signature-verification). Paddle documents *at least one* h1: during a
rotation there are several, and any of them may match any of our secrets. Everything here is pure and never raises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from gateway.sdk import Accepted, RefusalReason, Refused, TimestampedHmac, WebhookRequest, json_object, name_or_none

HEADER = "Paddle-Signature"

SCHEME = TimestampedHmac(header=HEADER, time_name="ts", signature_name="h1", separator=";", joint=":")


EDGE = 400
"""Bytes of a body in which the envelope's own members are looked for; the four of them take 200."""


@lru_cache
def scheme(tolerance_seconds: int) -> TimestampedHmac:
    """Return Paddle's scheme with a tolerance."""
    return replace(SCHEME, tolerance_seconds=tolerance_seconds)


def verify(request: WebhookRequest, secrets: Sequence[bytes], tolerance_seconds: int) -> Accepted | Refused:
    """Return whether one of `secrets` signed `request`, not more than `tolerance_seconds` from its arrival."""
    proven = scheme(tolerance_seconds).verify(request, [secret.decode() for secret in secrets])
    if isinstance(proven, Refused):
        wrong = proven.reason is RefusalReason.SIGNATURE_MISMATCH
        return replace(proven, detail=_mismatch(len(secrets))) if wrong else proven
    event = _envelope(request.body)
    return Accepted(
        proof="signature",
        event_id=name_or_none(event.get("event_id")),
        event_type=name_or_none(event.get("event_type")),
        secret_index=proven.secret_index,
    )


def _envelope(body: bytes) -> dict[str, Any]:
    """
    Return the members of an envelope; where `data` stands first or last, as it does, only those beside it.

    `data` is nearly all of a body, and to parse it here too would double the cost of the proof. A cut at a wrong place,
    in `data` or in a text, leaves what is no JSON object with these members, and then the whole body is parsed.
    """
    end = body.find(b',"data":{', 0, EDGE)
    start = body.rfind(b'},"', -EDGE) + len(b"},")
    beside = json_object(body[:end] + b"}" if end > 0 else b"{" + body[start:])
    return beside if "event_id" in beside and "event_type" in beside else json_object(body)


def sign(secret: bytes, body: bytes, at: datetime) -> Mapping[str, str]:
    """Return the header that Paddle would send with `body` at `at`."""
    return SCHEME.sign(body, at, secret.decode())


def _mismatch(secrets: int) -> str:
    known = "the secret" if secrets == 1 else f"any of the {secrets} secrets"
    return (
        f"the signature does not match {known} of this connection: compare webhook_secrets with the secret key of this "
        "very notification destination, and let nothing on the way change the body"
    )
