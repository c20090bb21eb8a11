"""
Signature schemes that several providers share, each written once: a provider of such a scheme is a table and a reader.

    BodyHmac            one header with the HMAC-SHA256 of the body (Lemon Squeezy, Creem, Razorpay, Shopify, ...)
    TimestampedHmac     one header with a time and signatures of time and body (Stripe, Paddle, ...)
    StandardWebhooks    `webhook-id`, `webhook-timestamp`, `webhook-signature` (Polar, Dodo, ...)

All compare in constant time, try every secret, and answer garbage with `Refused` instead of an exception.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from gateway.domain.messages import RefusalReason, Refused, WebhookRequest
from gateway.domain.text import is_storable
from gateway.sdk.signature import MAX_SIGNATURES, hmac_sha256, matching_secret, refused_by_age, unix_seconds

MAX_HEADER = 4096
"""Characters of a signature header that are looked at; 16 signatures of the longest kind take under 2,000."""

MAX_PARTS = 32
"""Parts of a signature header between separators, known or not."""

ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": lambda digest: digest.hex().encode(),
    "base64": base64.b64encode,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A signature matched: which secret it was, and the message id where the scheme signs one."""

    secret_index: int
    message_id: str | None = None


def _missing(header: str) -> Refused:
    return Refused(reason=RefusalReason.HEADER_MISSING, detail=f"there is no {header} header")


def _malformed(detail: str) -> Refused:
    return Refused(reason=RefusalReason.HEADER_MALFORMED, detail=detail)


def _mismatch() -> Refused:
    return Refused(
        reason=RefusalReason.SIGNATURE_MISMATCH, detail="no secret of this connection makes this signature of this body"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHmac:
    """
    A header that holds the HMAC-SHA256 of the raw body under the secret's bytes.

    The scheme signs no time, so a recorded webhook can be sent again for ever; keys that name the movement of money
    make that harmless. `prefix` is what stands before the digest ("sha256=").
    """

    header: str
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""

    def verify(self, request: WebhookRequest, secrets: Sequence[str]) -> Proven | Refused:
        """Return which secret signed the body, or why the request is refused. Never raises."""
        value = request.headers.get(self.header)
        if not value:
            return _missing(self.header)
        text = value.strip()
        if not text.isascii() or len(text) > MAX_HEADER or not text.startswith(self.prefix):
            return _malformed(f"{self.header} is not {self.prefix}<{self.encoding} digest>")
        given = text.removeprefix(self.prefix)
        given = given.lower() if self.encoding == "hex" else given
        keys = [secret.encode() for secret in secrets]
        index = matching_secret(keys, request.body, [given.encode()], ENCODINGS[self.encoding])
        return _mismatch() if index is None else Proven(secret_index=index)

    def sign(self, body: bytes, secret: str) -> dict[str, str]:
        """Return the header that proves `body`."""
        digest = ENCODINGS[self.encoding](hmac_sha256(secret.encode(), body)).decode()
        return {self.header: self.prefix + digest}


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A readable header of `TimestampedHmac`: the time as sent and as a number, and the signatures."""

    time: str
    signed_at: int
    signatures: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampedHmac:
    """
    A header such as `t=1710498758,v1=<hex>,v1=<hex>`: HMAC-SHA256 of the time as sent, `joint` and the raw body.

    The key is the secret's own bytes. While a secret is rotated there are several signatures, and any of them may match
    any secret. Parts with other names are passed over.
    """

    header: str
    time_name: str = "t"
    signature_name: str = "v1"
    separator: str = ","
    joint: str = "."
    tolerance_seconds: int = 300

    def verify(self, request: WebhookRequest, secrets: Sequence[str]) -> Proven | Refused:
        """
        Return which secret signed the body, or why the request is refused. Never raises.

        The signature is looked at before the age, so that a time is only complained about when it is really the
        sender's.
        """
        found = self.parse(request.headers.getall(self.header, []))
        if isinstance(found, Refused):
            return found
        message = (found.time + self.joint).encode() + request.body
        index = matching_secret([secret.encode() for secret in secrets], message, found.signatures)
        stale = refused_by_age(found.signed_at, request.received_at, self.tolerance_seconds)
        if index is None:
            return replace(_mismatch(), seconds_off=stale.seconds_off if stale else None)
        return stale or Proven(secret_index=index)

    def parse(self, values: Sequence[str]) -> SignedHeader | Refused:
        """Return what the header's values say; a header or a time given twice is not readable."""
        if not values:
            return _missing(self.header)
        parts = values[0][: MAX_HEADER + 1].split(self.separator)
        if len(values) > 1 or len(values[0]) > MAX_HEADER or len(parts) > MAX_PARTS:
            limits = f"one header of at most {MAX_HEADER} characters and {MAX_PARTS} parts is read"
            return _malformed(f"{self.header} is not readable: {limits}")
        named: dict[str, list[str]] = {self.time_name: [], self.signature_name: []}
        for part in parts:
            name, _, value = part.partition("=")
            if (name := name.strip()) in named:
                named[name].append(value.strip())
        times = named[self.time_name]
        signatures = [signature for signature in named[self.signature_name] if signature]
        signed_at = unix_seconds(times[0]) if len(times) == 1 else None
        if signed_at is None:
            return _malformed(f"{self.header} is not readable: there must be one {self.time_name}=, in Unix seconds")
        if not 1 <= len(signatures) <= MAX_SIGNATURES:
            what = f"{len(signatures)} {self.signature_name}= signatures; 1 to {MAX_SIGNATURES} are read"
            return _malformed(f"{self.header} is not readable: {what}")
        encoded = [signature.encode("utf-8", "surrogatepass") for signature in signatures]
        return SignedHeader(time=times[0], signed_at=signed_at, signatures=encoded)

    def sign(self, body: bytes, at: datetime, secret: str) -> dict[str, str]:
        """Return the header that proves `body` as of `at`."""
        time = str(int(at.timestamp()))
        digest = hmac_sha256(secret.encode(), (time + self.joint).encode() + body).hex()
        return {self.header: f"{self.time_name}={time}{self.separator}{self.signature_name}={digest}"}


def decoded_secret(secret: str) -> bytes:
    """Return the key of plain Standard Webhooks: what follows `whsec_`, decoded; the secret's bytes if undecodable."""
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text, validate=True) or secret.encode()  # an empty key is everybody's
    except (binascii.Error, ValueError):
        return secret.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWebhooks:
    """
    https://github.com/standard-webhooks/standard-webhooks: HMAC-SHA256 of `id.timestamp.body`, several signatures.

    `key_of` makes the key of a secret: decoded base64 by the standard; Polar takes the whole secret's own bytes.
    `v1a` (Ed25519) and unknown versions are passed over.
    """

    key_of: Callable[[str], bytes] = decoded_secret
    tolerance_seconds: int = 300
    headers: tuple[str, str, str] = ("webhook-id", "webhook-timestamp", "webhook-signature")

    def verify(self, request: WebhookRequest, secrets: Sequence[str]) -> Proven | Refused:
        """Return which secret signed the message and the message's id, or why it is refused. Never raises."""
        values = [request.headers.get(name) for name in self.headers]
        for name, value in zip(self.headers, values, strict=True):
            if not value:
                return _missing(name)
        message_id, timestamp, signatures = (value or "" for value in values)
        seconds = unix_seconds(timestamp.strip())
        parts = signatures[:MAX_HEADER].encode("utf-8", "replace").split()
        given = [part[3:] for part in parts if part.startswith(b"v1,")]
        if seconds is None or not given or len(message_id) > MAX_HEADER or not is_storable(message_id):
            return _malformed("the headers are not an id, Unix seconds and v1,<base64 digest>")
        stale = refused_by_age(seconds, request.received_at, self.tolerance_seconds)
        if stale:
            return stale
        message = f"{message_id}.{timestamp.strip()}.".encode() + request.body
        index = matching_secret([self.key_of(secret) for secret in secrets], message, given, base64.b64encode)
        return _mismatch() if index is None else Proven(secret_index=index, message_id=message_id)

    def sign(self, body: bytes, at: datetime, message_id: str, secret: str) -> dict[str, str]:
        """Return the headers that prove `body` as of `at`."""
        seconds = int(at.timestamp())
        digest = hmac_sha256(self.key_of(secret), f"{message_id}.{seconds}.".encode() + body)
        values = (message_id, str(seconds), "v1," + base64.b64encode(digest).decode())
        return dict(zip(self.headers, values, strict=True))
