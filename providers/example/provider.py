"""One connection to the make-believe company: four methods, each handing its work to a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import orjson

from gateway.sdk import (
    Accepted,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Page,
    Refused,
    Rejected,
    RevenueEvent,
    RevenueKind,
    Runtime,
    Unavailable,
    WebhookRequest,
)
from providers.example import events, signature
from providers.example.config import ExampleConfig

if TYPE_CHECKING:
    from aiohttp import ClientSession, web


class ExampleProvider:
    """Implements `Provider`, `SupportsLookup` and `SupportsStandIn`."""

    def __init__(self, config: ExampleConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._secrets = tuple(secret.get_secret_value().encode() for secret in config.webhook_secrets)

    def verify(self, request: WebhookRequest) -> Accepted | Refused:
        """Compare the signature; name the event, if the signed body names one."""
        proven = signature.verify(request, self._secrets, self._config.tolerance_seconds)
        if isinstance(proven, Refused):
            return proven
        event_id, event_type = events.names(request.body)
        return Accepted(proof="signature", event_id=event_id, event_type=event_type, secret_index=proven)

    async def extract(self, delivery: Delivery) -> Sequence[RevenueEvent] | Ignored:
        """Read the money out of a signed body. Nothing needs to be fetched."""
        return events.extract(delivery.request.body)

    async def create_checkout(self, request: CheckoutRequest) -> Checkout:
        """Open a checkout; the company repeats `metadata` in every webhook of the payment."""
        body = {
            "items": [{"price": price, "quantity": quantity} for price, quantity in request.items],
            "amount": request.amount.minor if request.amount else None,
            "currency": request.amount.currency if request.amount else None,
            "metadata": events.metadata(request.reference, request.attribution),
            "success_url": request.success_url,
        }
        answer = await self._call("POST", "/checkouts", body, request.idempotency_key)
        try:
            return Checkout(url=answer["url"], checkout_id=answer["id"])
        except KeyError as missing:
            raise Rejected(f"the answer to a new checkout lacks {missing}") from missing

    async def list_revenue(self, since: datetime, cursor: str | None) -> Page:
        """Return a page of the company's own list of events, read with the same function as webhooks."""
        path = f"/events?since={int(since.timestamp())}" + (f"&after={quote(cursor, safe='')}" if cursor else "")
        answer = await self._call("GET", path, None, None)
        return Page(events=self._movements(answer), next_cursor=answer.get("next"))

    async def find(self, checkout_id: str) -> Sequence[RevenueEvent]:
        """Return the movements of one checkout: its buyer may have paid although no webhook came."""
        return self._movements(await self._call("GET", f"/events?checkout={quote(checkout_id, safe='')}", None, None))

    def _movements(self, answer: Mapping[str, Any]) -> list[RevenueEvent]:
        found: list[RevenueEvent] = []
        for event in answer.get("events", []):
            read = events.extract(orjson.dumps(event))
            if not isinstance(read, Ignored):
                found.extend(read)
        return found

    async def _call(self, method: str, path: str, body: Any, idempotency_key: str | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._config.api_key.get_secret_value()}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            async with self._runtime.http.request(
                method, self._config.base_url + path, json=body, headers=headers
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the example company does not answer ({type(error).__name__})") from error
        if response.status == 429 or response.status >= 500:
            raise Unavailable(f"the example company answered {response.status}")
        answer = events.json_object(content)
        if response.status >= 400:
            raise Rejected(str(answer.get("error", "refused")), code=answer.get("code"))
        return answer

    def stand_in(self, address: str, deliver_to: str, http: ClientSession) -> web.Application:
        """Return a local imitation of the company."""
        from providers.example.stand_in import stand_in

        return stand_in(self, address, deliver_to, http)

    def sample(self, kind: RevenueKind, **what: Any) -> bytes:
        """Return the body of a webhook; what is not given is invented."""
        return events.sample(kind, **what)

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """Return the headers that prove `body`."""
        return signature.sign(body, at, self._secrets[0])
