import json
from datetime import UTC, datetime, timedelta

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
    Runtime,
    Unavailable,
    Unsupported,
    attribution_from,
    headers_of,
    reference_from,
    server_time,
)
from providers.razorpay import plugin
from providers.razorpay.api import MAX_ANSWER
from providers.razorpay.checkout import notes, request_body
from providers.razorpay.config import RazorpayConfig, RazorpayOptions
from tests.providers.razorpay.conftest import API, KEY_ID, KEY_SECRET, NOW, SECRET

LINKS = f"{API}/v1/payment_links"
FOUND = f"{LINKS}?reference_id=order_1"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    amount=Money(49900, "INR"),
    attribution=WHO,
    success_url="https://shop.example.com/thanks",
    customer_email="buyer@example.com",
    options=RazorpayOptions(description="Pro plan"),
)
MADE = {
    "id": "plink_1",
    "short_url": "https://rzp.io/rzp/1",
    "status": "created",
    "reference_id": "order_1",
    "amount": 49900,
    "currency": "INR",
    "notes": {"orderId": "order_1", "faVisitorId": "site_1:visitor_2", "faSessionId": "s", "faAttributionToken": "t"},
    "expire_by": 0,
}
TAKEN = {
    "error": {
        "code": "BAD_REQUEST_ERROR",
        "description": "payment link creation with reference ID already attempted: order_1",
    }
}


def error(description, code="BAD_REQUEST_ERROR"):
    return {"error": {"code": code, "description": description}}


def sent(razorpay):
    [(call,)] = razorpay.requests.values()
    return call.kwargs


def calls(razorpay):
    return [method for (method, _), asked in razorpay.requests.items() for _ in asked]


async def test_a_checkout_is_a_payment_link(provider, razorpay):
    razorpay.add(LINKS, "POST", payload=MADE)
    checkout = await provider.create_checkout(REQUEST)
    assert (checkout.url, checkout.checkout_id, checkout.expires_at) == ("https://rzp.io/rzp/1", "plink_1", None)
    assert json.loads(sent(razorpay)["data"]) == {
        "amount": 49900,
        "currency": "INR",
        "accept_partial": False,
        "reference_id": "order_1",
        "description": "Pro plan",
        "customer": {"email": "buyer@example.com"},
        "notify": {"sms": False, "email": False},
        "reminder_enable": False,
        "notes": MADE["notes"],
        "callback_url": "https://shop.example.com/thanks",
        "callback_method": "get",
    }
    scheme, _, given = sent(razorpay)["headers"]["Authorization"].partition(" ")
    assert (scheme, aiohttp.encode_basic_auth(KEY_ID, KEY_SECRET)) == ("Basic", f"Basic {given}")


def test_what_is_not_known_is_left_out():
    body = request_body(CheckoutRequest(reference="order_1", idempotency_key="k", amount=Money(295, "JPY")))
    assert body["notes"] == {"orderId": "order_1"}
    assert not {"callback_url", "callback_method", "customer", "description"} & set(body)
    assert (body["amount"], body["currency"]) == (295, "JPY")


def test_the_notes_are_read_back():
    given = notes("order_1", WHO)
    assert (reference_from(given), attribution_from(given)) == ("order_1", WHO)
    limits = plugin.metadata_limits
    assert len(given) <= limits.keys
    assert max(map(len, given)) <= limits.key_chars


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": None, "items": [("price_1", 1)]}, "an amount instead of items"),
        ({"amount": None}, "an amount instead of items"),
        ({"amount": Money(295991, "KWD")}, "the last of three decimal places must be 0"),
    ],
)
async def test_what_razorpay_cannot_sell_is_unsupported(provider, razorpay, changes, why):
    asked = CheckoutRequest(**{"reference": "order_1", "idempotency_key": "k", **changes})
    with pytest.raises(Unsupported, match=why):
        await provider.create_checkout(asked)
    assert not razorpay.requests


def test_three_decimal_places_ending_in_0_are_sold():
    asked = CheckoutRequest(reference="order_1", idempotency_key="k", amount=Money(295990, "KWD"))
    assert request_body(asked)["amount"] == 295990


async def test_the_time_of_expiry_is_passed_on(provider, razorpay):
    razorpay.add(LINKS, "POST", payload={**MADE, "expire_by": 1_790_000_000})
    checkout = await provider.create_checkout(REQUEST)
    assert checkout.expires_at == datetime.fromtimestamp(1_790_000_000, UTC)


async def test_a_link_that_an_unclear_try_left_behind_is_found_again(provider, razorpay):
    paid = {**MADE, "id": "plink_0", "status": "paid"}
    razorpay.add(LINKS, "POST", status=400, payload=TAKEN)
    razorpay.add(FOUND, "GET", payload={"payment_links": ["odd", paid, MADE]})
    assert (await provider.create_checkout(REQUEST)).checkout_id == "plink_1"
    assert calls(razorpay) == ["POST", "GET"]


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"payment_links": {}},
        {"payment_links": []},
        {"payment_links": [{**MADE, "status": "paid"}]},
        {"payment_links": [{**MADE, "amount": 1}]},
        {"payment_links": [{**MADE, "currency": "USD"}]},
        {"payment_links": [{**MADE, "notes": None}]},
        {"payment_links": [{**MADE, "reference_id": "order_2"}]},
    ],
)
async def test_another_link_with_the_order_id_is_not_taken_for_ours(provider, razorpay, found):
    razorpay.add(LINKS, "POST", status=400, payload=TAKEN)
    razorpay.add(FOUND, "GET", payload=found)
    with pytest.raises(Rejected, match="order again"):
        await provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    ("status", "body", "error_type", "why"),
    [
        (400, error("The amount must be at least INR 1.00"), Rejected, "at least INR 1.00"),
        (400, error(7), Rejected, "no reason"),
        (400, {"error": "text"}, Rejected, "(400)"),
        (400, [], Rejected, "(400)"),
        (400, error("a\nb"), Rejected, "a b"),
        (401, error("Authentication failed"), Rejected, "check key_id and key_secret"),
        (403, {}, Rejected, "check key_id and key_secret"),
        (404, error("The requested URL was not found on the server."), Rejected, "not found"),
        (302, {}, Rejected, "base_url"),
        (408, {}, Unavailable, "408"),
        (429, error("Too many requests"), Unavailable, "429"),
        (500, error("We are facing some trouble", "SERVER_ERROR"), Unavailable, "500"),
        (503, {}, Unavailable, "503"),
        (200, [], Unavailable, "JSON object"),
        (200, {}, Unavailable, "cannot be used"),
        (200, {**MADE, "short_url": "javascript:alert(1)"}, Unavailable, "cannot be used"),
        (200, {**MADE, "short_url": "https://[bad"}, Unavailable, "cannot be used"),
        (200, {**MADE, "short_url": "https://rzp.io/" + "a" * 2048}, Unavailable, "cannot be used"),
        (200, {**MADE, "id": ""}, Unavailable, "cannot be used"),
        (200, {**MADE, "id": 7}, Unavailable, "cannot be used"),
    ],
)
async def test_an_answer_becomes_the_right_error(provider, razorpay, status, body, error_type, why):
    razorpay.add(LINKS, "POST", status=status, payload=body)
    with pytest.raises(error_type) as caught:
        await provider.create_checkout(REQUEST)
    assert why in str(caught.value)
    assert KEY_SECRET not in str(caught.value)
    assert calls(razorpay) == ["POST"]


async def test_a_refusal_brings_razorpays_code(provider, razorpay):
    razorpay.add(LINKS, "POST", status=400, payload=error("no"))
    with pytest.raises(Rejected) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.code == "BAD_REQUEST_ERROR"


@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", timedelta(seconds=7)), ("999999999", timedelta(days=1)), ("soon", None), ("", None)],
)
async def test_retry_after_is_passed_on(provider, razorpay, header, wait):
    razorpay.add(LINKS, "POST", status=429, headers={"Retry-After": header})
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "trouble", [TimeoutError(), aiohttp.ServerDisconnectedError(), ConnectionResetError(), aiohttp.InvalidURL("x")]
)
async def test_no_answer_is_unavailable(provider, razorpay, trouble):
    razorpay.add(LINKS, "POST", exception=trouble)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert "POST /v1/payment_links" in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_answer_without_end_is_cut_off(http, aiohttp_server):
    async def flood(_request: web.Request) -> web.Response:
        return web.Response(body=b" " * (MAX_ANSWER + 1))

    app = web.Application()
    app.router.add_post("/v1/payment_links", flood)
    server = await aiohttp_server(app)
    config = RazorpayConfig(
        environment="sandbox",
        base_url=str(server.make_url("/")),
        key_id=KEY_ID,
        key_secret=KEY_SECRET,
        webhook_secrets=[SECRET],
    )
    provider = plugin.open(config, Runtime(http=http, now=lambda: NOW))
    with pytest.raises(Unavailable, match="longer than"):
        await provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("Tue, 01 Sep 2026 09:30:15 GMT", NOW),
        ("Tue, 01 Sep 2026 11:30:15 +0200", NOW),
        ("Tue, 01 Sep 2026 09:30:15 -0000", NOW),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_servers_clock_is_read(date, time):
    assert server_time(Answer(status=200, headers=headers_of([("Date", date)]))) == time


async def test_probe_proves_the_key(provider, razorpay):
    address = f"{API}/v1/payments?count=1"
    razorpay.add(address, "GET", payload={"items": []}, headers={"Date": "Tue, 01 Sep 2026 09:30:15 GMT"})
    assert await provider.probe() == NOW
    assert list(razorpay.requests) == [("GET", URL(address))]
    razorpay.add(address, "GET", status=401, payload=error("Authentication failed"))
    with pytest.raises(Rejected, match="key_id"):
        await provider.probe()
