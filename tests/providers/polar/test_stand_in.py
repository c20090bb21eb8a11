"""The stand-in over real loopback HTTP, with the plugin on both ends: it opens checkouts and reads the webhooks."""

import asyncio
import json
from collections.abc import Sequence
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
from providers.polar import plugin
from providers.polar.checkout import PolarOptions
from providers.polar.config import PolarConfig
from providers.polar.stand_in import DELIVERIES, SELLER
from providers.polar.stand_in.deliveries import ATTEMPTS, PAUSES
from providers.polar.stand_in.pages import web_address
from tests.providers.polar.conftest import SECRET, STANDARD_SECRET, TOKEN, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="<t>")
SHOP = "https://shop.example.com"
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    items=[("prod_1", 1)],
    attribution=WHO,
    success_url=f"{SHOP}/thanks?id={{CHECKOUT_ID}}",
    cancel_url=f"{SHOP}/pricing",
)
PURCHASE_ORDER = [
    "checkout.created",
    "checkout.updated",
    "customer.created",
    "checkout.updated",
    "subscription.created",
    "subscription.updated",
    "subscription.active",
    "order.created",
    "order.paid",
]
RENEWAL_ORDER = ["subscription.cycled", "subscription.updated", "order.created", "order.updated", "order.paid"]


@dataclass
class Received:
    """What a gateway saw; `answers` are given first, then 200 for ever."""

    requests: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    refused: str = ""
    slow: float = 0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(webhook(body, headers_of(list(request.headers.items())), datetime.now(UTC)))
        if self.slow:
            await asyncio.sleep(self.slow)
        if json.loads(body)["type"] == self.refused:
            return web.Response(status=500)
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def bodies(self) -> list:
        return [json.loads(request.body) for request in self.requests]

    @property
    def types(self) -> list:
        return [body["type"] for body in self.bodies]

    @property
    def ids(self) -> list:
        return [request.headers["webhook-id"] for request in self.requests]


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

    async def open(self, request: CheckoutRequest = REQUEST):
        made = await self.provider.create_checkout(request)
        await self.settle()
        return made

    async def buy(self, request: CheckoutRequest = REQUEST) -> str:
        """Buy and return the order's id."""
        made = await self.open(request)
        await self.pull("pay", checkout_id=made.checkout_id)
        await self.settle()
        return self.app[SELLER].order_of(made.checkout_id)["id"]

    async def page(self, path: str, method: str = "GET", status: int = 200, **more) -> str:
        async with self.http.request(method, f"{self.address}{path}", **more) as answer:
            assert answer.status == status, await answer.text()
            return await answer.text()

    async def deliveries(self) -> list:
        return json.loads(await self.page("/stand-in/deliveries.json"))

    async def money(self) -> Sequence:
        """What the plugin reads out of everything received, in order."""
        found = []
        for request in self.received.requests:
            accepted = self.provider.verify(request)
            assert isinstance(accepted, Accepted), accepted
            assert accepted.event_id == request.headers["webhook-id"]
            events = await self.provider.extract(Delivery(request=request, proof=accepted.proof))
            found += events if isinstance(events, list) else []
        return found

    async def swept(self, since: datetime) -> Sequence:
        """What the plugin reads out of all pages of the lists."""
        events, cursor = [], None
        while True:
            page = await self.provider.list_revenue(since, cursor)
            events, cursor = [*events, *page.events], page.next_cursor
            if cursor is None:
                return events


@pytest.fixture(params=[SECRET, STANDARD_SECRET], ids=["whole secret", "standard key"])
def secret(request):
    return request.param


async def a_world(aiohttp_server, http, secret) -> World:
    received = Received()
    shop = web.Application()
    shop.router.add_post("/webhooks/acme/polar", received.receive)
    shop_server = await aiohttp_server(shop)
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = PolarConfig(environment="sandbox", access_token=TOKEN, webhook_secrets=[secret], base_url=address)
    provider = plugin.open(config, Runtime(http=http, now=lambda: datetime.now(UTC)))
    app = provider.stand_in(address, str(shop_server.make_url("/webhooks/acme/polar")), http)
    app[SELLER].settings.scale = 0.0001
    await aiohttp_server(app, port=port)
    return World(address, app, received, provider, http)


@pytest.fixture
async def world(aiohttp_server, http) -> World:
    return await a_world(aiohttp_server, http, SECRET)


async def test_a_purchase_comes_in_polars_order_and_is_one_sale(aiohttp_server, http, secret):
    world = await a_world(aiohttp_server, http, secret)
    order_id = await world.buy()
    assert world.received.types == PURCHASE_ORDER
    money = await world.money()
    assert {event.key for event in money} == {f"payment:{order_id}"}
    sale = money[-1]
    assert (sale.kind, sale.amount, sale.reference) == (RevenueKind.PURCHASE, Money(6500, "USD"), "order_1")
    assert (sale.attribution, sale.items[0]) == (WHO, "prod_1")
    assert sale.subscription_id in world.app[SELLER].subscriptions
    assert sale.checkout_id in world.app[SELLER].checkouts
    assert {one["status"] for one in await world.deliveries()} == {"delivered"}


async def test_a_one_off_has_no_subscription(world):
    await world.pull("settings", products=[{"id": "prod_1", "amount": 4900, "currency": "ISK", "recurring": False}])
    await world.buy()
    assert "subscription.created" not in world.received.types
    sale = (await world.money())[-1]
    assert (sale.amount, sale.subscription_id, sale.cause) == (Money(4900, "ISK"), None, "purchase")


async def test_seats_are_charged(world):
    options = PolarOptions(quantity_is="seats")
    request = CheckoutRequest(reference="o", idempotency_key="k", items=[("prod_1", 3)], options=options)
    await world.buy(request)
    assert (await world.money())[-1].amount == Money(19500, "USD")


async def test_a_declined_card_moves_no_money_and_leaves_the_checkout_open(world):
    made = await world.open()
    await world.pull("pay", checkout_id=made.checkout_id, decline=True)
    await world.settle()
    assert await world.money() == []
    assert "was declined" in await world.page(made.url.removeprefix(world.address))
    await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    assert len({event.key for event in await world.money()}) == 1


async def test_paying_twice_is_paying_once(world):
    made = await world.open()
    for _ in range(3):
        await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    assert world.received.types.count("order.paid") == 1
    await world.pull("pay", checkout_id="unknown", expected=409)


async def test_a_refund_succeeds_at_once_and_totals_follow(world):
    order_id = await world.buy()
    del world.received.requests[:]
    made = await world.pull("refund", order_id=order_id, amount=3000)
    await world.settle()
    assert world.received.types == ["refund.created", "order.updated", "order.refunded"]
    [refund, sale] = await world.money()
    assert (refund.key, refund.payment_id, refund.amount) == (
        f"refund:{made['refund_id']}",
        order_id,
        Money(3000, "USD"),
    )
    assert (sale.key, sale.amount) == (f"payment:{order_id}", Money(6500, "USD"))
    assert sale.net is not None


async def test_a_pending_refund_counts_once_it_has_succeeded(world):
    order_id = await world.buy()
    del world.received.requests[:]
    await world.pull("refund", order_id=order_id, pending=True)
    await world.settle()
    assert world.received.types == ["refund.created", "refund.updated", "order.updated", "order.refunded"]
    assert [body["data"]["status"] for body in world.received.bodies] == ["pending", "succeeded", *["refunded"] * 2]
    assert [event.kind for event in await world.money()] == [RevenueKind.REFUND, RevenueKind.PURCHASE]


async def test_a_refund_that_fails_moves_nothing(world):
    order_id = await world.buy()
    await world.pull("refund", order_id=order_id, fail=True)
    await world.settle()
    assert {event.kind for event in await world.money()} == {RevenueKind.PURCHASE}
    assert world.app[SELLER].refundable(order_id) == 6500


async def test_refunds_end_with_the_sale_and_give_all_of_it_back(world):
    order_id = await world.buy()
    await world.pull("refund", order_id=order_id, amount=6501, expected=409)
    await world.pull("refund", order_id=order_id, amount=999)
    await world.pull("refund", order_id=order_id, amount=1)
    await world.pull("refund", order_id=order_id)
    await world.settle()
    await world.pull("refund", order_id=order_id, expected=409)
    await world.pull("refund", order_id="unknown", expected=409)
    refunds = {event.key: event for event in await world.money() if event.kind is RevenueKind.REFUND}
    assert sorted(event.amount.minor for event in refunds.values()) == [1, 999, 5500]
    assert sum(event.tax.minor for event in refunds.values()) == 1083


async def test_a_renewal_is_pending_first_and_repeats_the_metadata(world):
    order_id = await world.buy()
    del world.received.requests[:]
    made = await world.pull("renew", order_id=order_id)
    await world.settle()
    assert world.received.types == RENEWAL_ORDER
    assert world.received.bodies[2]["data"]["status"] == "pending"
    renewal = (await world.money())[-1]
    assert (renewal.kind, renewal.payment_id) == (RevenueKind.RENEWAL, made["order_id"])
    assert (renewal.reference, renewal.attribution, renewal.checkout_id) == ("order_1", WHO, None)
    await world.pull("renew", subscription_id=renewal.subscription_id)
    await world.pull("renew", subscription_id="unknown", expected=409)


async def test_a_renewal_that_is_declined_is_paid_late_or_never(world):
    order_id = await world.buy()
    del world.received.requests[:]
    made = await world.pull("renew", order_id=order_id, decline=True)
    await world.settle()
    assert world.received.types[-1] == "subscription.past_due"
    assert await world.money() == []
    await world.pull("pay", order_id=made["order_id"])
    await world.settle()
    assert {event.key for event in await world.money()} == {f"payment:{made['order_id']}"}
    await world.pull("pay", order_id=made["order_id"], expected=409)


async def test_an_event_can_be_delivered_again_with_the_same_id(world):
    await world.buy()
    last = world.received.ids[-1]
    await world.pull("redeliver", event_id=last, times=3)
    await world.settle()
    assert world.received.ids[-4:] == [last] * 4
    assert len({request.body for request in world.received.requests[-4:]}) == 1
    await world.pull("redeliver", event_id="unknown", expected=409)


async def test_anything_but_2xx_is_sent_again_with_the_same_id(world):
    world.received.answers = [500, 302, 401, 202]
    await world.open()
    assert len(world.received.requests) == 4
    assert len({request.body for request in world.received.requests}) == 1
    [sent] = await world.deliveries()
    assert sent["status"] == "delivered"
    assert [attempt["status_code"] for attempt in sent["attempts"]] == [500, 302, 401, 202]


async def test_later_events_wait_for_one_that_is_still_tried(world):
    world.received.answers = [500, 500]
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    assert world.received.types == ["checkout.created"] * 2 + PURCHASE_ORDER


async def test_no_event_waits_for_more_than_a_minute(world):
    world.received.refused = "checkout.created"
    world.app[SELLER].settings.scale = 0.01
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("pay", checkout_id=made.checkout_id)
    while "order.paid" not in world.received.types:
        await asyncio.sleep(0.01)
    world.received.refused = ""
    [first, *others] = await world.deliveries()
    assert first["status"] == "pending"
    assert {one["status"] for one in others[:-1]} == {"delivered"}
    await world.settle()
    assert (await world.deliveries())[0]["status"] == "delivered"


async def test_polar_gives_up_after_ten_attempts_and_after_ten_events(world):
    world.received.answers = [503] * 10_000
    for number in range(9):
        await world.open()
        sent = (await world.deliveries())[number]
        assert (sent["status"], len(sent["attempts"])) == ("failed", ATTEMPTS)
        assert world.app[SELLER].settings.enabled
    await world.open()
    assert not world.app[SELLER].settings.enabled
    await world.open()
    assert [one["status"] for one in await world.deliveries()] == ["failed"] * 10 + ["skipped"]
    assert "disabled after ten failed events" in await world.page("/")
    world.received.answers = []
    await world.pull("settings", enabled=True)
    await world.open()
    assert (await world.deliveries())[-1]["status"] == "delivered"


async def test_events_that_wait_while_the_endpoint_is_turned_off_are_skipped(world):
    world.received.answers = [500]
    world.app[SELLER].settings.scale = 0.01
    await world.provider.create_checkout(REQUEST)
    await world.pull("settings", enabled=False)
    await world.settle()
    assert (await world.deliveries())[0]["status"] == "skipped"


def test_retries_fit_polars_documentation():
    assert len(PAUSES) + 1 == ATTEMPTS == 10
    assert PAUSES[0] == 4
    assert max(PAUSES) <= 1200


async def test_a_slow_answer_is_a_timeout(world):
    await world.pull("settings", timeout_seconds=0.05)
    world.received.slow = 0.3
    await world.provider.create_checkout(REQUEST)
    while len(world.received.requests) < 2:
        await asyncio.sleep(0.01)
    world.received.slow = 0
    await world.settle()
    [sent] = await world.deliveries()
    assert "no answer" in sent["attempts"][0]["problem"]
    assert sent["status"] == "delivered"


async def test_a_gateway_that_is_down_gets_it_later(world):
    right = world.app[DELIVERIES].target
    world.app[DELIVERIES].target = f"http://127.0.0.1:{unused_port()}/"
    world.app[SELLER].settings.scale = 0.01
    await world.provider.create_checkout(REQUEST)
    while not (await world.deliveries())[0]["attempts"]:
        await asyncio.sleep(0.005)
    world.app[DELIVERIES].target = right
    await world.settle()
    [sent] = await world.deliveries()
    assert "no connection" in sent["attempts"][0]["problem"]
    assert sent["status"] == "delivered"


@pytest.mark.parametrize(
    ("how", "seen", "attempts", "status"),
    [("unsent", 1, 3, "delivered"), ("unanswered", 3, 3, "delivered"), ("lost", 0, 0, "lost")],
)
async def test_deliveries_can_be_made_to_fail(world, how, seen, attempts, status):
    await world.pull("fail", next=1 if how == "lost" else 2, how=how)
    await world.open()
    [sent] = await world.deliveries()
    assert len(world.received.requests) == seen
    assert (len(sent["attempts"]), sent["status"]) == (attempts, status)


async def test_what_was_lost_is_still_on_the_lists(world):
    begun = datetime.now(UTC) - timedelta(minutes=1)
    made = await world.open()
    await world.pull("fail", next=100, how="lost")
    await world.pull("pay", checkout_id=made.checkout_id)
    await world.settle()
    order_id = world.app[SELLER].order_of(made.checkout_id)["id"]
    await world.pull("refund", order_id=order_id, amount=100)
    await world.settle()
    assert world.received.types == ["checkout.created"]
    [sale, refund] = await world.swept(begun)
    assert (sale.key, refund.amount) == (f"payment:{order_id}", Money(100, "USD"))
    assert sale.net == Money(6500 - 1083 - 300, "USD")


async def test_the_lists_are_followed_over_pages_and_give_the_keys_of_the_webhooks(world, monkeypatch):
    begun = datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(3):
        order_id = await world.buy()
        await world.pull("refund", order_id=order_id, amount=100)
        await world.pull("refund", order_id=order_id, amount=200)
    await world.settle()
    monkeypatch.setattr("providers.polar.listing.PER_PAGE", 2)
    swept = await world.swept(begun)
    assert {event.key for event in swept} == {event.key for event in await world.money()}
    assert len(swept) == 9
    later = await world.swept(datetime.now(UTC) + timedelta(days=30))
    assert {event.kind for event in later} == {RevenueKind.REFUND}


async def listed(world, path, status=200, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with world.http.get(f"{world.address}{path}", headers=headers) as answer:
        assert answer.status == status
        return await answer.json()


async def test_the_probe_works_at_the_stand_in(world):
    assert abs(await world.provider.probe() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_pages_are_as_polar_makes_them(world):
    await world.buy()
    assert (await listed(world, "/v1/orders/"))["pagination"] == {"total_count": 1, "max_page": 1}
    assert (await listed(world, "/v1/orders/?page=2"))["pagination"] == {"total_count": 0, "max_page": 0}
    assert (await listed(world, "/v1/refunds/?limit=999"))["items"] == []
    for bad in ("page=0", "page=x", "limit=-1", "sorting=amount", "created_after=yesterday"):
        found = await listed(world, f"/v1/orders/?{bad}", 422)
        assert found["detail"][0]["loc"] == ["query", bad.partition("=")[0]]


@pytest.mark.parametrize("token", [None, "wrong", "schlüssel"])
async def test_a_wrong_token_is_refused_in_polars_form(world, token):
    found = await listed(world, "/v1/orders/", 401, token)
    assert found["error"] == "invalid_token"
    assert found["error_description"]


async def test_a_checkout_can_be_looked_at(world):
    made = await world.open()
    assert (await listed(world, f"/v1/checkouts/{made.checkout_id}"))["status"] == "open"
    assert (await listed(world, "/v1/checkouts/unknown", 404))["error"] == "ResourceNotFound"


@pytest.mark.parametrize(
    ("status", "error"), [(503, Unavailable), (429, Unavailable), (403, Rejected), (422, Rejected)]
)
async def test_the_api_can_be_made_to_fail(world, status, error):
    await world.pull("fail-api", status=status)
    with pytest.raises(error) as caught:
        await world.provider.create_checkout(REQUEST)
    if status == 429:
        assert caught.value.retry_after == timedelta(seconds=7)
    assert await world.provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        {},
        {"products": []},
        {"products": [7]},
        {"products": ["p"], "seats": 0},
        {"products": ["p"], "success_url": 7},
        {"products": ["p"], "metadata": []},
        {"products": ["p"], "metadata": {"k" * 41: "v"}},
        {"products": ["p"], "metadata": {"k": "v" * 501}},
        {"products": ["p"], "metadata": {"k": ""}},
        {"products": ["p"], "metadata": {"k": None}},
        {"products": ["p"], "metadata": {f"k{number}": 1 for number in range(51)}},
    ],
)
async def test_a_checkout_that_polar_would_refuse_is_refused(world, body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.http.post(f"{world.address}/v1/checkouts/", data=raw, headers=headers) as answer:
        assert answer.status == 422
        assert (await answer.json())["detail"][0]["loc"]


async def test_a_checkout_without_metadata_is_fine(world):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.http.post(f"{world.address}/v1/checkouts/", json={"products": ["p"]}, headers=headers) as answer:
        assert answer.status == 201


async def test_the_buyers_page_pays_declines_and_refunds_without_script(world):
    made = await world.open()
    path = made.url.removeprefix(world.address)
    text = await world.page(path)
    assert all(f'id="{button}"' in text for button in ("pay", "decline", "back"))
    assert f'href="{SHOP}/pricing"' in text
    assert "65.00 USD" in text
    assert "&lt;t&gt;" in text or "\\u003ct\\u003e" in text
    assert "<t>" not in text
    await world.page(f"{path}/refund", "POST", status=409)
    world.app[SELLER].settings.scale = 0.05
    text = await world.page(f"{path}/pay", "POST")
    assert "being processed" in text
    assert 'http-equiv="refresh"' in text
    await world.settle()
    text = await world.page(path)
    assert "Thank you" in text
    assert f'href="{SHOP}/thanks?id={made.checkout_id}"' in text
    assert 'id="refund"' in text
    text = await world.page(f"{path}/refund", "POST")
    assert "refund (succeeded)" in text
    assert 'id="refund"' not in text
    await world.settle()
    assert {event.kind for event in await world.money()} == {RevenueKind.PURCHASE, RevenueKind.REFUND}
    assert "order.refunded" in await world.page("/")


async def test_the_page_leads_back_where_the_shop_says(world):
    made = await world.open()
    path = made.url.removeprefix(world.address)
    assert f'href="{SHOP}/elsewhere"' in await world.page(f"{path}?return_to={SHOP}/elsewhere")
    assert f'href="{SHOP}/elsewhere"' in await world.page(path)
    assert "javascript" not in await world.page(f"{path}?return_to=javascript:alert(1)")
    await world.pull("settings", return_to="https://other.example.com")
    bare = await world.open(CheckoutRequest(reference="o", idempotency_key="k", items=[("p", 1)]))
    path = bare.url.removeprefix(world.address)
    assert 'href="https://other.example.com"' in await world.page(path)
    await world.pull("settings", return_to="nowhere", expected=409)


async def test_a_shop_that_is_not_known_gets_no_link(world):
    bare = await world.open(CheckoutRequest(reference="o", idempotency_key="k", items=[("p", 1)]))
    path = bare.url.removeprefix(world.address)
    assert 'id="back"' not in await world.page(path)
    await world.page(f"{path}/pay", "POST")
    await world.settle()
    assert 'id="back"' not in await world.page(f"{path}/confirmation")


@pytest.mark.parametrize(("path", "method"), [("/checkout/x", "GET"), ("/checkout/x/pay", "POST")])
async def test_a_checkout_that_is_none_is_404(world, path, method):
    assert "no such checkout" in await world.page(path, method, status=404)


async def test_an_empty_log_says_so(world):
    assert "Nothing yet" in await world.page("/")


async def test_levers_name_what_they_do_not_understand(world):
    found = await world.pull("pay", checkout_id="x", amount=1, expected=400)
    assert found["errors"][0]["field"] == "amount"
    await world.pull("settings", products=[{"id": "p", "amount": 1, "currency": "ZZZ"}], expected=409)
    state = json.loads(await world.page("/stand-in/state.json"))
    assert set(state) == {"checkouts", "orders", "refunds", "subscriptions", "enabled"}


async def test_a_story_that_breaks_off_is_logged(world, caplog):
    async def broken():
        raise RuntimeError("on purpose")

    world.app[DELIVERIES].start(broken())
    await world.settle()
    assert "broke off" in caplog.text


def test_only_whole_addresses_become_links():
    assert [web_address(text) for text in ("https://a.example/b", "//a.example", "https://[", None, "")] == [
        "https://a.example/b",
        None,
        None,
        None,
        None,
    ]


async def test_stopping_leaves_nothing_running(world):
    world.received.answers = [500] * 9
    world.app[SELLER].settings.scale = 1
    await world.provider.create_checkout(REQUEST)
    await world.app[DELIVERIES].close()
    assert not world.app[DELIVERIES]._running
