import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from gateway.sdk import (
    Answer,
    Attribution,
    CheckoutRequest,
    Money,
    Rejected,
    Unavailable,
    Unsupported,
    attribution_from,
    headers_of,
    server_time,
)
from providers.polar import plugin
from providers.polar.api import MAX_ANSWER
from providers.polar.checkout import PolarOptions, checkout_of, metadata, request_body
from providers.polar.config import PolarConfig
from tests.providers.polar.conftest import SECRET, TOKEN

CHECKOUTS = "https://sandbox-api.polar.sh/v1/checkouts/"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    items=[("prod_1", 1)],
    attribution=WHO,
    success_url="https://shop.example.com/thanks?id={CHECKOUT_ID}",
    cancel_url="https://shop.example.com/pricing",
    customer_email="buyer@example.com",
    customer_ip="192.0.2.1",
)
BARE = CheckoutRequest(reference="order_1", idempotency_key="k", items=[("prod_1", 1)])
MADE = {
    "id": "7c1e5b0a-3f2d-4a6e-9b11-0000000000e1",
    "url": "https://polar.sh/checkout/polar_c_1",
    "expires_at": "2026-03-02T10:30:15Z",
}


def answer(status=201, body=b"", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw, headers=headers_of(list(headers.items())))


def sent(polar):
    [(call,)] = polar.requests.values()
    return call.kwargs


async def test_a_checkout_is_opened_with_everything_known(provider, polar):
    polar.post(CHECKOUTS, status=201, payload=MADE)
    made = await provider.create_checkout(REQUEST)
    assert (made.url, made.checkout_id) == (MADE["url"], MADE["id"])
    assert made.expires_at == datetime(2026, 3, 2, 10, 30, 15, tzinfo=UTC)
    assert json.loads(sent(polar)["data"]) == {
        "products": ["prod_1"],
        "metadata": {
            "orderId": "order_1",
            "faVisitorId": "site_1:visitor_2",
            "faSessionId": "s",
            "faAttributionToken": "t",
        },
        "success_url": "https://shop.example.com/thanks?id={CHECKOUT_ID}",
        "return_url": "https://shop.example.com/pricing",
        "customer_email": "buyer@example.com",
        "customer_ip_address": "192.0.2.1",
    }
    headers = sent(polar)["headers"]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Polar-Version"] == "2026-10"
    assert sent(polar)["allow_redirects"] is False


async def test_the_live_environment_is_another_address(provider, polar):
    live = PolarConfig(environment="live", access_token=TOKEN, webhook_secrets=[SECRET])
    polar.post("https://api.polar.sh/v1/checkouts/", status=201, payload=MADE)
    assert await plugin.open(live, provider.runtime).create_checkout(REQUEST)


def test_what_is_not_known_is_left_out():
    assert request_body(BARE) == {"products": ["prod_1"], "metadata": {"orderId": "order_1"}}


def test_what_goes_in_comes_back():
    assert attribution_from(metadata("order_1", WHO)) == WHO


@pytest.mark.parametrize(
    ("options", "quantity", "extra"),
    [
        (PolarOptions(quantity_is="seats"), 5, {"seats": 5}),
        (PolarOptions(quantity_is="units"), 1, {"units": 1}),
        (PolarOptions(discount_id="d"), 1, {"discount_id": "d"}),
        (PolarOptions(allow_discount_codes=False), 1, {"allow_discount_codes": False}),
        (PolarOptions(), 1, {}),
        (None, 1, {}),
    ],
)
def test_a_plans_options_travel(options, quantity, extra):
    request = CheckoutRequest(reference="o", idempotency_key="k", items=[("prod_1", quantity)], options=options)
    assert request_body(request) == {"products": ["prod_1"], "metadata": {"orderId": "o"}, **extra}


@pytest.mark.parametrize("options", [{"quantity_is": "boxes"}, {"quantity": 1}, {"allow_discount_codes": "maybe"}])
def test_options_that_polar_does_not_have_are_mistakes(options):
    with pytest.raises(ValidationError):
        plugin.checkout_options.model_validate(options)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"amount": Money(100, "USD")}, "catalogue"),
        ({}, "catalogue"),
        ({"items": [("a", 1), ("b", 1)]}, "one product"),
        ({"items": [("a", 2)]}, "quantity_is"),
        ({"items": [("a", 0)]}, "quantity_is"),
    ],
)
def test_what_polar_cannot_sell_is_unsupported(order, says):
    with pytest.raises(Unsupported, match=says):
        request_body(CheckoutRequest(reference="o", idempotency_key="k", **order))


FAULTS = {
    "error": "RequestValidationError",
    "detail": [
        {"loc": ["body", "products", 0], "msg": "Product does not exist.", "type": "value_error", "input": "secret-in"},
        {"loc": ["body", "customer_email"], "msg": "not an address", "type": "value_error", "input": "a@b"},
        {"loc": "odd"},
        {"loc": ["body", "fourth"], "msg": "never shown"},
    ],
}


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (401, {"error": "invalid_token", "error_description": "It is expired"}, "invalid_token", "It is expired"),
        (401, b"", None, "does not know the access token"),
        (403, {"error": "NotPermitted", "detail": "no"}, "NotPermitted", "checkouts:write"),
        (403, {"error": "PaymentNotReady", "detail": "Organization is not ready"}, "PaymentNotReady", "not ready"),
        (422, FAULTS, "RequestValidationError", "body.products.0: Product does not exist."),
        (422, FAULTS, "RequestValidationError", "customer_email: not an address; a fault without a place"),
        (422, {"detail": []}, None, "no reason"),
        (404, {"error": "ResourceNotFound", "detail": "Not found\nat all"}, "ResourceNotFound", "Not found at all"),
        (400, {"error": {"a": 1}, "detail": 7}, None, "no reason"),
        (409, [], None, "409"),
        (413, b"<html>", None, "413"),
        (307, b"", None, "base_url"),
    ],
)
async def test_a_refusal_is_rejected_with_what_to_do(provider, polar, status, body, code, says):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    polar.post(CHECKOUTS, status=status, body=raw)
    with pytest.raises(Rejected, match=says) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.code == code
    for hidden in (TOKEN, "secret-in", "a@b", "never shown"):
        assert hidden not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "42"}, timedelta(seconds=42)),
        (429, {"Retry-After": "999999999999"}, timedelta(days=1)),
        (429, {"Retry-After": "soon"}, None),
        (429, {}, None),
        (500, {}, None),
        (503, {"Retry-After": " 3 "}, timedelta(seconds=3)),
        (408, {}, None),
    ],
)
async def test_trouble_that_passes_is_unavailable(provider, polar, status, headers, wait):
    polar.post(CHECKOUTS, status=status, headers=headers)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "problem",
    [
        TimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(f"secret {TOKEN}"),
        ConnectionResetError(),
        OSError("name lookup"),
    ],
)
async def test_a_broken_connection_is_unavailable_and_the_post_is_not_repeated(provider, polar, problem):
    polar.post(CHECKOUTS, exception=problem, repeat=True)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert len(polar.requests[("POST", URL(CHECKOUTS))]) == 1
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_endless_answer_is_cut(config, provider, aiohttp_server):
    async def endless(request):
        return web.Response(body=b" " * (MAX_ANSWER + 1))

    app = web.Application()
    app.router.add_post("/v1/checkouts/", endless)
    server = await aiohttp_server(app)
    local = config.model_copy(update={"base_url": str(server.make_url("")).rstrip("/")})
    with pytest.raises(Unavailable, match="longer"):
        await plugin.open(local, provider.runtime).create_checkout(REQUEST)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        {},
        {**MADE, "url": None},
        {**MADE, "url": "javascript:alert(1)"},
        {**MADE, "url": "https://["},
        {**MADE, "url": "/pay"},
        {**MADE, "url": 7},
        {**MADE, "url": "https://a.example/" + "x" * 2048},
        {**MADE, "id": ""},
        {**MADE, "id": None},
        {**MADE, "expires_at": "tomorrow"},
    ],
)
def test_a_success_that_cannot_be_used_is_unavailable(body):
    with pytest.raises(Unavailable):
        checkout_of(answer(201, body))


def test_a_checkout_need_not_say_when_it_expires():
    assert checkout_of(answer(201, {**MADE, "expires_at": None})).expires_at is None


@pytest.mark.parametrize(
    ("date", "hour"),
    [
        ("Mon, 02 Mar 2026 09:30:15 GMT", 9),
        ("Mon, 02 Mar 2026 09:30:15 -0000", 9),
        ("Mon, 02 Mar 2026 11:30:15 +0200", 9),
        ("yesterday", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_the_servers_clock(date, hour):
    time = server_time(answer(200, b"{}", Date=date))
    assert (time.hour if time else None) == hour
    assert time is None or time.utcoffset() == timedelta(0)
