import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

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
    reference_from,
    server_time,
)
from providers.stripe import plugin
from providers.stripe.api import MAX_ANSWER, request_id
from providers.stripe.checkout import checkout_of, form, metadata
from providers.stripe.config import StripeOptions
from tests.providers.stripe.conftest import KEY

SESSIONS = "https://api.stripe.com/v1/checkout/sessions"
PRICE = "https://api.stripe.com/v1/prices/price_1"
WHO = Attribution(visitor_id="site_1:visitor/2 ü", session_id="s", token="t")
BACK = "https://shop.example.com/thanks?s={CHECKOUT_SESSION_ID}"
REQUEST = CheckoutRequest(
    reference="order_1", idempotency_key="key_1", items=[("price_1", 2)], attribution=WHO, success_url=BACK
)
MADE = {"id": "cs_test_1", "url": "https://checkout.stripe.com/c/pay/cs_test_1", "expires_at": 1772443815}


def request(**changes):
    values = {"reference": "o", "idempotency_key": "k", "items": [("price_1", 1)], "success_url": BACK, **changes}
    return CheckoutRequest(**values)


def error(code=None, message="because", kind="invalid_request_error"):
    return {"error": {"type": kind, "message": message} | ({"code": code} if code else {})}


def answer(status=200, body=b"", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw, headers=headers_of(list(headers.items())))


def posted(stripe):
    [call] = stripe.requests[("POST", URL(SESSIONS))]
    return call.kwargs


def pairs(stripe):
    return dict(parse_qsl(posted(stripe)["data"].decode(), keep_blank_values=True))


async def test_a_one_off_price_opens_a_payment_session(provider, stripe):
    stripe.get(PRICE, payload={"id": "price_1", "type": "one_time"})
    stripe.post(SESSIONS, payload=MADE)
    made = await provider.create_checkout(REQUEST)
    assert (made.url, made.checkout_id) == (MADE["url"], "cs_test_1")
    assert made.expires_at == datetime.fromtimestamp(1772443815, UTC)
    known = {"orderId": "order_1", "faVisitorId": WHO.visitor_id, "faSessionId": "s", "faAttributionToken": "t"}
    assert pairs(stripe) == {
        "mode": "payment",
        "line_items[0][price]": "price_1",
        "line_items[0][quantity]": "2",
        "client_reference_id": "order_1",
        "success_url": BACK,
        **{f"metadata[{name}]": value for name, value in known.items()},
        **{f"payment_intent_data[metadata][{name}]": value for name, value in known.items()},
    }
    headers = posted(stripe)["headers"]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (headers["Idempotency-Key"], headers["Stripe-Version"]) == ("key_1", "2025-03-31.basil")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert posted(stripe)["allow_redirects"] is False


async def test_a_recurring_price_opens_a_subscription_session(provider, stripe):
    stripe.get(PRICE, payload={"id": "price_1", "type": "recurring"})
    stripe.post(SESSIONS, payload=MADE)
    await provider.create_checkout(REQUEST)
    sent = pairs(stripe)
    assert sent["mode"] == "subscription"
    assert sent["subscription_data[metadata][orderId]"] == sent["metadata[orderId]"] == "order_1"
    assert not any(name.startswith("payment_intent_data") for name in sent)


async def test_a_plan_that_says_its_mode_asks_for_no_price(provider, stripe):
    stripe.post(SESSIONS, payload=MADE)
    await provider.create_checkout(request(options=StripeOptions(mode="subscription", trial_days=14)))
    assert pairs(stripe)["subscription_data[trial_period_days]"] == "14"
    assert [method for method, _ in stripe.requests] == ["POST"]


async def test_one_recurring_price_among_others_is_enough(provider, stripe):
    stripe.get(PRICE, payload={"type": "one_time"})
    stripe.get("https://api.stripe.com/v1/prices/price_2", payload={"type": "recurring"})
    stripe.post(SESSIONS, payload=MADE)
    await provider.create_checkout(request(items=[("price_1", 1), ("price_2", 3), ("price_3", 1)]))
    assert pairs(stripe)["line_items[2][price]"] == "price_3"
    assert pairs(stripe)["mode"] == "subscription"


async def test_an_amount_becomes_a_price_of_its_own(provider, stripe):
    stripe.post(SESSIONS, payload=MADE)
    options = StripeOptions(product_name="A chair", allow_promotion_codes=True, automatic_tax=True)
    await provider.create_checkout(
        request(
            items=(), amount=Money(5, "ISK"), options=options, customer_email="a@example.com", cancel_url="https://x"
        )
    )
    sent = pairs(stripe)
    assert sent["line_items[0][price_data][currency]"] == "isk"
    assert sent["line_items[0][price_data][unit_amount]"] == "500"
    assert sent["line_items[0][price_data][product_data][name]"] == "A chair"
    assert (sent["line_items[0][quantity]"], sent["mode"]) == ("1", "payment")
    assert (sent["allow_promotion_codes"], sent["automatic_tax[enabled]"]) == ("true", "true")
    assert (sent["customer_email"], sent["cancel_url"]) == ("a@example.com", "https://x")


def test_ids_that_are_not_known_are_left_out():
    assert metadata("order_1", Attribution()) == {"orderId": "order_1"}
    assert metadata("order_1", Attribution(session_id="s")) == {"orderId": "order_1", "faSessionId": "s"}


def test_what_goes_in_comes_back():
    sent = metadata("order_1", WHO)
    assert (attribution_from(sent), reference_from(sent)) == (WHO, "order_1")


def test_the_buyers_ip_address_never_travels():
    sent = form(request(customer_ip="192.0.2.1"), StripeOptions(), "payment")
    assert "192.0.2.1" not in str(sent)


@pytest.mark.parametrize(
    "request_",
    [
        request(success_url=None),
        request(items=()),
        request(items=[("price_1", 1)] * 101),
        request(items=[("price/../x", 1)]),
        request(items=(), amount=Money(100, "USD"), options=StripeOptions(mode="subscription")),
        request(items=(), amount=Money(550, "MGA")),
        request(options=StripeOptions(mode="payment", trial_days=3)),
    ],
)
async def test_what_stripe_cannot_sell_is_unsupported(provider, stripe, request_):
    with pytest.raises(Unsupported):
        await provider.create_checkout(request_)
    assert not stripe.requests


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (401, error(message="Invalid API Key provided: rk_test_****0001"), "invalid_request_error", "does not know"),
        (403, error("more_permissions_required"), "more_permissions_required", "lacks a permission"),
        (400, error("resource_missing", "No such price: 'price_1'"), "resource_missing", "share no prices"),
        (400, error("email_invalid"), "email_invalid", "customerEmail"),
        (400, error(None, "line\nend"), "invalid_request_error", "line end"),
        (400, error(kind="idempotency_error"), "idempotency_error", "because"),
        (402, error("something_new", ""), "something_new", "no reason"),
        (400, {"error": "text"}, None, "400"),
        (400, {"error": {"code": 7, "message": 8}}, None, "400"),
        (404, b"<html>", None, "404"),
        (302, b"", None, "base_url"),
    ],
)  # fmt: skip
async def test_a_refusal_is_rejected_with_what_to_do(provider, stripe, status, body, code, says):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stripe.post(SESSIONS, status=status, body=raw, headers={"Request-Id": "req_9"})
    with pytest.raises(Rejected, match=says) as caught:
        await provider.create_checkout(request(options=StripeOptions(mode="payment")))
    assert (caught.value.code, caught.value.request_id) == (code, "req_9")
    assert KEY not in str(caught.value)
    assert "rk_test" not in str(caught.value)


async def test_a_price_that_does_not_exist_is_rejected(provider, stripe):
    stripe.get(PRICE, status=404, payload=error("resource_missing", "No such price: 'price_1'"))
    with pytest.raises(Rejected, match="No such price"):
        await provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "42"}, timedelta(seconds=42)),
        (429, {"Retry-After": " 42 "}, timedelta(seconds=42)),
        (429, {"Retry-After": "999999999999"}, timedelta(days=1)),
        (429, {"Retry-After": "soon"}, None),
        (409, {}, None),
        (424, {}, None),
        (500, {}, None),
        (503, {"Retry-After": "3"}, timedelta(seconds=3)),
    ],
)
async def test_trouble_that_passes_is_unavailable(provider, stripe, status, headers, wait):
    stripe.post(SESSIONS, status=status, headers=headers, payload=error())
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(request(options=StripeOptions(mode="payment")))
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
async def test_a_broken_connection_is_unavailable_and_the_post_is_not_repeated(provider, stripe, problem):
    stripe.post(SESSIONS, exception=problem, repeat=True)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(request(options=StripeOptions(mode="payment")))
    assert len(stripe.requests[("POST", URL(SESSIONS))]) == 1
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_endless_answer_is_cut(config, provider, aiohttp_server):
    async def endless(_request):
        return web.Response(body=b" " * (MAX_ANSWER + 1))

    app = web.Application()
    app.router.add_post("/v1/checkout/sessions", endless)
    server = await aiohttp_server(app)
    local = config.model_copy(update={"base_url": str(server.make_url("")).rstrip("/")})
    with pytest.raises(Unavailable, match="longer"):
        await plugin.open(local, provider.runtime).create_checkout(request(options=StripeOptions(mode="payment")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"id": "cs_1", "url": null}',
        b'{"id": "cs_1", "url": "javascript:alert(1)"}',
        b'{"id": "cs_1", "url": "https://["}',
        b'{"id": "cs_1", "url": "/pay"}',
        b'{"id": "", "url": "https://a.example"}',
        b'{"id": null, "url": "https://a.example"}',
        b'{"id": "cs_1", "url": "https://a.example", "expires_at": 99999999999999999}',
        b'{"id": "cs_1", "url": "https://a.example/' + b"x" * 2048 + b'"}',
    ],
)
def test_a_success_that_cannot_be_used_is_unavailable(body):
    with pytest.raises(Unavailable):
        checkout_of(answer(200, body))


def test_a_session_need_not_say_when_it_ends():
    assert checkout_of(answer(200, {**MADE, "expires_at": None})).expires_at is None


@pytest.mark.parametrize(("given", "name"), [("req_1", "req_1"), ("line\nend", "line end"), ("", None)])
def test_the_name_of_a_request_is_made_printable(given, name):
    assert request_id(answer(200, **{"Request-Id": given})) == name


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
