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
from providers.stripe import plugin
from providers.stripe.config import StripeConfig, StripeOptions
from providers.stripe.stand_in import DELIVERIES, SELLER
from providers.stripe.stand_in.deliveries import RETRIES
from tests.providers.stripe.conftest import KEY, SECRET, webhook

WHO = Attribution(visitor_id="site_1:visitor/2 ü", session_id="s", token="<t>")
AUTH = {"Authorization": f"Bearer {KEY}"}
PURCHASE, RENEWAL, REFUND, REVERSAL = RevenueKind


def order(price="price_once", key="k", **changes):
    return CheckoutRequest(
        reference="order_1",
        idempotency_key=key,
        items=[(price, 2)],
        attribution=WHO,
        **{"success_url": "https://shop.example.com/thanks?s={CHECKOUT_SESSION_ID}", **changes},
    )


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
    def types(self) -> list:
        return [json.loads(request.body)["type"] for request in self.requests]


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

    async def buy(self, request: CheckoutRequest | None = None, how: str = "card") -> str:
        made = await self.provider.create_checkout(request or order())
        await self.pull("pay", session_id=made.checkout_id, how=how)
        await self.settle()
        return made.checkout_id

    async def page(self, path: str, method: str = "GET", status: int = 200, **more) -> str:
        async with self.http.request(method, f"{self.address}{path}", **more) as answer:
            assert answer.status == status, await answer.text()
            return await answer.text()

    async def api(self, path: str, status: int = 200, method: str = "GET", headers=AUTH, **more) -> dict:
        async with self.http.request(method, f"{self.address}{path}", headers=headers, **more) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def deliveries(self) -> list:
        return json.loads(await self.page("/stand-in/deliveries.json"))

    async def money(self) -> Sequence:
        """What the plugin reads out of everything received, each movement once, in order."""
        found = {}
        for request in self.received.requests:
            accepted = self.provider.verify(request)
            assert isinstance(accepted, Accepted), accepted
            events = await self.provider.extract(Delivery(request=request, proof=accepted.proof))
            found |= {event.key: event for event in events} if isinstance(events, list) else {}
        return list(found.values())

    async def listed(self) -> list:
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
    shop = web.Application()
    shop.router.add_post("/webhooks/acme/stripe", received.receive)
    shop_server = await aiohttp_server(shop)
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = StripeConfig(environment="sandbox", api_key=KEY, webhook_secrets=[SECRET], base_url=address)
    provider = plugin.open(config, Runtime(http=http, now=lambda: datetime.now(UTC)))
    app = provider.stand_in(address, str(shop_server.make_url("/webhooks/acme/stripe")), http)
    app[SELLER].settings.scale = 0.0001
    await aiohttp_server(app, port=port)
    return World(address, app, received, provider, http)


async def test_a_one_off_sale_is_told_in_five_events_and_is_one_sale(world):
    name = await world.buy()
    assert world.received.types == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
        "charge.updated",
    ]
    [sale] = await world.money()
    assert (sale.kind, sale.amount, sale.tax) == (PURCHASE, Money(13000, "USD"), Money(2166, "USD"))
    assert (sale.checkout_id, sale.reference, sale.attribution) == (name, "order_1", WHO)
    assert sale.items == ("price_once", "prod_standin00000001")
    assert (sale.payment_id[:3], sale.test) == ("pi_", True)


@pytest.mark.parametrize("version", ["2025-03-31.basil", "2024-06-20"])
async def test_a_subscription_and_its_renewal_are_two_sales_of_one_visitor(world, version):
    await world.pull("settings", version=version)
    name = await world.buy(order("price_pro"))
    await world.pull("renew", id=next(iter(world.app[SELLER].subscriptions)))
    await world.settle()
    assert world.received.types.count("invoice.paid") == 2
    assert world.received.types.count("checkout.session.completed") == 1
    first, second = await world.money()
    assert (first.kind, second.kind) == (PURCHASE, RENEWAL)
    assert first.payment_id != second.payment_id
    assert first.subscription_id == second.subscription_id
    assert (first.checkout_id, second.checkout_id) == (name, None)
    assert first.attribution == second.attribution == WHO
    assert first.amount == second.amount == Money(13000, "USD")


async def test_a_trial_costs_nothing_until_it_renews(world):
    name = await world.buy(order("price_pro", options=StripeOptions(trial_days=14)))
    await world.pull("renew", id=name)
    await world.settle()
    first, second = await world.money()
    assert (first.kind, first.amount, first.payment_id[:3]) == (PURCHASE, Money(0, "USD"), "in_")
    assert (second.kind, second.amount) == (RENEWAL, Money(13000, "USD"))


async def test_a_bank_debit_counts_when_the_money_has_come(world):
    made = await world.provider.create_checkout(order())
    await world.pull("settings", scale=0.05)
    await world.pull("pay", session_id=made.checkout_id, how="later")
    for _ in range(100):
        await asyncio.sleep(0.01)
        if "checkout.session.completed" in world.received.types:
            break
    assert await world.money() == []
    await world.settle()
    assert world.received.types[-1] == "checkout.session.async_payment_succeeded"
    assert [sale.amount for sale in await world.money()] == [Money(13000, "USD")]


@pytest.mark.parametrize("how", ["later_fails", "decline"])
async def test_money_that_never_comes_is_no_sale(world, how):
    name = await world.buy(how=how)
    assert await world.money() == []
    if how == "decline":
        assert "declined" in await world.page(f"/c/pay/{name}")
        await world.pull("pay", session_id=name)
        await world.settle()
        assert len(await world.money()) == 1


@pytest.mark.parametrize(
    ("how", "kinds"),
    [({}, [REFUND]), ({"pending": True}, [REFUND]), ({"fails": True}, [REFUND, REVERSAL])],
)
async def test_refunds_point_at_their_sale(world, how, kinds):
    name = await world.buy(order("price_pro"))
    await world.pull("refund", id=name, amount=2500, **how)
    await world.settle()
    sale, *back = await world.money()
    assert [(event.kind, event.amount, event.payment_id) for event in back] == [
        (kind, Money(2500, "USD"), sale.payment_id) for kind in kinds
    ]


async def test_no_more_goes_back_than_came(world):
    name = await world.buy()
    await world.pull("refund", id=name, amount=10_000)
    await world.pull("refund", id=name, amount=3001, expected=409)
    await world.pull("refund", id=name)
    await world.settle()
    await world.pull("refund", id=name, expected=409)
    await world.pull("dispute", id=name, expected=409)
    assert [event.amount.minor for event in await world.money()] == [13000, 10000, 3000]


@pytest.mark.parametrize(("closed", "kinds"), [("won", [REFUND, REVERSAL]), ("lost", [REFUND])])
async def test_a_dispute_takes_the_money_and_brings_it_back_if_it_is_won(world, closed, kinds):
    name = await world.buy()
    await world.pull("dispute", id=name, closed=closed, expected=409)
    await world.pull("dispute", id=name)
    await world.settle()
    assert "dispute (needs response)" in await world.page(f"/c/pay/{name}")
    await world.pull("dispute", id=name, closed=closed)
    await world.settle()
    sale, *back = await world.money()
    assert [(event.kind, event.payment_id) for event in back] == [(kind, sale.payment_id) for kind in kinds]
    await world.pull("dispute", id=name, closed=closed, expected=409)


async def test_the_listing_has_what_the_webhooks_told(world):
    for price in ("price_once", "price_pro"):
        name = await world.buy(order(price, key=price))
        await world.pull("refund", id=name)
        await world.settle()
    told = {event.key: event for event in await world.money()}
    assert len(told) == 4
    listed = {event.key: event for event in await world.listed()}
    assert {key: (event.kind, event.amount) for key, event in listed.items()} == {
        key: (event.kind, event.amount) for key, event in told.items()
    }


async def test_the_list_comes_in_pages(world):
    for number in range(9):
        await world.buy(order(key=f"k{number}"))
        payment = list(world.app[SELLER].payments)[-1]
        await world.pull("refund", id=payment)
        await world.settle()
    assert len({event.key for event in await world.listed()}) == 18


async def test_a_buyer_pays_refunds_and_goes_back_by_hand(world):
    made = await world.provider.create_checkout(order())
    path = made.url.removeprefix(world.address)
    page = await world.page(path)
    assert all(f'id="{button}"' in page for button in ("pay", "later", "decline"))
    assert 'id="back"' not in page
    assert "&lt;t&gt;" in page or "\\u003ct\\u003e" in page
    await world.page(f"{path}/pay", "POST", allow_redirects=False, status=303)
    await world.settle()
    page = await world.page(path)
    assert "Paid. Thank you!" in page
    assert f'href="https://shop.example.com/thanks?s={made.checkout_id}"' in page
    await world.page(f"{path}/pay", "POST", allow_redirects=False, status=303)
    await world.page(f"{path}/refund", "POST", allow_redirects=False, status=303)
    await world.settle()
    page = await world.page(path)
    assert "refund (succeeded)" in page
    assert 'id="refund"' not in page
    assert [event.kind for event in await world.money()] == [PURCHASE, REFUND]
    assert "0 cannot go back" in await world.page(f"{path}/refund", "POST", status=409)


async def test_the_page_links_back_to_where_it_was_told(world):
    made = await world.provider.create_checkout(order())
    path = made.url.removeprefix(world.address)
    await world.page(f"{path}?return_to=https://shop.example.com/back")
    await world.page(f"{path}?return_to=javascript:alert(1)")
    await world.page(f"{path}?return_to=http://[")
    await world.pull("pay", session_id=made.checkout_id)
    await world.settle()
    page = await world.page(path)
    assert 'href="https://shop.example.com/back"' in page
    assert "javascript" not in page


async def test_the_setting_says_where_pages_lead_back(world):
    await world.pull("settings", return_to="https://other.example.com/")
    name = await world.buy()
    assert 'href="https://other.example.com/"' in await world.page(f"/c/pay/{name}")
    await world.pull("settings", return_to="ftp://x", expected=409)


async def test_what_does_not_exist_is_said(world):
    assert "no such checkout" in (await world.page("/c/pay/cs_nothing", status=404)).lower()
    await world.page("/c/pay/cs_nothing/pay", "POST", status=404)
    for lever, what in (
        ("pay", {"session_id": "cs_nothing"}),
        ("refund", {"id": "cs_nothing"}),
        ("renew", {"id": "cs_nothing"}),
        ("redeliver", {"event_id": "evt_nothing"}),
    ):
        await world.pull(lever, expected=409, **what)
    name = await world.buy()
    await world.pull("renew", id=name, expected=409)
    await world.pull("pay", expected=400)
    await world.pull("pay", session_id=name, nonsense=1, expected=400)
    made = await world.provider.create_checkout(order("price_pro", key="k2"))
    await world.pull("pay", session_id=made.checkout_id, how="later", expected=409)
    await world.pull("refund", id=made.checkout_id, expected=409)
    path = made.url.removeprefix(world.address)
    assert "one-off sales only" in await world.page(f"{path}/later", "POST", status=409)


async def test_an_answer_of_2xx_is_enough_and_others_are_retried(world):
    world.received.answers = [204, 500, 302]
    await world.buy()
    await world.settle()
    first, second, third = (await world.deliveries())[:3]
    assert [attempt["status_code"] for attempt in first["attempts"]] == [204]
    assert [attempt["status_code"] for attempt in second["attempts"]] == [500, 200]
    assert [attempt["status_code"] for attempt in third["attempts"]] == [302, 200]
    assert len(await world.money()) == 1
    assert "delivered" in await world.page("/stand-in/deliveries")


async def test_a_sandbox_gives_up_after_three_retries(world):
    world.received.answers = [500] * 4
    await world.pull("settings", enabled_events=["checkout.session.completed"])
    await world.buy()
    [sending] = await world.deliveries()
    assert (sending["status"], len(sending["attempts"])) == ("failed", 4)
    assert sum(RETRIES["live"]) < 3 * 86_400 <= 2 * sum(RETRIES["live"])


async def test_webhooks_get_lost_late_and_doubled_when_asked(world):
    await world.pull("settings", enabled_events=["checkout.session.completed"], timeout_seconds=0.2)
    await world.pull("fail", how="unsent")
    await world.buy()
    await world.pull("fail", how="unanswered")
    await world.buy(order(key="k2"))
    await world.pull("fail", how="lost")
    await world.buy(order(key="k3"))
    first, second, third = await world.deliveries()
    assert [attempt["problem"] is None for attempt in first["attempts"]] == [False, True]
    assert [attempt["problem"] is None for attempt in second["attempts"]] == [False, True]
    assert (third["status"], third["attempts"]) == ("lost", [])
    assert len(world.received.requests) == 3
    await world.pull("redeliver", event_id=third["event_id"], times=2)
    await world.settle()
    assert len(world.received.requests) == 5
    assert len(await world.money()) == 3


async def test_a_silent_or_absent_endpoint_is_tried_again(world):
    world.received.slow = 0.3
    await world.pull("settings", enabled_events=["checkout.session.completed"], timeout_seconds=0.05)
    await world.buy()
    [sending] = await world.deliveries()
    assert {attempt["problem"] for attempt in sending["attempts"]} == {"no answer within 0.05 seconds"}
    world.app[DELIVERIES].target = f"http://127.0.0.1:{unused_port()}/"
    await world.buy(order(key="k2"))
    assert "no connection" in (await world.deliveries())[-1]["attempts"][0]["problem"]


async def test_the_same_key_gives_the_same_session(world):
    first = await world.provider.create_checkout(order(key="same"))
    assert await world.provider.create_checkout(order(key="same")) == first
    with pytest.raises(Rejected, match="idempotent") as caught:
        await world.provider.create_checkout(order("price_other_once", key="same"))
    assert caught.value.code == "idempotency_error"
    assert (await world.provider.create_checkout(order(key="other"))).checkout_id != first.checkout_id
    form = {"mode": "payment", "success_url": "https://x", "line_items[0][price]": "once"}
    once, again = [await world.api("/v1/checkout/sessions", method="POST", data=form) for _ in range(2)]
    assert once["id"] != again["id"]


async def test_a_wrong_key_is_rejected(world, http, config):
    wrong = config.model_copy(update={"base_url": world.address, "api_key": type(config.api_key)("rk_test_wrong")})
    with pytest.raises(Rejected, match="does not know"):
        await plugin.open(wrong, world.provider.runtime).create_checkout(order())
    await world.api("/v1/events", 401, headers={})


async def test_the_api_fails_when_asked(world):
    await world.pull("fail-api", status=429, next=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.provider.list_revenue(datetime.now(UTC), None)
    assert (await world.provider.list_revenue(datetime.now(UTC), None)).events == []
    assert isinstance(await world.provider.probe(), datetime)


async def test_a_mode_that_does_not_fit_its_price_is_refused_as_stripe_does(world):
    for mode, price in (("payment", "price_pro"), ("subscription", "price_once")):
        with pytest.raises(Rejected, match="mode"):
            await world.provider.create_checkout(order(price, options=StripeOptions(mode=mode)))


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"mode": "setup"},
        {"mode": "payment"},
        {"mode": "payment", "success_url": "https://x"},
        {"mode": "payment", "success_url": "https://x", "line_items": "x"},
        {"mode": "payment", "success_url": "https://x", "line_items[0]": "x"},
        {"mode": "payment", "success_url": "https://x", "line_items[0][price]": "a b"},
        {"mode": "payment", "success_url": "https://x", "line_items[0][price]": "once", "line_items[0][quantity]": "0"},
        {"mode": "payment", "success_url": "https://x", "line_items[0][price_data][unit_amount]": "x"},
        {"mode": "payment", "mode[x]": "y"},
        {
            "mode": "payment",
            "success_url": "https://x",
            "line_items[0][price]": "once",
            "metadata[" + "k" * 41 + "]": "",
        },
    ],
)
async def test_a_form_that_says_too_little_or_nonsense_is_refused(world, form):
    answer = await world.api("/v1/checkout/sessions", 400, "POST", data=form)
    assert answer["error"]["type"] == "invalid_request_error"


async def test_objects_are_served_as_the_api_shows_them(world):
    name = await world.buy(order("price_pro"))
    sale = await world.api(f"/v1/checkout/sessions/{name}")
    assert (sale["status"], sale["payment_status"], sale["url"]) == ("complete", "paid", None)
    lines = await world.api(f"/v1/checkout/sessions/{name}/line_items")
    assert lines["data"][0]["price"]["id"] == "price_pro"
    rows = await world.api(f"/v1/invoices/{sale['invoice']}/lines")
    assert rows["data"][0]["pricing"]["price_details"]["price"] == "price_pro"
    assert (await world.api("/v1/invoice_payments"))["data"][0]["invoice"] == sale["invoice"]
    assert (await world.api("/v1/checkout/sessions"))["data"][0]["id"] == name
    assert (await world.api("/v1/prices/price_once"))["type"] == "one_time"
    for path in ("/v1/checkout/sessions/cs_x", "/v1/invoices/in_x/lines", "/v1/prices/a.b"):
        assert (await world.api(path, 404))["error"]["code"] == "resource_missing"
    types = "&".join(["types[]=x"] * 21)
    for path in (f"/v1/events?{types}", "/v1/events?created[gte]=x", "/v1/events?limit=0", "/v1/events?limit=x"):
        await world.api(path, 400)
    await world.api("/v1/events?starting_after=evt_x", 400)


async def test_prices_can_be_set(world):
    prices = [{"id": "price_isk", "amount": 650000, "currency": "isk", "name": "Ticket", "recurring": False}]
    await world.pull("settings", prices=prices)
    name = await world.buy(order("price_isk"))
    assert "Ticket" in await world.page(f"/c/pay/{name}")
    assert [sale.amount for sale in await world.money()] == [Money(13000, "ISK")]
    await world.pull("settings", prices=[{"id": "x", "amount": 5, "currency": "isk"}], expected=409)


async def test_an_amount_without_a_price_is_charged(world):
    request = CheckoutRequest(reference="o", idempotency_key="k", amount=Money(4900, "INR"), success_url="https://x/")
    await world.buy(request)
    assert [sale.amount for sale in await world.money()] == [Money(4900, "INR")]


async def test_a_story_that_breaks_off_is_logged(world, caplog):
    async def breaks():
        raise ValueError("x")

    world.app[DELIVERIES].start(breaks())
    await world.settle()
    assert "broke off" in caplog.text


async def test_stopping_ends_what_still_runs(world):
    world.received.answers = [500] * 9
    await world.pull("settings", scale=100)
    made = await world.provider.create_checkout(order())
    await world.pull("pay", session_id=made.checkout_id)
    await asyncio.sleep(0.05)
    await world.app[DELIVERIES].close()
    await world.settle()
