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
    Runtime,
    Unavailable,
    Unsupported,
    attribution_from,
    headers_of,
    server_time,
)
from providers.lemonsqueezy import plugin
from providers.lemonsqueezy.api import MAX_ANSWER
from providers.lemonsqueezy.checkout import checkout_of, custom_data, request_body
from tests.providers.lemonsqueezy.conftest import API, KEY, NOW, STORE_ID

CHECKOUTS = f"{API}/v1/checkouts"
WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="t")
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    items=[("1001", 2)],
    attribution=WHO,
    customer_email="buyer@example.com",
    customer_ip="192.0.2.1",
    success_url="https://shop.example.com/thanks",
    cancel_url="https://shop.example.com/pricing",
)
ADDRESS = "https://acme.lemonsqueezy.com/checkout/custom/ac47?signature=1"
MADE = {"data": {"type": "checkouts", "id": "ac47", "attributes": {"url": ADDRESS, "test_mode": True}}}


def sent(script):
    [(call,)] = script.requests.values()
    return call.kwargs


def account_of(provider):
    return provider._account


def made(**attributes):
    attributes = {**MADE["data"]["attributes"], **attributes}
    return json.dumps({"data": {**MADE["data"], "attributes": attributes}}).encode()


async def test_a_checkout_sells_one_variant_with_everything_inside(provider, lemonsqueezy):
    lemonsqueezy.post(CHECKOUTS, status=201, payload=MADE)
    opened = await provider.create_checkout(REQUEST)
    assert (opened.url, opened.checkout_id) == (ADDRESS, "ac47")
    assert json.loads(sent(lemonsqueezy)["data"]) == {
        "data": {
            "type": "checkouts",
            "attributes": {
                "checkout_data": {
                    "custom": {
                        "orderId": "order_1",
                        "faVisitorId": "site_1:visitor_2",
                        "faSessionId": "s",
                        "faAttributionToken": "t",
                    },
                    "email": "buyer@example.com",
                    "variant_quantities": [{"variant_id": 1001, "quantity": 2}],
                },
                "product_options": {
                    "enabled_variants": [1001],
                    "redirect_url": "https://shop.example.com/thanks",
                },
                "test_mode": True,
            },
            "relationships": {
                "store": {"data": {"type": "stores", "id": STORE_ID}},
                "variant": {"data": {"type": "variants", "id": "1001"}},
            },
        }
    }
    headers = sent(lemonsqueezy)["headers"]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Accept"] == headers["Content-Type"] == "application/vnd.api+json"
    assert sent(lemonsqueezy)["allow_redirects"] is False


async def test_what_is_not_known_is_left_out_and_live_money_is_no_test(config, http, lemonsqueezy):
    live = plugin.open(config.model_copy(update={"environment": "live"}), Runtime(http=http, now=lambda: NOW))
    least = CheckoutRequest(reference="order_1", idempotency_key="k", items=[("1001", 1)])
    assert request_body(least, account_of(live))["data"]["attributes"] == {
        "checkout_data": {"custom": {"orderId": "order_1"}},
        "product_options": {"enabled_variants": [1001]},
    }
    lemonsqueezy.post(CHECKOUTS, status=201, body=made(test_mode=False))
    assert (await live.create_checkout(least)).checkout_id == "ac47"


def test_what_goes_in_comes_back():
    assert attribution_from(custom_data("order_1", WHO)) == WHO


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (CheckoutRequest(reference="o", idempotency_key="k", amount=Money(100, "USD")), "sells variants"),
        (CheckoutRequest(reference="o", idempotency_key="k"), "sells variants"),
        (CheckoutRequest(reference="o", idempotency_key="k", items=[("1", 1), ("2", 1)]), "one variant"),
        (CheckoutRequest(reference="o", idempotency_key="k", items=[("pri_1", 1)]), "not the number"),
        (CheckoutRequest(reference="o", idempotency_key="k", items=[("\u0661", 1)]), "not the number"),
        (CheckoutRequest(reference="o", idempotency_key="k", items=[("", 1)]), "not the number"),
        (CheckoutRequest(reference="o", idempotency_key="k", items=[("1" * 19, 1)]), "not the number"),
    ],
)
def test_what_lemon_squeezy_cannot_sell_is_unsupported(provider, request_, says):
    with pytest.raises(Unsupported, match=says):
        request_body(request_, account_of(provider))


@pytest.mark.parametrize(
    ("environment", "test_mode", "says"),
    [("live", True, "test mode, but environment is live"), ("sandbox", False, "live mode, but environment is sandbox")],
)
async def test_a_checkout_of_the_other_mode_is_never_handed_out(
    config, http, lemonsqueezy, environment, test_mode, says
):
    other = config.model_copy(update={"environment": environment})
    lemonsqueezy.post(CHECKOUTS, status=201, body=made(test_mode=test_mode))
    with pytest.raises(Rejected, match=says):
        await plugin.open(other, Runtime(http=http, now=lambda: NOW)).create_checkout(REQUEST)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"errors": [{"detail": "Unauthenticated.", "status": "401"}]}, "API key"),
        (403, {}, "API key"),
        (404, {"errors": []}, "store_id"),
        (302, {}, "base_url"),
        (
            422,
            {"errors": [{"detail": "Wrong.", "source": {"pointer": "/data/a"}}, {"title": "And\nmore"}]},
            "Wrong. \\(/data/a\\); And more",
        ),
        (400, {"errors": [{"detail": 7}, "x", {}]}, "no reason"),
        (400, {"errors": "x"}, "no reason"),
        (413, [], "no reason"),
        (409, b"<html>", "no reason"),
    ],
)
async def test_a_refusal_is_rejected_with_what_to_do(provider, lemonsqueezy, status, body, says):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lemonsqueezy.post(CHECKOUTS, status=status, body=raw)
    with pytest.raises(Rejected, match=says) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.code == str(status)
    assert KEY not in str(caught.value)


def test_the_reasons_of_a_refusal_are_cut():
    body = json.dumps({"errors": [{"detail": "x" * 5000}]}).encode()
    with pytest.raises(Rejected) as caught:
        checkout_of(Answer(status=422, body=body), None)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "42"}, timedelta(seconds=42)),
        (429, {"Retry-After": "999999999999"}, timedelta(days=1)),
        (429, {"Retry-After": "soon"}, None),
        (500, {}, None),
        (599, {}, None),
        (408, {}, None),
    ],
)
async def test_trouble_that_passes_is_unavailable(provider, lemonsqueezy, status, headers, wait):
    lemonsqueezy.post(CHECKOUTS, status=status, headers=headers, payload={})
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "problem",
    [TimeoutError(), aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError(f"secret {KEY}"), OSError("name")],
)
async def test_a_broken_connection_is_unavailable_and_the_post_is_not_repeated(provider, lemonsqueezy, problem):
    lemonsqueezy.post(CHECKOUTS, exception=problem, repeat=True)
    with pytest.raises(Unavailable) as caught:
        await provider.create_checkout(REQUEST)
    assert len(lemonsqueezy.requests[("POST", URL(CHECKOUTS))]) == 1
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_endless_answer_is_cut(config, http, aiohttp_server):
    async def endless(request):
        return web.Response(body=b" " * (MAX_ANSWER + 1))

    app = web.Application()
    app.router.add_post("/v1/checkouts", endless)
    server = await aiohttp_server(app)
    local = config.model_copy(update={"base_url": str(server.make_url("")).rstrip("/")})
    with pytest.raises(Unavailable, match="longer"):
        await plugin.open(local, Runtime(http=http, now=lambda: NOW)).create_checkout(REQUEST)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": null}',
        b'{"data": {"id": "a", "attributes": []}}',
        made(url="javascript:alert(1)"),
        made(url="https://["),
        made(url="/checkout"),
        made(url=7),
        made(url="https://a.example/" + "x" * 2048),
        b'{"data": {"id": "", "attributes": {"url": "https://a.example"}}}',
        b'{"data": {"id": 7, "attributes": {"url": "https://a.example"}}}',
    ],
)
def test_a_success_that_cannot_be_used_is_unavailable(provider, body):
    with pytest.raises(Unavailable):
        checkout_of(Answer(status=201, body=body), account_of(provider))


def test_a_checkout_that_does_not_tell_its_mode_is_taken(provider):
    assert checkout_of(Answer(status=201, body=made(test_mode=None)), account_of(provider)).url == ADDRESS


@pytest.mark.parametrize(
    ("date", "hour"),
    [
        ("Mon, 02 Mar 2026 09:30:15 GMT", 9),
        ("Mon, 02 Mar 2026 09:30:15 -0000", 9),
        ("Mon, 02 Mar 2026 11:30:15 +0200", 9),
        ("yesterday", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_the_servers_clock(date, hour):
    time = server_time(Answer(status=200, headers=headers_of([("Date", date)])))
    assert (time.hour if time else None) == hour
