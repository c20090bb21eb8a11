"""Paddle's signature, checked by hand as its documentation says, and no more: the least that anybody can do."""

import hashlib
import hmac
import time

TOLERANCE_SECONDS = 60


def is_genuine(header: str, body: bytes, key: bytes) -> bool:
    """Return whether `key` signed `body` within the tolerance."""
    seconds, _, digest = header.partition(";h1=")
    stamp = seconds.removeprefix("ts=")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.digest(key, stamp.encode() + b":" + body, hashlib.sha256).hex()
    return hmac.compare_digest(expected, digest)
