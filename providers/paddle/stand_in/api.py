"""The part of Paddle's REST API that the plugin uses, with Paddle's answers and errors."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web
from yarl import URL

from gateway.sdk import Malformed, Money
from providers.paddle.events import ADJUSTMENT_EVENTS, TRANSACTION_EVENTS, instant
from providers.paddle.stand_in.objects import Entity, Item, Price
from providers.paddle.stand_in.seller import Event
from providers.paddle.stand_in.state import API_KEY, SELLER, STORIES

Handler = Callable[[web.Request], Awaitable[web.Response]]

MAX_PER_PAGE = 200
RETRY_AFTER = "7"


def routes() -> Sequence[web.RouteDef]:
    """Return what is served under Paddle's own addresses."""
    return [
        web.post("/transactions", guarded(create_transaction)),
        web.get("/transactions", guarded(list_transactions)),
        web.get("/transactions/{id}", guarded(get_transaction)),
        web.get("/adjustments", guarded(list_adjustments)),
        web.get("/events", guarded(list_events)),
        web.get("/event-types", guarded(list_event_types)),
    ]


class ApiError(Exception):
    """An answer in Paddle's error form."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def guarded(handler: Handler) -> Handler:
    """Ask for the key first and give errors Paddle's form."""

    async def call(request: web.Request) -> web.Response:
        try:
            _check_key(request)
            _check_planned_failure(request)
            return await handler(request)
        except ApiError as error:
            return _refusal(error)

    return call


async def create_transaction(request: web.Request) -> web.Response:
    """POST /transactions: 201 with a draft and the address of its checkout."""
    seller = request.app[SELLER]
    body = _json_object(await request.read())
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= 100:
        raise ApiError(400, "bad_request", "items must have between 1 and 100 items")
    wanted = [_item(request, item) for item in items]
    custom_data = body.get("custom_data")
    if custom_data is not None and (not isinstance(custom_data, dict) or not custom_data):
        raise ApiError(400, "bad_request", "custom_data must be an object with at least one key")
    if not seller.settings.default_payment_link:
        raise ApiError(400, "transaction_default_checkout_url_not_set", "set a default payment link first")
    made = seller.open_transaction(wanted, custom_data)
    answer = _answer({"data": made}, 201)
    stories = request.app[STORIES]
    stories.deliveries.start(stories.happen("transaction.created", made))
    return answer


async def get_transaction(request: web.Request) -> web.Response:
    """GET /transactions/{id}."""
    found = request.app[SELLER].transactions.get(request.match_info["id"])
    if found is None:
        raise ApiError(404, "entity_not_found", "no such transaction")
    return _answer({"data": found})


async def list_transactions(request: web.Request) -> web.Response:
    """GET /transactions, newest first."""
    found = list(reversed(request.app[SELLER].transactions.values()))
    return _page(request, found, [entity["id"] for entity in found])


async def list_adjustments(request: web.Request) -> web.Response:
    """GET /adjustments with `transaction_id`, newest first."""
    asked = request.query.get("transaction_id")
    found = [
        entity
        for entity in reversed(request.app[SELLER].adjustments.values())
        if asked is None or entity["transaction_id"] in asked.split(",")
    ]
    return _page(request, found, [entity["id"] for entity in found])


async def list_events(request: web.Request) -> web.Response:
    """GET /events with `event_type`, `from`, `to`, `order_by`, `per_page` and `after`."""
    found = [event for event in request.app[SELLER].events if _wanted(event, request)]
    if request.query.get("order_by", "id[ASC]").upper() == "ID[DESC]":
        found.reverse()
    return _page(request, [event.envelope() for event in found], [event.id for event in found])


async def list_event_types(_request: web.Request) -> web.Response:
    """GET /event-types, those that the plugin knows."""
    names = sorted(TRANSACTION_EVENTS | ADJUSTMENT_EVENTS)
    groups = [{"name": name, "group": name.partition(".")[0].title(), "available_versions": [1]} for name in names]
    return _answer({"data": groups})


def _check_key(request: web.Request) -> None:
    given = request.headers.get("Authorization")
    if not given:
        raise ApiError(403, "authentication_missing", "no Authorization header")
    expected = f"Bearer {request.app[API_KEY].get_secret_value()}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        raise ApiError(403, "invalid_token", "this is not the key of the stand-in")


def _check_planned_failure(request: web.Request) -> None:
    status = request.app[SELLER].settings.api_failure()
    if status is not None:
        raise ApiError(status, "too_many_requests" if status == 429 else "internal_error", "asked to fail")


def _item(request: web.Request, item: Any) -> Item:
    if not isinstance(item, dict):
        raise ApiError(400, "bad_request", "an item must be an object")
    quantity = item.get("quantity")
    if type(quantity) is not int or not 1 <= quantity <= 999_999:
        raise ApiError(400, "bad_request", "quantity must be a whole number from 1")
    price_id = item.get("price_id")
    if isinstance(price_id, str) and price_id:
        return Item(price=request.app[SELLER].price(price_id), quantity=quantity)
    return Item(price=_inline_price(item.get("price")), quantity=quantity)


def _inline_price(price: Any) -> Price:
    try:
        unit, name = price["unit_price"], str(price.get("name") or price["description"])
        amount = Money(int(unit["amount"]), unit["currency_code"])
    except (TypeError, KeyError, ValueError, AttributeError, Malformed):
        raise ApiError(400, "bad_request", "an item needs a price_id or a whole price") from None
    return Price(
        id="pri_01standin0000000000000inline",
        amount=amount.minor,
        currency=amount.currency,
        name=name,
        recurring=bool(price.get("billing_cycle")),
    )


def _wanted(event: Event, request: web.Request) -> bool:
    types = request.query.get("event_type")
    if types and event.type not in types.split(","):
        return False
    since, until = _time(request, "from"), _time(request, "to")
    return (since is None or since <= event.occurred_at) and (until is None or event.occurred_at <= until)


def _time(request: web.Request, name: str) -> datetime | None:
    try:
        return instant(request.query[name]) if name in request.query else None
    except Malformed:
        raise ApiError(400, "bad_request", f"{name} is not an RFC 3339 time") from None


def _page(request: web.Request, rows: Sequence[Entity], ids: Sequence[str]) -> web.Response:
    asked = request.query.get("per_page", "50")
    if not (asked.isascii() and asked.isdigit()):
        raise ApiError(400, "bad_request", "per_page must be a number")
    size = max(1, min(int(asked[:6]), MAX_PER_PAGE))
    after = request.query.get("after")
    if after is not None and after not in ids:
        raise ApiError(400, "bad_request", "after names nothing in this list")
    begin = 0 if after is None else ids.index(after) + 1
    page = rows[begin : begin + size]
    last = ids[begin + len(page) - 1] if page else after or ""
    pagination = {
        "per_page": size,
        "estimated_total": len(rows),
        "has_more": begin + size < len(rows),
        "next": str(URL(request.app[SELLER].address + request.path).with_query({**request.query, "after": last})),
    }
    return _answer({"data": page}, pagination=pagination)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_json", "the body is not a JSON object")
    return found


def _answer(content: dict[str, Any], status: int = 200, **meta: Any) -> web.Response:
    name = str(uuid.uuid4())
    body = orjson.dumps({**content, "meta": {"request_id": name, **meta}})
    return web.Response(body=body, status=status, content_type="application/json", headers={"Request-Id": name})


def _refusal(error: ApiError) -> web.Response:
    kind = "api_error" if error.status >= 500 else "request_error"
    link = f"https://developer.paddle.com/errors/shared/{error.code}"
    details = {"type": kind, "code": error.code, "detail": error.detail, "documentation_url": link}
    answer = _answer({"error": details}, error.status)
    if error.status == 429:
        answer.headers["Retry-After"] = RETRY_AFTER
    return answer
