"""
The parts of a webhook signature that every scheme shares.

Official helpers of the providers raise on garbage, accept timestamps from next year or compare only the first secret;
these functions are small enough to read and do none of that.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.domain.messages import RefusalReason, Refused

MAX_SIGNATURES = 16
"""Signatures of one header that are compared; a header with more is somebody's attempt to make us hash."""

MAX_TIMESTAMP_DIGITS = 12
"""Digits of a Unix time in seconds until the year 33658; more would only make `int` slow."""


def hmac_sha256(secret: bytes, message: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA256 of `message`."""
    return hmac.digest(secret, message, hashlib.sha256)


def matching_secret(
    secrets: Sequence[bytes],
    message: bytes,
    given: Sequence[bytes],
    encode: Callable[[bytes], bytes] = lambda digest: digest.hex().encode(),
) -> int | None:
    """
    Return the index of the secret under which `message` has one of the `given` signatures; None if there is none.

    `encode` turns a digest into the form of `given`: lower-case hex by default. Every secret is compared with every
    signature in constant time, whatever matched before.
    """
    found = None
    for index, secret in enumerate(secrets):
        expected = encode(hmac_sha256(secret, message))
        for signature in given[:MAX_SIGNATURES]:
            if hmac.compare_digest(expected, signature) and found is None:
                found = index
    return found


def unix_seconds(text: str) -> int | None:
    """Return the Unix time that plain ASCII digits name; None for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_TIMESTAMP_DIGITS:
        return int(text)
    return None


def refused_by_age(signed_at: int, received_at: datetime, tolerance_seconds: int) -> Refused | None:
    """Return why a webhook signed at `signed_at` (Unix seconds) is too old or from the future; None if it is fresh."""
    seconds = round(received_at.timestamp()) - signed_at
    if abs(seconds) <= tolerance_seconds:
        return None
    reason = RefusalReason.TIMESTAMP_TOO_OLD if seconds > 0 else RefusalReason.TIMESTAMP_IN_FUTURE
    when = "ago" if seconds > 0 else "in the future"
    detail = f"signed {abs(seconds)} seconds {when}; {tolerance_seconds} are accepted: compare the clocks"
    return Refused(reason=reason, detail=detail, seconds_off=abs(seconds))
