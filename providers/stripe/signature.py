"""
Proving that a webhook came from Stripe: the header `Stripe-Signature: t=1710498758,v1=<hex>,v0=<hex>`.

Signed are the time as sent, a full stop and the body as received, with the whole secret string (`whsec_...`) as the key
(https://docs.stripe.com/webhooks#verify-manually). While a secret is rolled there are several v1, and any of them may
match any of our secrets; v0 is a fake scheme for tests. Everything here is pure and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from gateway.sdk import (
    Accepted,
    RefusalReason,
    Refused,
    WebhookRequest,
    hmac_sha256,
    matching_secret,
    refused_by_age,
    unix_seconds,
)

HEADER = "Stripe-Signature"

MAX_HEADER = 4096
"""Characters. One signature takes 81, sixteen take 1,100."""

MAX_SIGNATURES = 16
"""The number that `matching_secret` compares; a header with more is refused rather than half read."""

MAX_PARTS = 32
"""Parts between commas, known or not."""

MAX_NAME = 255
"""Characters of an event id or type; Stripe's have under 60."""


@dataclass(frozen=True, slots=True)
class SignatureHeader:
    """A readable header: the time as sent and as a number, and the v1 signatures."""

    time: str
    signed_at: int
    signatures: Sequence[bytes]


def verify(request: WebhookRequest, secrets: Sequence[bytes], tolerance_seconds: int) -> Accepted | Refused:
    """
    Return whether one of `secrets` signed `request`, not more than `tolerance_seconds` from its arrival.

    The signature is looked at before the age, so that a timestamp is only complained about when it is really Stripe's.
    """
    header = parse_header(request.headers.getall(HEADER, []))
    if isinstance(header, Refused):
        return header
    index = matching_secret(secrets, header.time.encode() + b"." + request.body, header.signatures)
    if index is None:
        return Refused(reason=RefusalReason.SIGNATURE_MISMATCH, detail=_mismatch(len(secrets)))
    stale = refused_by_age(header.signed_at, request.received_at, tolerance_seconds)
    if stale is not None:
        return stale
    event_id, event_type = _names(request.body)
    return Accepted(proof="signature", event_id=event_id, event_type=event_type, secret_index=index)


def parse_header(values: Sequence[str]) -> SignatureHeader | Refused:
    """Return what the header says; parts other than `t` and `v1` are passed over, a second `t` is not readable."""
    if not values:
        detail = f"no {HEADER} header: is this really Stripe calling?"
        return Refused(reason=RefusalReason.HEADER_MISSING, detail=detail)
    if len(values) > 1:
        return _malformed(f"{len(values)} {HEADER} headers instead of one")
    if len(values[0]) > MAX_HEADER:
        return _malformed(f"{len(values[0])} characters; at most {MAX_HEADER} are read")
    parts = values[0].split(",")
    if len(parts) > MAX_PARTS:
        return _malformed(f"{len(parts)} parts; at most {MAX_PARTS} are read")
    named = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in parts)]
    times = [value for name, value in named if name == "t"]
    signatures = [value for name, value in named if name == "v1" and value]
    signed_at = unix_seconds(times[0]) if len(times) == 1 else None
    if signed_at is None:
        return _malformed("there must be one t=, a Unix time in seconds")
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        return _malformed(f"{len(signatures)} v1= signatures; 1 to {MAX_SIGNATURES} are read")
    encoded = [signature.encode("utf-8", "surrogatepass") for signature in signatures]
    return SignatureHeader(time=times[0], signed_at=signed_at, signatures=encoded)


def sign(secret: bytes, body: bytes, at: datetime) -> Mapping[str, str]:
    """Return the header that Stripe would send with `body` at `at`."""
    time = str(int(at.timestamp()))
    return {HEADER: f"t={time},v1={hmac_sha256(secret, time.encode() + b'.' + body).hex()}"}


def _names(body: bytes) -> tuple[str | None, str | None]:
    """Return the event id and type of a signed body; None where there is none, which `extract` then complains about."""
    try:
        event = orjson.loads(body)
    except ValueError:
        return None, None
    return (_clean(event.get("id")), _clean(event.get("type"))) if isinstance(event, dict) else (None, None)


def _clean(value: object) -> str | None:
    usable = isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and value == value.strip()
    return value if isinstance(value, str) and usable else None


def _malformed(what: str) -> Refused:
    return Refused(reason=RefusalReason.HEADER_MALFORMED, detail=f"{HEADER} is not readable: {what}")


def _mismatch(secrets: int) -> str:
    known = "the secret" if secrets == 1 else f"any of the {secrets} secrets"
    return (
        f"the signature does not match {known} of this connection: compare webhook_secrets with the signing secret of "
        "this very endpoint (every endpoint and every sandbox has its own), and let nothing on the way change the body"
    )
