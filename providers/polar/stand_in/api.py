"""The part of Polar's REST API that the plugin uses, with Polar's answers and errors."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from gateway.sdk import Malformed
from providers.polar.events import instant
from providers.polar.stand_in.state import SELLER, STORIES, TOKEN
from providers.polar.stand_in.wire import Entity

Handler = Callable[[web.Request], Awaitable[web.Response]]

MAX_LIMIT = 100
RETRY_AFTER = "7"

MAX_METADATA = (50, 40, 500)


def routes() -> Sequence[web.RouteDef]:
    """Return what is served under Polar's own addresses."""
    return [
        web.post("/v1/checkouts/", guarded(create_checkout)),
        web.get("/v1/checkouts/{id}", guarded(get_checkout)),
        web.get("/v1/orders/", guarded(list_orders)),
        web.get("/v1/refunds/", guarded(list_refunds)),
    ]


class ApiError(Exception):
    """An answer in Polar's error form; a list of faults for a refused body."""

    def __init__(self, status: int, error: str, detail: Any) -> None:
        super().__init__(error)
        self.status, self.error, self.detail = status, error, detail


def guarded(handler: Handler) -> Handler:
    """Ask for the token first and give errors Polar's form."""

    async def call(request: web.Request) -> web.Response:
        try:
            _check_token(request)
            _check_planned_failure(request)
            return await handler(request)
        except ApiError as error:
            return _refusal(error)

    return call


async def create_checkout(request: web.Request) -> web.Response:
    """POST /v1/checkouts/: 201 with an open checkout and the address of its page."""
    asked = _json_object(await request.read())
    products = asked.get("products")
    if not isinstance(products, list) or not products or not all(isinstance(one, str) and one for one in products):
        raise _fault("products", "Input should be a list of product ids")
    for name in ("seats", "units"):
        if asked.get(name) is not None and (type(asked[name]) is not int or not 1 <= asked[name] <= 1000):
            raise _fault(name, "Input should be between 1 and 1000")
    for name in ("success_url", "return_url", "customer_email", "customer_ip_address"):
        if asked.get(name) is not None and not isinstance(asked[name], str):
            raise _fault(name, "Input should be a valid string")
    _check_metadata(asked.get("metadata"))
    made = request.app[SELLER].open_checkout(asked, products[0])
    request.app[STORIES].happen("checkout.created", made)
    return _answer(made, 201)


async def get_checkout(request: web.Request) -> web.Response:
    """GET /v1/checkouts/{id}."""
    found = request.app[SELLER].checkouts.get(request.match_info["id"])
    if found is None:
        raise ApiError(404, "ResourceNotFound", "Not found")
    return _answer(found)


async def list_orders(request: web.Request) -> web.Response:
    """GET /v1/orders/ with `created_after`, `checkout_id`, `sorting`, `page` and `limit`."""
    after, checkout = _time(request, "created_after"), request.query.get("checkout_id")
    found = [
        order
        for order in request.app[SELLER].orders.values()
        if (after is None or instant(order["created_at"]) > after) and checkout in (None, order["checkout_id"])
    ]
    return _page(request, found)


async def list_refunds(request: web.Request) -> web.Response:
    """GET /v1/refunds/ with `order_id`, `sorting`, `page` and `limit`; Polar has no date filter here."""
    order = request.query.get("order_id")
    found = [refund for refund in request.app[SELLER].refunds.values() if order in (None, refund["order_id"])]
    return _page(request, found)


def _check_token(request: web.Request) -> None:
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(given, f"Bearer {request.app[TOKEN].get_secret_value()}".encode()):
        raise ApiError(401, "invalid_token", "The access token provided is expired, revoked, malformed, or invalid.")


def _check_planned_failure(request: web.Request) -> None:
    status = request.app[SELLER].settings.api_failure()
    if status is not None:
        raise ApiError(status, "AskedToFail", "asked to fail")


def _check_metadata(metadata: Any) -> None:
    keys, key_chars, value_chars = MAX_METADATA
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > keys:
        raise _fault("metadata", f"Dictionary should have at most {keys} items")
    for key, value in metadata.items():
        if len(key) > key_chars or not isinstance(value, (str, int, float)):
            raise _fault("metadata", f"A key may have {key_chars} characters, a value is text, a number or a boolean")
        if isinstance(value, str) and not 1 <= len(value) <= value_chars:
            raise _fault("metadata", f"String should have 1 to {value_chars} characters")


def _time(request: web.Request, name: str) -> datetime | None:
    try:
        return instant(request.query[name]) if name in request.query else None
    except Malformed:
        raise _fault(name, "Input should be a valid datetime", "query") from None


def _number(request: web.Request, name: str, default: int) -> int:
    asked = request.query.get(name, str(default))
    if not (asked.isascii() and asked.isdigit()) or int(asked[:9]) < 1:
        raise _fault(name, "Input should be greater than 0", "query")
    return int(asked[:9])


def _page(request: web.Request, found: list[Entity]) -> web.Response:
    sorting = request.query.get("sorting", "-created_at")
    if sorting not in ("created_at", "-created_at"):
        raise _fault("sorting", "Input should be 'created_at' or '-created_at'", "query")
    rows = sorted(found, key=lambda entity: str(entity["created_at"]), reverse=sorting.startswith("-"))
    number, limit = _number(request, "page", 1), min(_number(request, "limit", 10), MAX_LIMIT)
    page = rows[(number - 1) * limit : number * limit]
    total = len(rows) if page else 0  # Polar counts with the rows that it returns
    return _answer({"items": page, "pagination": {"total_count": total, "max_page": -(-total // limit)}})


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(422, "RequestValidationError", [{"loc": ["body"], "msg": "JSON decode error", "type": "json"}])
    return found


def _fault(name: str, message: str, where: str = "body") -> ApiError:
    fault = {"loc": [where, name], "msg": message, "type": "value_error"}
    return ApiError(422, "RequestValidationError", [fault])


def _answer(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _refusal(error: ApiError) -> web.Response:
    words = "error_description" if error.status == 401 else "detail"
    answer = _answer({"error": error.error, words: error.detail}, error.status)
    if error.status == 429:
        answer.headers["Retry-After"] = RETRY_AFTER
    return answer
