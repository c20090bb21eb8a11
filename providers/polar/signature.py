"""
Proving that a webhook came from Polar: Standard Webhooks, with one of two keys made of the endpoint's secret.

Secrets made before 8 September 2026 sign with the UTF-8 bytes of the whole string, prefix included. Younger ones follow
the standard: the key is what stands after `whsec_`, base64-decoded. The secret does not tell which it is, so both are
tried, as Polar's own SDK does (https://polar.sh/docs/integrate/webhooks/delivery, `webhooks.py` of polar-sdk 1.0.2,
`sign_webhook` in server/polar/webhook/tasks.py of polarsource/polar). The `webhook-id` is signed and stays the same
over retries: it is the event's id. Everything here is pure and never raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from gateway.sdk import (
    Accepted,
    Proven,
    RefusalReason,
    Refused,
    StandardWebhooks,
    WebhookRequest,
    decoded_secret,
    json_object,
    name_or_none,
)

PREFIX = "whsec_"

KEY_BYTES = 32
"""Of a secret that Polar generates for the standard's signature (server/polar/webhook/constants.py)."""


def standard_key(secret: str) -> bytes:
    """Return the standard's key; padding that got lost in copying is put back."""
    return decoded_secret(secret + "=" * (-len(secret.removeprefix(PREFIX)) % 4))


WHOLE_SECRET = StandardWebhooks(key_of=str.encode)
STANDARD = StandardWebhooks(key_of=standard_key)


def verify(request: WebhookRequest, secrets: Sequence[str], tolerance_seconds: int) -> Accepted | Refused:
    """Return whether one of `secrets` signed `request`, not more than `tolerance_seconds` from its arrival."""
    proven = replace(WHOLE_SECRET, tolerance_seconds=tolerance_seconds).verify(request, secrets)
    if isinstance(proven, Refused) and proven.reason is RefusalReason.SIGNATURE_MISMATCH:
        proven = replace(STANDARD, tolerance_seconds=tolerance_seconds).verify(request, secrets)
    if isinstance(proven, Refused):
        return proven if proven.reason is not RefusalReason.SIGNATURE_MISMATCH else _mismatch(len(secrets))
    return _accepted(proven, request.body)


def sign(secret: str, body: bytes, at: datetime, message_id: str | None = None) -> Mapping[str, str]:
    """
    Return the headers with which Polar would send `body` at `at`.

    Without a `message_id` it follows from the body, so that the same body is the same event however often it is sent.
    """
    name = message_id or str(UUID(bytes=hashlib.sha256(body).digest()[:16], version=4))
    scheme = STANDARD if is_standard(secret) else WHOLE_SECRET
    return scheme.sign(body, at, name, secret)


def is_standard(secret: str) -> bool:
    """Say whether Polar generated the secret for the standard's signature: `whsec_` and 32 bytes in base64."""
    return secret.startswith(PREFIX) and len(standard_key(secret)) == KEY_BYTES


def _accepted(proven: Proven, body: bytes) -> Accepted:
    return Accepted(
        proof="signature",
        event_id=proven.message_id,
        event_type=name_or_none(json_object(body).get("type")),
        secret_index=proven.secret_index,
    )


def _mismatch(secrets: int) -> Refused:
    known = "the secret" if secrets == 1 else f"any of the {secrets} secrets"
    return Refused(
        reason=RefusalReason.SIGNATURE_MISMATCH,
        detail=f"the signature does not match {known} of this connection: compare webhook_secrets with the secret of "
        "this very webhook endpoint, and let nothing on the way change the body",
    )
