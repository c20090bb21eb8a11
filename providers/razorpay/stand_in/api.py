"""The part of Razorpay's REST API that the plugin uses, with Razorpay's answers and errors."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import encode_basic_auth, web

from gateway.sdk import Malformed, Money
from providers.razorpay.stand_in.objects import Entity, payment_link
from providers.razorpay.stand_in.seller import Seller
from providers.razorpay.stand_in.state import CONFIG, SELLER

Handler = Callable[[web.Request], Awaitable[web.Response]]

RETRY_AFTER = "7"
SMALLEST = 100
"""https://razorpay.com/docs/errors: "The amount must be at least INR 1.00"."""

KEPT: Mapping[str, Callable[[Seller], Mapping[str, Entity]]] = {
    "payments": lambda seller: seller.payments,
    "refunds": lambda seller: seller.refunds,
    "disputes": lambda seller: seller.disputes,
    "orders": lambda seller: seller.orders,
    "invoices": lambda seller: seller.invoices,
    "subscriptions": lambda seller: seller.subscriptions,
}


def routes() -> Sequence[web.RouteDef]:
    """Return what is served under Razorpay's own addresses."""
    return [
        web.post("/v1/payment_links", guarded(create_link)),
        web.get("/v1/payment_links", guarded(list_links)),
        web.get("/v1/{kind:payments|refunds|disputes}", guarded(list_entities)),
        web.get("/v1/{kind:payments|orders|invoices|subscriptions}/{id}", guarded(get_entity)),
    ]


class ApiError(Exception):
    """An answer in Razorpay's error form."""

    def __init__(self, status: int, description: str, code: str = "BAD_REQUEST_ERROR") -> None:
        super().__init__(description)
        self.status, self.description, self.code = status, description, code


def guarded(handler: Handler) -> Handler:
    """Ask for the key first and give errors Razorpay's form."""

    async def call(request: web.Request) -> web.Response:
        try:
            _check_key(request)
            planned = request.app[SELLER].settings.api_failure()
            if planned is not None:
                raise ApiError(planned, "asked to fail", "SERVER_ERROR")  # noqa: TRY301 - one place for errors
            return await handler(request)
        except ApiError as error:
            body = {"error": {"code": error.code, "description": error.description, "source": "business", "step": None}}
            headers = {"Retry-After": RETRY_AFTER} if error.status == 429 else None
            return web.json_response(body, status=error.status, headers=headers)

    return call


async def create_link(request: web.Request) -> web.Response:
    """POST /v1/payment_links."""
    seller, form = request.app[SELLER], _json_object(await request.read())
    _check_amount(form)
    _check_notes(form.get("notes"))
    reference = form.get("reference_id", "")
    if not isinstance(reference, str) or len(reference) > 40:
        raise ApiError(400, "reference_id: the length must be no more than 40.")
    if reference and any(link["reference_id"] == reference for link in seller.links.values()):
        raise ApiError(400, f"payment link creation with reference ID already attempted: {reference}")
    if form.get("callback_url") and form.get("callback_method") != "get":
        raise ApiError(400, "callback_method: must be get when callback_url is sent.")
    made = payment_link(form, seller.address, seller.now())
    seller.links[made["id"]] = made
    return web.json_response(made)


async def list_links(request: web.Request) -> web.Response:
    """GET /v1/payment_links with `reference_id`."""
    wanted = request.query.get("reference_id")
    links = [link for link in request.app[SELLER].links.values() if wanted in (None, link["reference_id"])]
    return web.json_response({"payment_links": links[::-1]})


async def list_entities(request: web.Request) -> web.Response:
    """GET /v1/payments, /v1/refunds and /v1/disputes, newest first, with `from`, `to`, `count` and `skip`."""
    kept = KEPT[request.match_info["kind"]](request.app[SELLER])
    begin, end = _whole(request, "from", 0), _whole(request, "to", 2**40)
    count, skip = _whole(request, "count", 10), _whole(request, "skip", 0)
    if not 1 <= count <= 100:
        raise ApiError(400, "count must be between 1 and 100")
    wanted = [entity for entity in kept.values() if begin <= entity["created_at"] <= end]
    found = wanted[::-1][skip : skip + count]
    return web.json_response({"entity": "collection", "count": len(found), "items": found})


async def get_entity(request: web.Request) -> web.Response:
    """GET one of a kind by its id."""
    found = KEPT[request.match_info["kind"]](request.app[SELLER]).get(request.match_info["id"])
    if found is None:
        raise ApiError(400, "The id provided does not exist")
    return web.json_response(found)


def _check_key(request: web.Request) -> None:
    config = request.app[CONFIG]
    expected = encode_basic_auth(config.key_id, config.key_secret.get_secret_value())
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        raise ApiError(401, "Authentication failed")


def _check_amount(form: Mapping[str, Any]) -> None:
    try:
        worth = Money(form.get("amount"), form.get("currency", "INR"))  # type: ignore[arg-type]  # Money checks both
    except Malformed as error:
        raise ApiError(400, f"amount: {error}") from None
    if worth.currency == "INR" and worth.minor < SMALLEST:
        raise ApiError(400, "The amount must be at least INR 1.00")


def _check_notes(notes: Any) -> None:
    if notes is None:
        return
    if not isinstance(notes, dict) or len(notes) > 15:
        raise ApiError(400, "notes: must be an object with at most 15 keys.")
    if any(len(str(value)) > 255 for value in notes.values()):
        raise ApiError(400, "value: the length must not be greater than 255.")


def _whole(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, f"{name} must be an integer")
    return int(text)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "the request is not a JSON object")
    return found
