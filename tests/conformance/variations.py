"""More make-believe providers that keep every rule: other proofs, other bodies, and less than everything."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from gateway.sdk import (
    Accepted,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Malformed,
    Page,
    RefusalReason,
    Refused,
    RevenueEvent,
    RevenueKind,
    Unsupported,
    WebhookRequest,
)
from providers.example import ExamplePlugin, events, signature
from providers.example.provider import ExampleProvider


class Varied(ExampleProvider):
    """The company with one place where webhooks and listing are read, so that a fault there is in both."""

    def read(self, body: bytes, request: WebhookRequest | None) -> Sequence[RevenueEvent] | Ignored:
        return events.extract(body)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        return self.read(delivery.request.body, delivery.request)

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        answer = await self._call("GET", f"/events?since={int(since.timestamp())}", None, None)
        found: list[RevenueEvent] = []
        for event in answer.get("events", []):
            read = self.read(orjson.dumps(event), None)
            found.extend([] if isinstance(read, Ignored) else read)
        return Page(events=found)

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        page = await Varied.list_revenue(self, datetime(2000, 1, 1, tzinfo=UTC), None)
        return [event for event in page.events if event.checkout_id == checkout_id]


class Token(Varied):
    """A company that sends a shared token."""

    header = "X-Token"

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        given = request.headers.get(self.header, "").encode("utf-8", "surrogateescape")
        if not given.strip():
            return Refused(reason=RefusalReason.HEADER_MISSING, detail="there is no token")
        found = [index for index, secret in enumerate(self._secrets) if hmac.compare_digest(secret, given)]
        if not found:
            return Refused(reason=RefusalReason.SECRET_MISMATCH, detail="another token")
        event_id, event_type = events.names(request.body)
        return Accepted(proof="secret", event_id=event_id, event_type=event_type, secret_index=found[0])

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        return {self.header: self._secrets[0].decode()}


class SignedAddress(Varied):
    """A company that signs the address, the time and the body."""

    deliver_to = "https://pay.example.com/webhooks/acme/provider"

    def address(self, request: WebhookRequest) -> str:
        return request.url

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        inner = replace(request, body=self.address(request).encode() + request.body)
        verdict = super().verify(inner)
        if isinstance(verdict, Refused):
            return verdict
        event_id, event_type = events.names(request.body)
        return replace(verdict, event_id=event_id, event_type=event_type)

    def sign(self, body: bytes, at: datetime, url: str | None = None) -> Mapping[str, str]:
        return signature.sign((url or self.deliver_to).encode() + body, at, self._secrets[0])

    def stand_in(self, address: str, deliver_to: str, http: Any) -> Any:
        self.deliver_to = deliver_to
        return super().stand_in(address, deliver_to, http)


class Unsigned(Varied):
    """A company that signs nothing; its events are looked up."""

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        return Accepted(proof="none", event_type=events.names(request.body)[1])

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        named, event_type = events.names(delivery.request.body)
        if event_type not in {*events.KINDS, *events.NOT_FINAL}:
            return Ignored("not_revenue")
        answer = await self._call("GET", "/events", None, None)
        for event in answer.get("events", []):
            if named is not None and event["id"] == named:
                return self.read(orjson.dumps(event), None)
        raise Malformed("the company does not know this event")

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        return {}


class Bare:
    """A provider without a stand-in, that opens no checkouts and lists nothing."""

    def __init__(self, config: Any, runtime: Any) -> None:
        self._whole = Varied(config, runtime)

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        return self._whole.verify(request)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        return await self._whole.extract(delivery)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        raise Unsupported("checkouts are made in the browser")

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        raise Unsupported("there is no list")


class NoApi(Varied):
    """The company with a stand-in, but no calls of its API."""

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        raise Unsupported("checkouts are made in the browser")

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        raise Unsupported("there is no list")


class NoList(Varied):
    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        raise Unsupported("there is no list")


class FormBody(Varied):
    """A company that posts forms."""

    def read(self, body: bytes, request: WebhookRequest | None) -> Sequence[RevenueEvent] | Ignored:
        return events.extract(_json_of(body)) if request is not None else events.extract(body)

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        verdict = super().verify(request)
        if isinstance(verdict, Refused):
            return verdict
        fields = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        return replace(verdict, event_type=fields.get("type") or None, event_id=fields.get("id") or None)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        event = json.loads(super().sample(kind, **what))
        fields = {"id": event["id"], "type": event["type"], "created": event["created"]}
        return urlencode({**fields, "data": json.dumps(event["data"])}).encode()

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        return self.read(delivery.request.body, delivery.request)


def _json_of(body: bytes) -> bytes:
    fields = dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        data = json.loads(fields.get("data", "null"))
    except ValueError:
        raise Malformed("data is not JSON") from None
    created = int(fields["created"]) if fields.get("created", "").isdecimal() else None
    if not fields:
        raise Malformed("no form")
    return json.dumps({"id": fields.get("id"), "type": fields.get("type"), "created": created, "data": data}).encode()


def plugin_of(provider: Any, **attributes: Any) -> ExamplePlugin:
    """Return a plugin that opens this provider, with other attributes where they are given."""

    class Plugin(ExamplePlugin):
        def open(self, config: Any, runtime: Any) -> ExampleProvider:
            return provider(config, runtime)

    plugin = Plugin()
    for name, value in attributes.items():
        setattr(plugin, name, value)
    return plugin


def vector(headers: Mapping[str, str], body: str = "{}", url: str | None = None) -> str:
    """Return a recorded signature, as a file holds it."""
    now = int(datetime(2026, 9, 1, 12, tzinfo=UTC).timestamp())
    return json.dumps({"headers": dict(headers), "body": body, "url": url, "now": now, "expected": "accepted"})
