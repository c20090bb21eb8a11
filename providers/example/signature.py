"""`X-Example-Signature: t=<unix seconds>,v1=<hex>`, where v1 is the HMAC-SHA256 of `t` + `.` + body."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.sdk import (
    RefusalReason,
    Refused,
    WebhookRequest,
    hmac_sha256,
    matching_secret,
    refused_by_age,
    unix_seconds,
)

HEADER = "X-Example-Signature"
MAX_HEADER = 1024


def verify(request: WebhookRequest, secrets: Sequence[bytes], tolerance_seconds: int) -> int | Refused:
    """Return the index of the secret that signed the request, or why it is refused. Never raises."""
    header = request.headers.get(HEADER)
    if not header:
        return Refused(reason=RefusalReason.HEADER_MISSING, detail=f"there is no {HEADER} header")
    parts = [part.strip().partition("=") for part in header[:MAX_HEADER].split(",")]
    times = [unix_seconds(value) for name, _, value in parts if name == "t"]
    given = [value.encode("utf-8", "surrogateescape") for name, _, value in parts if name == "v1"]
    if not given or not times or times[0] is None:
        return Refused(reason=RefusalReason.HEADER_MALFORMED, detail="the header is not t=<seconds>,v1=<hex>")
    stale = refused_by_age(times[0], request.received_at, tolerance_seconds)
    if stale:
        return stale
    index = matching_secret(secrets, f"{times[0]}.".encode() + request.body, given)
    if index is None:
        return Refused(reason=RefusalReason.SIGNATURE_MISMATCH, detail="no secret of this connection matches")
    return index


def sign(body: bytes, at: datetime, secret: bytes) -> Mapping[str, str]:
    """Return the header that proves `body` as of `at`."""
    seconds = int(at.timestamp())
    return {HEADER: f"t={seconds},v1={hmac_sha256(secret, f'{seconds}.'.encode() + body).hex()}"}
