"""The part of Lemon Squeezy's API that the plugin uses, with its answers and errors."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from providers.lemonsqueezy.api import JSON_API
from providers.lemonsqueezy.stand_in.objects import API, Entity, resource, timestamp
from providers.lemonsqueezy.stand_in.state import API_KEY, STORE

Handler = Callable[[web.Request], Awaitable[web.Response]]

MAX_PER_PAGE = 100
RETRY_AFTER = "7"


def routes() -> Sequence[web.RouteDef]:
    """Return what is served under Lemon Squeezy's own addresses."""
    return [
        web.post("/v1/checkouts", guarded(create_checkout)),
        web.get("/v1/orders", guarded(list_orders)),
        web.get("/v1/subscription-invoices", guarded(list_invoices)),
        web.get("/v1/subscriptions/{id}", guarded(get_subscription)),
        web.get("/v1/stores/{id}", guarded(get_store)),
        web.get("/v1/users/me", guarded(get_user)),
    ]


class ApiError(Exception):
    """An answer in JSON:API's error form."""

    def __init__(self, status: int, title: str, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.pointer = status, title, detail, pointer


def guarded(handler: Handler) -> Handler:
    """Ask for the key and for JSON:API first, and give errors their form."""

    async def call(request: web.Request) -> web.Response:
        try:
            _check_key(request)
            _check_planned_failure(request)
            return await handler(request)
        except ApiError as error:
            return _refusal(error)

    return call


async def create_checkout(request: web.Request) -> web.Response:
    """POST /v1/checkouts: 201 with the address of the checkout."""
    store = request.app[STORE]
    data = _at(_json(await request.read()), "data")
    if data.get("type") != "checkouts":
        raise ApiError(409, "Conflict", "The resource type must be checkouts.", "/data/type")
    related = _at(data, "relationships")
    if _related_id(related, "store", "stores") != str(store.store_id):
        raise ApiError(404, "Not Found", "The related resource does not exist.", "/data/relationships/store")
    variant = _related_id(related, "variant", "variants")
    if not variant.isdigit():
        raise ApiError(404, "Not Found", "The related resource does not exist.", "/data/relationships/variant")
    attributes = data.get("attributes") or {}
    if attributes.get("test_mode") is True and not store.test_mode:
        raise ApiError(422, "Unprocessable Entity", "The key is of live mode.", "/data/attributes/test_mode")
    wanted = attributes.get("checkout_data") or {}
    back = (attributes.get("product_options") or {}).get("redirect_url")
    quantity = _quantity(wanted.get("variant_quantities") or [], int(variant))
    made = store.open_checkout(int(variant), quantity, _custom(wanted.get("custom") or {}), back)
    return _answer({"data": made, "links": made["links"]}, 201)


async def list_orders(request: web.Request) -> web.Response:
    """GET /v1/orders, newest first."""
    return _page(request, "orders")


async def list_invoices(request: web.Request) -> web.Response:
    """GET /v1/subscription-invoices, newest first."""
    return _page(request, "subscription-invoices")


async def get_subscription(request: web.Request) -> web.Response:
    """GET /v1/subscriptions/{id}."""
    found = request.app[STORE].subscription(request.match_info["id"])
    if found is None:
        raise ApiError(404, "Not Found", "The resource does not exist.")
    return _answer({"data": found})


async def get_store(request: web.Request) -> web.Response:
    """GET /v1/stores/{id}."""
    store = request.app[STORE]
    if request.match_info["id"] != str(store.store_id):
        raise ApiError(404, "Not Found", "The resource does not exist.")
    now = timestamp(store.now())
    attributes = {"name": "Stand-in", "currency": store.settings.currency, "created_at": now, "updated_at": now}
    return _answer({"data": resource("stores", str(store.store_id), attributes)})


async def get_user(request: web.Request) -> web.Response:
    """GET /v1/users/me, which tells the mode of the key."""
    user = resource("users", "1", {"name": "Stand-in", "email": "owner@example.com"})
    return _answer({"data": user, "meta": {"test_mode": request.app[STORE].test_mode}})


def _check_key(request: web.Request) -> None:
    expected = f"Bearer {request.app[API_KEY].get_secret_value()}".encode()
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(given, expected) or request.headers.get("Accept") != JSON_API:
        raise ApiError(401, "Unauthorized", "Unauthenticated.")


def _check_planned_failure(request: web.Request) -> None:
    status = request.app[STORE].settings.api_failure()
    if status is not None:
        raise ApiError(status, "Too Many Requests" if status == 429 else "Error", "Asked to fail.")


def _at(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise ApiError(400, "Bad Request", f"The member {name} must be an object.", f"/{name}")
    return value


def _related_id(related: Mapping[str, Any], name: str, kind: str) -> str:
    data = _at(_at(related, name), "data")
    if data.get("type") != kind or not isinstance(data.get("id"), str):
        raise ApiError(422, "Unprocessable Entity", f"The {name} field is required.", f"/data/relationships/{name}")
    return str(data["id"])


def _quantity(wanted: list[Any], variant: int) -> int:
    """Return how many of the variant are sold; one unless it is said."""
    for one in wanted:
        if isinstance(one, dict) and one.get("variant_id") == variant and type(one.get("quantity")) is int:
            return max(1, int(one["quantity"]))
    return 1


def _custom(custom: Any) -> Mapping[str, str]:
    """Lemon Squeezy wants custom data to be an object with texts."""
    if not isinstance(custom, dict) or not all(isinstance(value, str) for value in custom.values()):
        pointer = "/data/attributes/checkout_data/custom"
        raise ApiError(422, "Unprocessable Entity", "The custom field must hold strings.", pointer)
    return custom


def _page(request: web.Request, kind: str) -> web.Response:
    store = request.app[STORE]
    wanted = request.query.get("filter[store_id]", str(store.store_id))
    rows: list[Entity] = store.listed(kind) if wanted == str(store.store_id) else []
    size = max(1, min(_number(request, "page[size]", 10), MAX_PER_PAGE))
    number = max(1, _number(request, "page[number]", 1))
    first, last = (number - 1) * size, max(1, -(-len(rows) // size))
    shown = rows[first : first + size]
    page = {
        "currentPage": number,
        "from": first + 1 if shown else None,
        "lastPage": last,
        "perPage": size,
        "to": first + len(shown) if shown else None,
        "total": len(rows),
    }
    links = {"first": f"{API}/{kind}?page%5Bnumber%5D=1&sort=-createdAt"}
    return _answer({"meta": {"page": page}, "links": links, "data": shown})


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise ApiError(400, "Bad Request", f"{name} must be a number.")
    return int(text)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "Bad Request", "The body is not a JSON object.")
    return found


def _answer(content: Mapping[str, Any], status: int = 200) -> web.Response:
    body = orjson.dumps({"jsonapi": {"version": "1.0"}, **content})
    return web.Response(body=body, status=status, content_type=JSON_API)


def _refusal(error: ApiError) -> web.Response:
    shown: dict[str, Any] = {"detail": error.detail, "status": str(error.status), "title": error.title}
    if error.pointer:
        shown["source"] = {"pointer": error.pointer}
    answer = _answer({"errors": [shown]}, error.status)
    if error.status == 429:
        answer.headers["Retry-After"] = RETRY_AFTER
    return answer
