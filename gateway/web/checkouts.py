"""`POST /checkouts/{site}` and the guide's `POST /api/checkout/create`, for browsers and for backends."""

import hmac
import json
import re
from typing import Any

import orjson
from aiohttp import web

from gateway.config import Site
from gateway.domain.text import is_storable
from gateway.flows.checkout import create
from gateway.flows.order import Order
from gateway.plugins import Live
from gateway.web.bodies import Body
from gateway.web.callers import client_of, demand_https
from gateway.web.errors import Problem, invalid_request
from gateway.web.gateway import GATEWAY

KEY = re.compile(r"[\x21-\x7e]{1,255}")
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,255}")
MAX_CHECKOUT_BYTES = 65_536
"""A checkout's JSON is under 1 KiB; more is a mistake."""


async def create_for_site(request: web.Request) -> web.Response:
    """Create a checkout for the site in the address."""
    live = request.app[GATEWAY].live()
    site = live.config.sites.get(request.match_info["site"])
    if site is None:
        raise Problem(404, "unknown_site", "no site of this name is configured")
    _allow_origin(request, site)
    return await _create(request, live, site, status=201)


async def create_for_origin(request: web.Request) -> web.Response:
    """Create a checkout for the site whose page sends this: found by Origin, then by Host."""
    live = request.app[GATEWAY].live()
    site = _site_of(request, live)
    if site is None:
        raise _not_allowed()
    _allow_origin(request, site)
    return await _create(request, live, site, status=200)


async def preflight(request: web.Request) -> web.Response:
    """Answer a browser that asks whether it may."""
    live = request.app[GATEWAY].live()
    name = request.match_info.get("site")
    site = live.config.sites.get(name) if name else _site_of(request, live)
    if site is None or request.headers.get("Origin") not in site.origins:
        raise _not_allowed()
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type, idempotency-key",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers | cors_headers(request, live))


def cors_headers(request: web.Request, live: Live) -> dict[str, str]:
    """Return what lets the site's own pages read the answer, problems included."""
    origin = request.headers.get("Origin")
    if origin is None or not any(origin in site.origins for site in live.config.sites.values()):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "x-request-id, retry-after",
    }


def _site_of(request: web.Request, live: Live) -> Site | None:
    origin = request.headers.get("Origin")
    for site in live.config.sites.values():
        if origin in site.origins:
            return site
    if origin is not None:
        return None
    for site in live.config.sites.values():
        if any(address.partition("://")[2] == request.host.lower() for address in site.origins):
            return site
    return None


def _not_allowed() -> Problem:
    return Problem(403, "origin_not_allowed", "add the page's origin to the site's `origins` in the configuration")


def _allow_origin(request: web.Request, site: Site) -> None:
    """A browser needs a listed origin; a backend needs the site's key, where one is set."""
    origin = request.headers.get("Origin")
    if origin is not None:
        if origin not in site.origins:
            raise _not_allowed()
        return
    key = site.checkout.backend_key
    if key is None:
        return
    sent = request.headers.get("Authorization", "")
    expected = f"Bearer {key.get_secret_value()}".encode()
    if not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), expected):
        raise Problem(
            401,
            "unauthorized",
            "send the site's backend key as Authorization: Bearer",
            headers={"WWW-Authenticate": "Bearer"},
        )


async def _create(request: web.Request, live: Live, site: Site, status: int) -> web.Response:
    gateway = request.app[GATEWAY]
    server = live.config.server
    remote_ip, secure = client_of(request, server.trusted_proxies)
    demand_https(server, secure=secure)
    await gateway.limiter.check(live.config.limits, site.name, remote_ip)
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "send JSON with content-type: application/json")
    limit = min(server.max_body_bytes, MAX_CHECKOUT_BYTES)
    async with Body(request, gateway.in_flight, limit, server.body_deadline) as body:
        order = parse_order(body, request.headers.get("Idempotency-Key"), remote_ip)
    created = await create(gateway.context, live, site, order)
    content = {"url": created.url, "orderId": created.order_id, "checkoutId": created.checkout_id}
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def parse_order(body: bytes, idempotency_key: str | None, remote_ip: str | None) -> Order:
    """Return what the caller orders; raise a 400 naming every field that is not right. Unknown fields are ignored."""
    try:
        content = json.loads(body)  # not orjson: a lone surrogate in an id must cost the id, not the sale
    except (ValueError, RecursionError):
        raise invalid_request([("body", "must be JSON in UTF-8")]) from None
    if not isinstance(content, dict):
        raise invalid_request([("body", "must be a JSON object")])
    wrong: list[tuple[str, str]] = []
    plan_field = "plan" if content.get("plan") is not None else "planId"
    order = Order(
        plan=_text(content, plan_field, wrong),
        price_id=_text(content, "priceId", wrong),
        quantity=_quantity(content.get("quantity"), wrong),
        ids=(content.get("faVisitorId"), content.get("faSessionId"), content.get("faAttributionToken")),
        customer_email=_email(content.get("customerEmail"), wrong),
        customer_ip=remote_ip,
        idempotency_key=idempotency_key,
    )
    if idempotency_key is not None and not KEY.fullmatch(idempotency_key):
        wrong.append(("Idempotency-Key", "must be 1 to 255 printable ASCII characters"))
    if order.plan is None and order.price_id is None and not wrong:
        wrong.append(("plan", "name a plan of the site"))
    if wrong:
        raise invalid_request(wrong)
    return order


def _text(content: dict[str, Any], field: str, wrong: list[tuple[str, str]]) -> str | None:
    value = content.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        wrong.append((field, "must be a string that is not empty"))
        return None
    return value


def _quantity(value: Any, wrong: list[tuple[str, str]]) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 1:
        wrong.append(("quantity", "must be a whole number above 0"))
        return None
    return value


def _email(value: Any, wrong: list[tuple[str, str]]) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not EMAIL.fullmatch(value) or not is_storable(value):
        wrong.append(("customerEmail", "must be an e-mail address"))
        return None
    return value
