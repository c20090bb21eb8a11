"""The stand-in over real loopback HTTP, with the plugin on both ends: it opens checkouts and reads the webhooks."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from gateway.sdk import (
    Accepted,
    Attribution,
    CheckoutRequest,
    Delivery,
    Money,
    Rejected,
    RevenueKind,
    Runtime,
    Unavailable,
    headers_of,
)
from providers.lemonsqueezy import plugin
from providers.lemonsqueezy.config import LemonSqueezyConfig
from providers.lemonsqueezy.stand_in import DELIVERIES, STORE
from providers.lemonsqueezy.stand_in.deliveries import RETRIES
from tests.providers.lemonsqueezy.conftest import KEY, SECRET, STORE_ID, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="<t>")
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    items=[("1001", 2)],
    attribution=WHO,
    success_url="https://shop.example.com/thanks",
)
PURCHASE_ORDER = ["order_created", "subscription_created", "subscription_payment_success"]


@dataclass
class Received:
    """What a gateway saw; `answers` are given first, then 200 for ever."""

    requests: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    slow: float = 0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(webhook(body, headers_of(list(request.headers.items())), datetime.now(UTC)))
        if self.slow:
            await asyncio.sleep(self.slow)
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def names(self) -> list:
        return [json.loads(request.body)["meta"]["event_name"] for request in self.requests]


@dataclass
class World:
    address: str
    app: web.Application
    received: Received
    provider: object
    http: aiohttp.ClientSession

    async def pull(self, lever: str, expected: int = 200, **what):
        async with self.http.post(f"{self.address}/stand-in/{lever}", json=what) as answer:
            assert answer.status == expected, await answer.text()
            return await answer.json()

    async def settle(self) -> None:
        await self.pull("settle")

    async def buy(self, request: CheckoutRequest = REQUEST) -> str:
        made = await self.provider.create_checkout(request)
        await self.pull("pay", checkout_id=made.checkout_id)
        await self.settle()
        return made.checkout_id

    async def page(self, path: str, method: str = "GET", status: int = 200, **more) -> str:
        async with self.http.request(method, f"{self.address}{path}", **more) as answer:
            assert answer.status == status
            return await answer.text()

    async def sent(self) -> list:
        return json.loads(await self.page("/stand-in/deliveries.json"))

    async def money(self) -> list:
        """What the plugin reads out of everything received, in order."""
        found = []
        for request in self.received.requests:
            accepted = self.provider.verify(request)
            assert isinstance(accepted, Accepted), accepted
            events = await self.provider.extract(Delivery(request=request, proof=accepted.proof))
            found += events if isinstance(events, list) else []
        return found

    async def listed(self) -> list:
        """What the plugin reads out of all pages of both lists."""
        found, cursor = [], None
        while True:
            page = await self.provider.list_revenue(datetime.now(UTC) - timedelta(hours=1), cursor)
            found += page.events
            cursor = page.next_cursor
            if cursor is None:
                return found


@pytest.fixture
async def world(aiohttp_server, http):
    received = Received()
    gateway = web.Application()
    gateway.router.add_post("/webhooks/acme/lemonsqueezy", received.receive)
    server = await aiohttp_server(gateway)
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = LemonSqueezyConfig(
        environment="sandbox",
        api_key=KEY,
        webhook_secrets=[SECRET],
        store_id=STORE_ID,
        base_url=address,
        settling_minutes=0,
    )
    provider = plugin.open(config, Runtime(http=http, now=lambda: datetime.now(UTC)))
    app = provider.stand_in(address, str(server.make_url("/webhooks/acme/lemonsqueezy")), http)
    app[STORE].settings.scale = 0.0001
    await aiohttp_server(app, port=port)
    return World(address, app, received, provider, http)


async def test_a_first_payment_comes_as_an_order_and_an_invoice_and_is_one_sale(world):
    await world.buy()
    assert world.received.names == PURCHASE_ORDER
    [sale] = await world.money()
    assert (sale.key, sale.amount) == ("payment:order-1", Money(13000, "USD"))
    assert (sale.reference, sale.attribution, sale.test) == ("order_1", WHO, True)
    assert sale.items[0] == "1001"
    assert {one["status"] for one in await world.sent()} == {"delivered"}


async def test_a_product_that_does_not_renew_is_an_order_only(world):
    await world.pull("settings", recurring=False, amount=4900, currency="JPY")
    name = await world.buy()
    assert world.received.names == ["order_created"]
    assert (await world.money())[0].amount == Money(9800, "JPY")
    await world.pull("renew", checkout_id=name, expected=409)
    await world.pull("refund", checkout_id=name)
    await world.settle()
    assert world.received.names == ["order_created", "order_refunded"]


async def test_the_checkout_is_the_stand_ins_own_page(world):
    made = await world.provider.create_checkout(REQUEST)
    assert made.url.startswith(f"{world.address}/checkout/custom/{made.checkout_id}?signature=")


async def test_paying_twice_is_paying_once_and_a_declined_card_sends_nothing(world):
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("pay", checkout_id=made.checkout_id, decline=True)
    await world.settle()
    assert world.received.names == []
    for _ in range(3):
        await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    assert world.received.names == PURCHASE_ORDER


async def test_a_renewal_is_an_invoice_with_the_first_sales_custom_data(world):
    name = await world.buy()
    made = await world.pull("renew", checkout_id=name)
    await world.settle()
    renewal = (await world.money())[-1]
    assert (renewal.kind, renewal.payment_id) == (RevenueKind.RENEWAL, f"invoice-{made['invoice_id']}")
    assert (renewal.reference, renewal.attribution, renewal.subscription_id) == ("order_1", WHO, "1")


@pytest.mark.parametrize("reported", ["both", "order", "invoice"])
async def test_a_refund_of_a_first_payment_counts_once_however_it_is_reported(world, reported):
    name = await world.buy()
    await world.pull("settings", first_refund=reported)
    await world.pull("refund", checkout_id=name, amount=3000)
    await world.pull("refund", checkout_id=name)
    await world.settle()
    refunds = [event for event in await world.money() if event.kind is RevenueKind.REFUND]
    assert {event.key for event in refunds} == {"refunds:order-1:3000", "refunds:order-1:13000"}
    assert len(refunds) == (4 if reported == "both" else 2)
    assert {event.payment_id for event in refunds} == {"order-1"}


async def test_refunds_end_with_the_sale(world):
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("refund", checkout_id=made.checkout_id, expected=409)
    await world.pull("refund", checkout_id="unknown", expected=409)
    name = await world.buy()
    await world.pull("refund", checkout_id=name, amount=13001, expected=409)
    await world.pull("refund", checkout_id=name, invoice_id="99", expected=409)
    await world.pull("refund", checkout_id=name)
    await world.pull("refund", checkout_id=name, expected=409)
    await world.settle()


async def test_the_lists_have_the_keys_of_the_webhooks(world):
    name = await world.buy()
    made = await world.pull("renew", checkout_id=name)
    await world.pull("refund", checkout_id=name, amount=2000)
    await world.pull("refund", checkout_id=name, invoice_id=made["invoice_id"])
    await world.settle()
    told = {event.key: event.amount for event in await world.money()}
    listed = {event.key: event.amount for event in await world.listed()}
    assert told == listed
    assert set(told) == {
        "payment:order-1",
        "refunds:order-1:2000",
        "payment:invoice-2",
        "refunds:invoice-2:13000",
    }


async def test_long_lists_are_read_page_by_page(world):
    for _ in range(101):
        made = await world.provider.create_checkout(REQUEST)
        await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    assert {event.key for event in await world.listed()} == {f"payment:order-{number + 1}" for number in range(101)}


async def test_anything_but_200_is_tried_three_times_more_with_the_same_body(world):
    world.received.answers = [201, 500, 404]
    await world.pull("settings", recurring=False)
    await world.buy()
    assert len({request.body for request in world.received.requests}) == 1
    [sent] = await world.sent()
    assert [one["status_code"] for one in sent["attempts"]] == [201, 500, 404, 200]
    assert sent["status"] == "delivered"


async def test_after_three_retries_a_webhook_is_given_up(world):
    assert RETRIES == (5, 25, 125)
    world.received.answers = [503] * 9
    await world.pull("settings", recurring=False)
    name = await world.buy()
    [sent] = await world.sent()
    assert (sent["status"], len(sent["attempts"])) == ("failed", 4)
    assert {event.key for event in await world.listed()} == {"payment:order-1"}
    world.received.answers = []
    await world.pull("resend", number=0, times=2)
    await world.pull("resend", number=9, expected=409)
    await world.settle()
    assert (await world.sent())[0]["status"] == "delivered"
    assert name


@pytest.mark.parametrize(
    ("how", "arrived", "problem", "status"),
    [
        ("unsent", 1, "made to fail before it was sent", "delivered"),
        ("unanswered", 2, "sent, but the answer was made to get lost", "delivered"),
        ("lost", 0, None, "lost"),
    ],
)
async def test_webhooks_can_be_made_to_fail(world, how, arrived, problem, status):
    await world.pull("settings", recurring=False)
    await world.pull("fail", how=how)
    await world.buy()
    assert len(world.received.requests) == arrived
    [sent] = await world.sent()
    assert sent["status"] == status
    assert [one["problem"] for one in sent["attempts"]] == ([problem, None] if problem else [])


async def test_a_gateway_that_is_not_there_is_tried_again(world, aiohttp_server):
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = world.provider.config.model_copy(update={"base_url": address})
    provider = plugin.open(config, world.provider.runtime)
    app = provider.stand_in(address, "http://127.0.0.1:9/", world.http)
    await aiohttp_server(app, port=port)
    made = await provider.create_checkout(REQUEST)
    async with world.http.post(f"{address}/stand-in/pay", json={"checkout_id": made.checkout_id}) as answer:
        assert answer.status == 200
    for _ in range(200):
        if app[DELIVERIES].log[0].attempts:
            break
        await asyncio.sleep(0.01)
    assert "no connection" in app[DELIVERIES].log[0].attempts[0].problem
    await app[DELIVERIES].close()  # the retries are due in seconds: stopping does not wait for them


async def test_a_gateway_that_is_slow_or_gone_is_tried_again(world):
    await world.pull("settings", recurring=False, timeout_seconds=0.05)
    world.received.slow = 0.2
    await world.buy()
    assert "no answer" in (await world.sent())[0]["attempts"][0]["problem"]


async def test_the_probe_works_and_another_key_is_refused(world):
    assert await world.provider.probe() is not None
    config = world.provider.config.model_copy(update={"api_key": type(world.provider.config.api_key)("other")})
    with pytest.raises(Rejected, match="API key"):
        await plugin.open(config, world.provider.runtime).create_checkout(REQUEST)


async def test_another_store_is_not_found(world):
    config = world.provider.config.model_copy(update={"store_id": "9"})
    other = plugin.open(config, world.provider.runtime)
    with pytest.raises(Rejected, match="store_id"):
        await other.create_checkout(REQUEST)
    with pytest.raises(Rejected, match="store_id"):
        await other.probe()


async def test_the_api_can_be_made_to_fail(world):
    await world.pull("fail-api", status=429, next=1)
    with pytest.raises(Unavailable) as caught:
        await world.provider.create_checkout(REQUEST)
    assert caught.value.retry_after == timedelta(seconds=7)
    await world.pull("fail-api", status=500)
    with pytest.raises(Unavailable):
        await world.provider.probe()
    assert await world.provider.create_checkout(REQUEST)


async def test_bad_calls_get_json_apis_errors(world):
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "application/vnd.api+json"}
    good = {
        "type": "checkouts",
        "attributes": {"checkout_data": {"custom": {"a": 7}}},
        "relationships": {
            "store": {"data": {"type": "stores", "id": STORE_ID}},
            "variant": {"data": {"type": "variants", "id": "1"}},
        },
    }
    bad = [
        (b"x", 400),
        (b"{}", 400),
        (b'{"data": {"type": "x"}}', 409),
        (json.dumps({"data": good}).encode(), 422),
        (json.dumps({"data": {**good, "relationships": {"store": {"data": {}}}}}).encode(), 422),
    ]
    for body, status in bad:
        text = await world.page("/v1/checkouts", "POST", status, data=body, headers=headers)
        assert json.loads(text)["errors"][0]["status"] == str(status)
    await world.page("/v1/orders?page[size]=x", "GET", 400, headers=headers)
    await world.page("/v1/subscriptions/9", "GET", 404, headers=headers)
    await world.page("/v1/orders", "GET", 401)


async def test_the_page_sells_refunds_and_leads_back(world):
    made = await world.provider.create_checkout(REQUEST)
    path = made.url.removeprefix(world.address)
    page = await world.page(path)
    assert 'id="pay"' in page
    assert "130.00 USD" in page
    assert "&lt;t&gt;" in page or "\\u003ct\\u003e" in page
    action = f"/checkout/custom/{made.checkout_id}"
    assert "declined" in await world.page(f"{action}/decline", "POST")
    page = await world.page(f"{action}/pay?return_to=https%3A%2F%2Fother.example%2Fback", "POST")
    assert "Thank you" in page
    assert 'href="https://other.example/back"' in page
    assert 'href="https://shop.example.com/thanks"' in await world.page(path)
    assert "refunded so far" in await world.page(f"{action}/refund", "POST")
    await world.page(f"{action}/refund", "POST", 409)
    await world.settle()
    assert "order_refunded" in await world.page("/")
    state = json.loads(await world.page("/stand-in/state.json"))
    assert state["orders"][0]["attributes"]["status"] == "refunded"


@pytest.mark.parametrize("odd", ["javascript:alert(1)", "//evil.example", "https://[", ""])
async def test_the_page_leads_to_web_addresses_only(world, odd):
    made = await world.provider.create_checkout(CheckoutRequest(reference="o", idempotency_key="k", items=[("1", 1)]))
    await world.pull("pay", checkout_id=made.checkout_id)
    page = await world.page(f"/checkout/custom/{made.checkout_id}", params={"return_to": odd})
    assert 'id="back"' not in page
    await world.pull("settings", return_to=odd or "x", expected=409)
    await world.settle()


async def test_an_unknown_checkout_and_odd_levers(world):
    assert "no such checkout" in await world.page("/checkout/custom/x", status=404)
    await world.page("/checkout/custom/x/pay", "POST", 404)
    assert "Nothing yet" in await world.page("/stand-in/deliveries")
    await world.pull("pay", checkout_id="x", expected=409)
    await world.pull("pay", expected=400)
    await world.pull("settings", unknown=1, expected=400)
    await world.pull("settings", currency="ZZZ", expected=409)


async def test_a_live_connection_has_a_live_stand_in(world, aiohttp_server):
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = world.provider.config.model_copy(update={"environment": "live", "base_url": address})
    live = plugin.open(config, world.provider.runtime)
    await aiohttp_server(live.stand_in(address, "http://127.0.0.1:9/", world.http), port=port)
    assert await live.create_checkout(REQUEST)
    sandbox = plugin.open(config.model_copy(update={"environment": "sandbox"}), world.provider.runtime)
    with pytest.raises(Rejected, match="live mode"):
        await sandbox.create_checkout(REQUEST)
