"""
Proving that a webhook came from Stripe: the header `Stripe-Signature: t=1710498758,v1=<hex>,v0=<hex>`.

Signed are the time as sent, a full stop and the body as received, with the whole secret string (`whsec_...`) as the key
(https://docs.stripe.com/webhooks#verify-manually). While a secret is rolled there are several v1, and any of them may
match any of our secrets; v0 is a fake scheme for tests. Everything here is pure and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gateway.sdk import Accepted, RefusalReason, Refused, TimestampedHmac, WebhookRequest, json_object, name_or_none

HEADER = "Stripe-Signature"

SCHEME = TimestampedHmac(header=HEADER)


def verify(request: WebhookRequest, secrets: Sequence[bytes], tolerance_seconds: int) -> Accepted | Refused:
    """Return whether one of `secrets` signed `request`, not more than `tolerance_seconds` from its arrival."""
    scheme = replace(SCHEME, tolerance_seconds=tolerance_seconds)
    proven = scheme.verify(request, [secret.decode() for secret in secrets])
    if isinstance(proven, Refused):
        wrong = proven.reason is RefusalReason.SIGNATURE_MISMATCH
        return replace(proven, detail=_mismatch(len(secrets))) if wrong else proven
    event = json_object(request.body)
    return Accepted(
        proof="signature",
        event_id=name_or_none(event.get("id")),
        event_type=name_or_none(event.get("type")),
        secret_index=proven.secret_index,
    )


def sign(secret: bytes, body: bytes, at: datetime) -> Mapping[str, str]:
    """Return the header that Stripe would send with `body` at `at`."""
    return SCHEME.sign(body, at, secret.decode())


def _mismatch(secrets: int) -> str:
    known = "the secret" if secrets == 1 else f"any of the {secrets} secrets"
    return (
        f"the signature does not match {known} of this connection: compare webhook_secrets with the signing secret of "
        "this very endpoint (every endpoint and every sandbox has its own), and let nothing on the way change the body"
    )
