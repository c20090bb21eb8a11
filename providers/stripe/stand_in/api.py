"""The part of Stripe's REST API that the plugin uses, with Stripe's answers and errors."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from gateway.sdk import Malformed
from providers.stripe.money import money
from providers.stripe.stand_in.objects import Entity, Item, Price, line_item
from providers.stripe.stand_in.seller import Event
from providers.stripe.stand_in.state import API_KEY, SELLER

Handler = Callable[[web.Request], Awaitable[web.Response]]

PRICE_ID = re.compile(r"[A-Za-z0-9_]{1,200}", re.ASCII)


def routes() -> Sequence[web.RouteDef]:
    """Return what is served under Stripe's own addresses."""
    return [
        web.post("/v1/checkout/sessions", guarded(create_session)),
        web.get("/v1/checkout/sessions", guarded(list_sessions)),
        web.get("/v1/checkout/sessions/{id}", guarded(get_session)),
        web.get("/v1/checkout/sessions/{id}/line_items", guarded(list_line_items)),
        web.get("/v1/invoice_payments", guarded(list_invoice_payments)),
        web.get("/v1/invoices/{id}", guarded(get_invoice)),
        web.get("/v1/invoices/{id}/lines", guarded(list_invoice_lines)),
        web.get("/v1/prices/{id}", guarded(get_price)),
        web.get("/v1/events", guarded(list_events)),
    ]


class ApiError(Exception):
    """An answer in Stripe's error form."""

    def __init__(
        self, status: int, code: str | None, message: str, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.kind = status, code, message, param, kind


def guarded(handler: Handler) -> Handler:
    """Ask for the key first and give errors Stripe's form."""

    async def call(request: web.Request) -> web.Response:
        try:
            _check_key(request)
            _check_planned_failure(request)
            return await handler(request)
        except ApiError as error:
            details = {"type": error.kind, "code": error.code, "message": error.message, "param": error.param}
            return _answer({"error": {name: value for name, value in details.items() if value}}, error.status)

    return call


async def create_session(request: web.Request) -> web.Response:
    """POST /v1/checkout/sessions: the same key and body give the same session."""
    seller = request.app[SELLER]
    body, key = await request.read(), request.headers.get("Idempotency-Key", "")
    if key in seller.answered:
        known, answer = seller.answered[key]
        if known != body:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            raise ApiError(400, None, message, kind="idempotency_error")
        return _answer(orjson.loads(answer), replayed=True)
    made = _session(request, nested(body))
    if key:
        seller.answered[key] = (body, orjson.dumps(made))
    return _answer(made)


async def get_session(request: web.Request) -> web.Response:
    """GET /v1/checkout/sessions/{id}."""
    return _answer(_known(request, request.app[SELLER].sessions, "checkout session"))


async def list_sessions(request: web.Request) -> web.Response:
    """GET /v1/checkout/sessions with `subscription` and `payment_intent`, newest first."""
    found = list(reversed(request.app[SELLER].sessions.values()))
    for name in ("subscription", "payment_intent"):
        if name in request.query:
            found = [row for row in found if row[name] == request.query[name]]
    return _page(request, found)


async def list_line_items(request: web.Request) -> web.Response:
    """GET /v1/checkout/sessions/{id}/line_items."""
    sale = _known(request, request.app[SELLER].sessions, "checkout session")
    return _page(request, [line_item(item) for item in request.app[SELLER].items[sale["id"]]])


async def list_invoice_payments(request: web.Request) -> web.Response:
    """GET /v1/invoice_payments with `invoice`."""
    found = request.app[SELLER].invoice_payments
    if "invoice" in request.query:
        found = [row for row in found if row["invoice"] == request.query["invoice"]]
    return _page(request, found)


async def get_invoice(request: web.Request) -> web.Response:
    """GET /v1/invoices/{id}."""
    return _answer(_known(request, request.app[SELLER].invoices, "invoice"))


async def list_invoice_lines(request: web.Request) -> web.Response:
    """GET /v1/invoices/{id}/lines."""
    return _page(request, _known(request, request.app[SELLER].invoices, "invoice")["lines"]["data"])


async def get_price(request: web.Request) -> web.Response:
    """GET /v1/prices/{id}: there is a price for every id."""
    if not PRICE_ID.fullmatch(request.match_info["id"]):
        raise ApiError(404, "resource_missing", f"No such price: '{request.match_info['id']}'", "price")
    return _answer(request.app[SELLER].price(request.match_info["id"]).entity())


async def list_events(request: web.Request) -> web.Response:
    """GET /v1/events with `types[]` and `created[gte]`, newest first."""
    types, since = request.query.getall("types[]", []), request.query.get("created[gte]", "0")
    if len(types) > 20 or not since.isascii() or not since.isdigit():
        raise ApiError(400, "parameter_invalid_integer", "at most 20 types, and created[gte] a Unix time", "types")

    def is_wanted(event: Event) -> bool:
        return (not types or event.type in types) and event.at.timestamp() >= int(since)

    found = [event.envelope() for event in reversed(request.app[SELLER].events) if is_wanted(event)]
    return _page(request, found)


def nested(body: bytes) -> dict[str, Any]:
    """Return a form with nested brackets as dictionaries: `a[b][0]=c` is `{"a": {"b": {"0": "c"}}}`."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        *above, last = [part.rstrip("]") for part in name.split("[")]
        place = found
        for part in above:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ApiError(400, "parameter_invalid", "a parameter is both a value and an object", name)
            place = inner
        place[last] = value
    return found


def _session(request: web.Request, form: Mapping[str, Any]) -> Entity:
    mode = form.get("mode")
    if mode not in ("payment", "subscription"):
        raise ApiError(400, None, "You must provide a mode of `payment` or `subscription`.", "mode")
    if not form.get("success_url"):
        raise ApiError(400, "parameter_missing", "Missing required param: success_url.", "success_url")
    rows = form.get("line_items")
    if not isinstance(rows, dict) or not rows:
        raise ApiError(400, "parameter_missing", "Missing required param: line_items.", "line_items")
    items = [_item(request, row) for row in rows.values()]
    recurs = any(item.price.recurring for item in items)
    if recurs and mode == "payment":
        raise ApiError(400, None, "You specified `payment` mode but passed a recurring price.", "mode")
    if not recurs and mode == "subscription":
        raise ApiError(400, None, "You must provide at least one recurring price in `subscription` mode.", "mode")
    _check_metadata(form.get("metadata"))
    return request.app[SELLER].open_session(items, mode, form)


def _item(request: web.Request, row: Any) -> Item:
    quantity = row.get("quantity", "1") if isinstance(row, dict) else ""
    if not (quantity.isascii() and quantity.isdigit() and 1 <= len(quantity) <= 6 and int(quantity) >= 1):
        raise ApiError(400, "parameter_invalid_integer", "Invalid integer", "line_items[0][quantity]")
    price = row.get("price")
    if isinstance(price, str) and PRICE_ID.fullmatch(price):
        return Item(price=request.app[SELLER].price(price), quantity=int(quantity))
    return Item(price=_inline_price(row.get("price_data")), quantity=int(quantity))


def _inline_price(data: Any) -> Price:
    try:
        amount, currency, name = int(data["unit_amount"]), data["currency"], str(data["product_data"]["name"])
        money(amount, currency)
    except (TypeError, KeyError, ValueError, Malformed):
        raise ApiError(400, "resource_missing", "No such price", "line_items[0][price]") from None
    return Price(id="price_standininline0001", amount=amount, currency=currency, name=name, recurring=False)


def _check_metadata(metadata: Any) -> None:
    """https://docs.stripe.com/metadata#data: 50 keys of 40 characters with values of 500."""
    rows = metadata.items() if isinstance(metadata, dict) else ()
    if len(rows) > 50 or any(len(key) > 40 or len(str(value)) > 500 for key, value in rows):
        raise ApiError(400, None, "Metadata holds up to 50 keys of 40 characters with values of 500.", "metadata")


def _check_key(request: web.Request) -> None:
    given = request.headers.get("Authorization", "")
    expected = f"Bearer {request.app[API_KEY].get_secret_value()}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        raise ApiError(401, None, "Invalid API Key provided: this is not the key of the stand-in")


def _check_planned_failure(request: web.Request) -> None:
    status = request.app[SELLER].settings.api_failure()
    if status is not None:
        raise ApiError(status, "rate_limit" if status == 429 else None, "asked to fail", kind="api_error")


def _known(request: web.Request, entities: Mapping[str, Entity], noun: str) -> Entity:
    name = request.match_info["id"]
    if name not in entities:
        raise ApiError(404, "resource_missing", f"No such {noun}: '{name}'", "id")
    return entities[name]


def _page(request: web.Request, rows: Sequence[Entity]) -> web.Response:
    asked = request.query.get("limit", "10")
    if not (asked.isascii() and asked.isdigit() and len(asked) < 4 and 1 <= int(asked) <= 100):
        raise ApiError(400, "parameter_invalid_integer", "limit must be between 1 and 100", "limit")
    after, ids = request.query.get("starting_after"), [row["id"] for row in rows]
    if after is not None and after not in ids:
        raise ApiError(400, "resource_missing", f"No such object: '{after}'", "starting_after")
    begin = 0 if after is None else ids.index(after) + 1
    page = rows[begin : begin + int(asked)]
    has_more = begin + len(page) < len(rows)
    return _answer({"object": "list", "data": page, "has_more": has_more, "url": request.path})


def _answer(content: Mapping[str, Any], status: int = 200, *, replayed: bool = False) -> web.Response:
    headers = {"Request-Id": f"req_{secrets.token_hex(7)}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json", headers=headers)
