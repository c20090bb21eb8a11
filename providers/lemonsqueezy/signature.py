"""
Proving that a webhook came from Lemon Squeezy: `X-Signature`, the hex HMAC-SHA256 of the body as received.

Nothing else is signed (https://docs.lemonsqueezy.com/help/webhooks/signing-requests): no time, and no event id, so none
is named. The event's name is read from the signed body, not from the header `X-Event-Name`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.sdk import Accepted, BodyHmac, Refused, WebhookRequest, json_object, name_or_none

SCHEME = BodyHmac(header="X-Signature")


def verify(request: WebhookRequest, secrets: Sequence[str]) -> Accepted | Refused:
    """Return whether one of `secrets` signed the body. Never raises."""
    proven = SCHEME.verify(request, secrets)
    if isinstance(proven, Refused):
        return proven
    return Accepted(proof="signature", event_type=event_name(request.body), secret_index=proven.secret_index)


def sign(body: bytes, secret: str) -> Mapping[str, str]:
    """Return the headers with which Lemon Squeezy would send `body`."""
    name = event_name(body)
    return {**SCHEME.sign(body, secret), **({"X-Event-Name": name} if name else {})}


def event_name(body: bytes) -> str | None:
    """Return the event's name; None where there is none, which `extract` then complains about."""
    meta = json_object(body).get("meta")
    return name_or_none(meta.get("event_name")) if isinstance(meta, dict) else None
