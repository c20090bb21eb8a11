import json
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
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
from providers.paddle import plugin
from providers.paddle.api import MAX_ANSWER, request_id
from providers.paddle.checkout import checkout_of, custom_data, request_body
from providers.paddle.config import PaddleConfig
from tests.providers.paddle.conftest import KEY, SECRET

URL_TRANSACTIONS = "https://sandbox-api.paddle.com/transactions"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
REQUEST = CheckoutRequest(reference="order_1", idempotency_key="k", items=[("pri_1", 2)], attribution=WHO)
NO_LINK = "transaction_default_checkout_url_not_set"
NOT_APPROVED = "transaction_checkout_url_domain_is_not_approved"
MADE = {
    "data": {"id": "txn_1", "checkout": {"url": "https://shop.example.com/pay?_ptxn=txn_1"}},
    "meta": {"request_id": "req-1"},
}


def error(code, detail="because", name="req-9"):
    return {"error": {"type": "request_error", "code": code, "detail": detail}, "meta": {"request_id": name}}


def answer(status=201, body=b"", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw, headers=headers_of(list(headers.items())))


def sent(paddle):
    [(call,)] = paddle.requests.values()
    return call.kwargs


async def test_a_checkout_is_a_transaction(provider, paddle):
    paddle.post(URL_TRANSACTIONS, status=201, payload=MADE)
    made = await provider.create_checkout(REQUEST)
    assert (made.url, made.checkout_id) == ("https://shop.example.com/pay?_ptxn=txn_1", "txn_1")
    assert json.loads(sent(paddle)["data"]) == {
        "items": [{"price_id": "pri_1", "quantity": 2}],
        "custom_data": {
            "orderId": "order_1",
            "faVisitorId": "site_1:visitor_2",
            "faSessionId": "s",
            "faAttributionToken": "t",
        },
        "collection_mode": "automatic",
    }
    headers = sent(paddle)["headers"]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Paddle-Version"] == "1"
    assert sent(paddle)["allow_redirects"] is False


async def test_the_payment_page_travels_when_it_is_set(config, provider, paddle):
    page = "https://shop.example.com/pay"
    other = plugin.open(config.model_copy(update={"payment_page": page}), provider.runtime)
    paddle.post(URL_TRANSACTIONS, status=201, payload=MADE)
    await other.create_checkout(REQUEST)
    assert json.loads(sent(paddle)["data"])["checkout"] == {"url": page}


async def test_the_live_environment_is_another_address(provider, paddle):
    live = PaddleConfig(environment="live", api_key="0" * 50, webhook_secrets=[SECRET])
    paddle.post("https://api.paddle.com/transactions", status=201, payload=MADE)
    assert await plugin.open(live, provider.runtime).create_checkout(REQUEST)


def test_ids_that_are_not_known_are_left_out():
    assert custom_data("order_1", Attribution()) == {"orderId": "order_1"}
    assert custom_data("order_1", Attribution(session_id="s")) == {"orderId": "order_1", "faSessionId": "s"}


def test_what_goes_in_comes_back():
    assert attribution_from(custom_data("order_1", WHO)) == WHO


def test_the_customers_address_never_travels():
    request = CheckoutRequest(
        reference="o",
        idempotency_key="k",
        items=[("pri_1", 1)],
        customer_email="a@example.com",
        customer_ip="192.0.2.1",
    )
    assert "example.com" not in json.dumps(request_body(request, None))
    assert "192.0.2.1" not in json.dumps(request_body(request, None))


@pytest.mark.parametrize(
    "request_",
    [
        CheckoutRequest(reference="o", idempotency_key="k", amount=Money(100, "USD")),
        CheckoutRequest(reference="o", idempotency_key="k"),
        CheckoutRequest(reference="o", idempotency_key="k", items=[("pri_1", 1)] * 101),
    ],
)
def test_what_paddle_cannot_sell_is_unsupported(request_):
    with pytest.raises(Unsupported):
        request_body(request_, None)


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (403, error("authentication_missing"), "authentication_missing", "no API key"),
        (403, error("invalid_token"), "invalid_token", "does not know the API key"),
        (403, error("forbidden"), "forbidden", "lacks a permission"),
        (403, error("something_new"), "something_new", "refused the API key"),
        (401, b"", None, "refused the API key"),
        (400, error(NO_LINK), NO_LINK, "default payment link"),
        (400, error(NOT_APPROVED), NOT_APPROVED, "payment_page"),
        (400, error("transaction_checkout_not_enabled"), "transaction_checkout_not_enabled", "onboarding"),
        (400, error("bad_request", "price pri_1 not found"), "bad_request", "pri_1 not found"),
        (404, error("entity_not_found", ""), "entity_not_found", "no reason"),
        (409, {"error": "text"}, None, "409"),
        (413, b"<html>", None, "413"),
        (302, b"", None, "base_url"),
    ],
)  # fmt: skip
async def test_a_refusal_is_rejected_with_what_to_do(provider, paddle, status, body, code, says):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    paddle.post(URL_TRANSACTIONS, status=status, body=raw)
    with pytest.raises(Rejected, match=says) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.code == code
    assert caught.value.request_id == ("req-9" if isinstance(body, dict) and "meta" in body else None)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "42"}, timedelta(seconds=42)),
        (429, {"Retry-After": " 42 "}, timedelta(seconds=42)),
        (429, {"Retry-After": "999999999999"}, timedelta(days=1)),
        (429, {"Retry-After": "soon"}, None),
        (429, {}, None),
        (500, {}, None),
        (503, {"Retry-After": "3"}, timedelta(seconds=3)),
        (599, {}, None),
        (408, {}, None),
    ],
)
async def test_trouble_that_passes_is_unavailable(provider, paddle, status, headers, wait):
    paddle.post(URL_TRANSACTIONS, status=status, headers=headers, payload=error("x"))
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "problem",
    [
        TimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(f"secret {KEY}"),
        ConnectionResetError(),
        OSError("name lookup"),
    ],
)
async def test_a_broken_connection_is_unavailable_and_the_post_is_not_repeated(provider, paddle, problem):
    paddle.post(URL_TRANSACTIONS, exception=problem, repeat=True)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert len(paddle.requests[("POST", URL(URL_TRANSACTIONS))]) == 1
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_endless_answer_is_cut(config, provider, aiohttp_server):
    async def endless(request):
        return web.Response(body=b" " * (MAX_ANSWER + 1))

    app = web.Application()
    app.router.add_post("/transactions", endless)
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
        b'{"data": null}',
        b'{"data": {"id": "txn_1", "checkout": {"url": "javascript:alert(1)"}}}',
        b'{"data": {"id": "txn_1", "checkout": {"url": "https://["}}}',
        b'{"data": {"id": "txn_1", "checkout": {"url": "/pay"}}}',
        b'{"data": {"id": "txn_1", "checkout": {"url": 7}}}',
        b'{"data": {"id": "", "checkout": {"url": "https://a.example"}}}',
        b'{"data": {"id": null, "checkout": {"url": "https://a.example"}}}',
        b'{"data": {"id": "txn_1", "checkout": {"url": "https://a.example/' + b"x" * 2048 + b'"}}}',
    ],
)
def test_a_success_that_cannot_be_used_is_unavailable(body):
    with pytest.raises(Unavailable):
        checkout_of(answer(201, body))


@pytest.mark.parametrize("checkout", [None, {}, {"url": None}])
def test_no_checkout_url_names_the_setting_in_the_dashboard(checkout):
    body = {"data": {"id": "txn_1", "checkout": checkout}, "meta": {"request_id": "req-1"}}
    with pytest.raises(Rejected, match="default payment link") as caught:
        checkout_of(answer(201, body))
    assert caught.value.request_id == "req-1"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (answer(200, {"meta": {"request_id": "a"}}, **{"Request-Id": "b"}), "a"),
        (answer(200, {"meta": {"request_id": 7}}, **{"Request-Id": "b"}), "b"),
        (answer(200, {"meta": "x"}, **{"Request-Id": "b"}), "b"),
        (answer(200, b"nothing", **{"Request-Id": "line\nend"}), "line end"),
        (answer(200, b"[]"), None),
    ],
)
def test_the_name_of_a_request_is_found_and_made_printable(given, name):
    assert request_id(given) == name


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
