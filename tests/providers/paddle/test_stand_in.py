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
from providers.paddle import plugin
from providers.paddle.config import PaddleConfig
from providers.paddle.stand_in import DELIVERIES, SELLER
from providers.paddle.stand_in.deliveries import RETRIES
from tests.providers.paddle.conftest import KEY, SECRET, webhook

WHO = Attribution(visitor_id="site_1:visitor_2", session_id="s", token="<t>")
REQUEST = CheckoutRequest(reference="order_1", idempotency_key="k", items=[("pri_1", 2)], attribution=WHO)
PURCHASE_ORDER = [
    "transaction.created",
    "customer.created",
    "address.created",
    "transaction.updated",
    "transaction.ready",
    "transaction.updated",
    "transaction.paid",
    "subscription.created",
    "subscription.activated",
    "transaction.updated",
    "transaction.completed",
]
RENEWAL_ORDER = [
    "transaction.created",
    "transaction.billed",
    "transaction.updated",
    "transaction.paid",
    "transaction.updated",
    "transaction.completed",
]


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
    def envelopes(self) -> list:
        return [json.loads(request.body) for request in self.requests]

    @property
    def types(self) -> list:
        return [envelope["event_type"] for envelope in self.envelopes]


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
        await self.settle()
        await self.pull("pay", transaction_id=made.checkout_id)
        await self.settle()
        return made.checkout_id

    async def page(self, path: str, method: str = "GET", status: int = 200, **more) -> str:
        async with self.http.request(method, f"{self.address}{path}", **more) as answer:
            assert answer.status == status
            return await answer.text()

    async def deliveries(self) -> list:
        return json.loads(await self.page("/stand-in/deliveries.json"))

    async def money(self) -> Sequence:
        """What the plugin reads out of everything received, in order."""
        found = []
        for request in self.received.requests:
            accepted = self.provider.verify(request)
            assert isinstance(accepted, Accepted), accepted
            events = await self.provider.extract(Delivery(request=request, proof=accepted.proof))
            found += events if isinstance(events, list) else []
        return found


@pytest.fixture
async def world(aiohttp_server, http):
    received = Received()
    shop = web.Application()
    shop.router.add_post("/webhooks/acme/paddle", received.receive)
    shop_server = await aiohttp_server(shop)
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = PaddleConfig(environment="sandbox", api_key=KEY, webhook_secrets=[SECRET], base_url=address)
    provider = plugin.open(config, Runtime(http=http, now=lambda: datetime.now(UTC)))
    app = provider.stand_in(address, str(shop_server.make_url("/webhooks/acme/paddle")), http)
    app[SELLER].settings.scale = 0.0001
    await aiohttp_server(app, port=port)
    return World(address, app, received, provider, http)


async def test_a_purchase_comes_in_paddles_order_and_is_one_sale(world):
    name = await world.buy()
    assert world.received.types == PURCHASE_ORDER
    money = await world.money()
    assert {event.key for event in money} == {f"payment:{name}"}
    sale = money[-1]
    assert (sale.amount, sale.reference, sale.attribution) == (Money(13000, "USD"), "order_1", WHO)
    assert sale.subscription_id.startswith("sub_")
    assert sale.items[0] == "pri_1"
    assert {one["status"] for one in await world.deliveries()} == {"delivered"}


async def test_the_checkout_is_the_stand_ins_own_page(world):
    made = await world.provider.create_checkout(REQUEST)
    assert made.url == f"{world.address}/checkout?_ptxn={made.checkout_id}"


async def test_a_declined_card_moves_no_money_and_leaves_the_sale_open(world):
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("pay", transaction_id=made.checkout_id, decline=True)
    await world.settle()
    assert world.received.types[-1] == "transaction.payment_failed"
    assert await world.money() == []
    await world.pull("pay", transaction_id=made.checkout_id)
    await world.settle()
    assert world.received.types.count("customer.created") == 1
    assert len({event.key for event in await world.money()}) == 1


async def test_paying_twice_is_paying_once(world):
    made = await world.provider.create_checkout(REQUEST)
    for _ in range(3):
        await world.pull("pay", transaction_id=made.checkout_id)
    await world.settle()
    await world.pull("pay", transaction_id=made.checkout_id)
    await world.settle()
    assert world.received.types.count("transaction.completed") == 1


async def test_a_refund_is_pending_first_and_approved_later(world):
    name = await world.buy()
    del world.received.requests[:]
    made = await world.pull("refund", transaction_id=name, amount=3000)
    await world.settle()
    assert world.received.types == ["adjustment.created", "adjustment.updated", "transaction.updated"]
    assert [one["data"]["status"] for one in world.received.envelopes] == ["pending_approval", "approved", "completed"]
    [refund, sale] = await world.money()
    assert (refund.key, refund.payment_id) == (f"refund:{made['adjustment_id']}", name)
    assert refund.amount == Money(3000, "USD")
    assert sale.amount == Money(13000, "USD")


async def test_refunds_end_with_the_sale(world):
    name = await world.buy()
    await world.pull("refund", transaction_id=name, amount=13001, expected=409)
    await world.pull("refund", transaction_id=name, amount=3000)
    await world.pull("refund", transaction_id=name, at_once=True)
    await world.settle()
    await world.pull("refund", transaction_id=name, expected=409)
    refunds = {event.key: event.amount.minor for event in await world.money() if event.kind is RevenueKind.REFUND}
    assert sorted(refunds.values()) == [3000, 10000]


async def test_a_rejected_refund_moves_nothing(world):
    name = await world.buy()
    await world.pull("refund", transaction_id=name, approve=False)
    await world.settle()
    assert {event.kind for event in await world.money()} == {RevenueKind.PURCHASE}
    assert world.app[SELLER].refundable(name) == 13000


async def test_a_sale_that_is_not_paid_cannot_be_refunded(world):
    made = await world.provider.create_checkout(REQUEST)
    await world.pull("refund", transaction_id=made.checkout_id, expected=409)
    await world.pull("refund", transaction_id="txn_unknown", expected=409)


async def test_a_chargeback_and_its_reversal_are_two_movements(world):
    name = await world.buy()
    await world.pull("chargeback", transaction_id=name, reverse=True, expected=409)
    taken = await world.pull("chargeback", transaction_id=name)
    await world.settle()
    back = await world.pull("chargeback", transaction_id=name, reverse=True)
    await world.settle()
    keys = {event.key for event in await world.money()}
    assert keys == {f"payment:{name}", f"refund:{taken['adjustment_id']}", f"reversal:{back['adjustment_id']}"}


async def test_a_renewal_has_its_own_id_and_the_first_sales_custom_data(world):
    name = await world.buy()
    del world.received.requests[:]
    await world.pull("renew", transaction_id=name)
    await world.settle()
    assert world.received.types == RENEWAL_ORDER
    renewal = (await world.money())[-1]
    assert renewal.kind is RevenueKind.RENEWAL
    assert renewal.payment_id != name
    assert (renewal.reference, renewal.attribution) == ("order_1", WHO)
    await world.pull("renew", subscription_id=renewal.subscription_id)
    await world.pull("renew", subscription_id="sub_unknown", expected=409)
    await world.settle()


@pytest.mark.parametrize("name", ["updated", "revised"])
async def test_late_events_have_new_ids_and_the_old_key(world, name):
    sale = await world.buy()
    before = {envelope["event_id"] for envelope in world.received.envelopes}
    await world.pull("late", transaction_id=sale, event=name)
    await world.settle()
    assert world.received.types[-1] == f"transaction.{name}"
    assert world.received.envelopes[-1]["event_id"] not in before
    assert {event.key for event in await world.money()} == {f"payment:{sale}"}


async def test_an_event_can_be_delivered_again_as_a_retry_or_a_replay(world):
    await world.buy()
    last = world.received.envelopes[-1]
    await world.pull("redeliver", event_id=last["event_id"], times=3)
    await world.settle()
    await world.pull("redeliver", event_id=last["event_id"], replay=True)
    await world.settle()
    again = world.received.envelopes[-4:]
    assert {one["event_id"] for one in again} == {last["event_id"]}
    assert [one["notification_id"] == last["notification_id"] for one in again] == [True, True, True, False]
    await world.pull("redeliver", event_id="evt_unknown", expected=409)


async def test_anything_but_200_is_sent_again_with_the_same_ids_and_a_new_signature(world):
    world.received.answers = [500, 202, 401, 200]
    made = await world.provider.create_checkout(REQUEST)
    await world.settle()
    assert len(world.received.requests) == 4
    assert len({request.body for request in world.received.requests}) == 1
    [notification] = await world.deliveries()
    assert notification["status"] == "delivered"
    assert [attempt["status_code"] for attempt in notification["attempts"]] == [500, 202, 401, 200]
    assert notification["entity_id"] == made.checkout_id


async def test_the_sandbox_gives_up_after_three_retries(world):
    world.received.answers = [503] * 9
    await world.provider.create_checkout(REQUEST)
    await world.settle()
    [notification] = await world.deliveries()
    assert (notification["status"], len(notification["attempts"])) == ("failed", 4)


def test_retries_fit_paddles_documentation():
    assert len(RETRIES["sandbox"]) == 3
    assert sum(RETRIES["sandbox"]) <= 15 * 60
    assert len(RETRIES["live"]) == 60
    assert sum(RETRIES["live"]) <= 3 * 86_400
    assert sum(RETRIES["live"][:20]) <= 3600


async def test_a_slow_answer_is_a_timeout(world):
    await world.pull("settings", timeout_seconds=0.05)
    world.received.slow = 0.3
    await world.provider.create_checkout(REQUEST)
    while len(world.received.requests) < 2:
        await asyncio.sleep(0.01)
    world.received.slow = 0
    await world.settle()
    [notification] = await world.deliveries()
    assert "no answer" in notification["attempts"][0]["problem"]
    assert notification["status"] == "delivered"


async def test_a_gateway_that_is_down_gets_it_later(world):
    right = world.app[DELIVERIES].target
    world.app[DELIVERIES].target = f"http://127.0.0.1:{unused_port()}/"
    world.app[SELLER].settings.scale = 0.001
    await world.provider.create_checkout(REQUEST)
    while not (await world.deliveries())[0:1] or not (await world.deliveries())[0]["attempts"]:
        await asyncio.sleep(0.005)
    world.app[DELIVERIES].target = right
    await world.settle()
    [notification] = await world.deliveries()
    assert "no connection" in notification["attempts"][0]["problem"]
    assert notification["status"] == "delivered"


@pytest.mark.parametrize(
    ("how", "seen", "attempts", "status"),
    [("unsent", 1, 3, "delivered"), ("unanswered", 3, 3, "delivered"), ("lost", 0, 0, "lost")],
)
async def test_deliveries_can_be_made_to_fail(world, how, seen, attempts, status):
    await world.pull("fail", next=1 if how == "lost" else 2, how=how)
    await world.provider.create_checkout(REQUEST)
    await world.settle()
    [notification] = await world.deliveries()
    assert len(world.received.requests) == seen
    assert (len(notification["attempts"]), notification["status"]) == (attempts, status)


async def test_what_was_lost_is_still_on_the_list_of_events(world):
    begun = datetime.now(UTC) - timedelta(minutes=1)
    made = await world.provider.create_checkout(REQUEST)
    await world.settle()
    await world.pull("fail", next=100, how="lost")
    await world.pull("pay", transaction_id=made.checkout_id)
    await world.settle()
    assert world.received.types == ["transaction.created"]
    page = await world.provider.list_revenue(begun, None)
    assert {event.key for event in page.events} == {f"payment:{made.checkout_id}"}
    assert page.next_cursor is None


async def test_the_list_of_events_is_followed_over_pages(world, monkeypatch):
    begun = datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(3):
        await world.buy()
    monkeypatch.setattr("providers.paddle.listing.PER_PAGE", 4)
    cursor, events, pages = None, [], 0
    while pages == 0 or cursor is not None:
        page = await world.provider.list_revenue(begun, cursor)
        events, cursor, pages = [*events, *page.events], page.next_cursor, pages + 1
    assert pages > 2
    assert [event.key for event in events] == [event.key for event in await world.money()]
    assert (await world.provider.list_revenue(datetime.now(UTC) + timedelta(hours=1), None)).events == []


async def listed(world, path, status=200, key=KEY):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with world.http.get(f"{world.address}{path}", headers=headers) as answer:
        assert answer.status == status
        return await answer.json()


async def test_the_list_of_events_can_be_turned_around_and_filtered(world):
    await world.buy()
    up = (await listed(world, "/events?per_page=3"))["data"]
    down = (await listed(world, "/events?order_by=id[DESC]"))["data"]
    assert [one["event_type"] for one in up] == PURCHASE_ORDER[:3]
    assert [one["event_type"] for one in down] == PURCHASE_ORDER[::-1]
    assert "notification_id" not in up[0]
    assert (await listed(world, "/events?to=2020-01-01T00:00:00Z"))["data"] == []
    only = (await listed(world, "/events?event_type=transaction.paid,customer.created"))["data"]
    assert [one["event_type"] for one in only] == ["customer.created", "transaction.paid"]


async def test_transactions_can_be_read(world):
    name = await world.buy()
    assert (await listed(world, f"/transactions/{name}"))["data"]["status"] == "completed"
    assert [one["id"] for one in (await listed(world, "/transactions?per_page=1"))["data"]] == [name]
    assert (await listed(world, "/event-types"))["data"]
    assert (await listed(world, "/transactions/txn_unknown", 404))["error"]["code"] == "entity_not_found"


@pytest.mark.parametrize("query", ["per_page=x", "from=yesterday", "after=evt_unknown"])
async def test_a_bad_query_is_refused(world, query):
    await world.buy()
    assert (await listed(world, f"/events?{query}", 400))["error"]["code"] == "bad_request"


@pytest.mark.parametrize(("key", "code"), [(None, "authentication_missing"), ("wrong", "invalid_token")])
async def test_the_key_is_asked_for(world, key, code):
    body = await listed(world, "/transactions", 403, key)
    assert body["error"]["code"] == code
    assert body["meta"]["request_id"]


async def test_the_probe_works_and_tells_the_time(world):
    assert abs(await world.provider.probe() - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_api_can_be_made_to_fail(world):
    await world.pull("fail-api", status=429)
    with pytest.raises(Unavailable) as caught:
        await world.provider.create_checkout(REQUEST)
    assert caught.value.retry_after == timedelta(seconds=7)
    await world.pull("fail-api", status=503)
    with pytest.raises(Unavailable):
        await world.provider.probe()
    await world.pull("settings", default_payment_link=False)
    with pytest.raises(Rejected, match="default payment link"):
        await world.provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"items": []}',
        b'{"items": ["pri_1"]}',
        b'{"items": [{"price_id": "pri_1"}]}',
        b'{"items": [{"price_id": "pri_1", "quantity": 0}]}',
        b'{"items": [{"price_id": "pri_1", "quantity": true}]}',
        b'{"items": [{"price_id": "", "quantity": 1}]}',
        b'{"items": [{"price": {"unit_price": {"amount": "x"}}, "quantity": 1}]}',
        b'{"items": [{"price_id": "pri_1", "quantity": 1}], "custom_data": {}}',
        b'{"items": [{"price_id": "pri_1", "quantity": 1}], "custom_data": "x"}',
    ],
)
async def test_a_bad_transaction_is_refused_in_paddles_form(world, body):
    headers = {"Authorization": f"Bearer {KEY}"}
    async with world.http.post(f"{world.address}/transactions", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] in ("bad_request", "invalid_json")


async def test_prices_can_be_named_and_described(world):
    await world.pull(
        "settings", prices=[{"id": "pri_yen", "amount": 980, "currency": "JPY", "name": "Plan", "recurring": False}]
    )
    name = await world.buy(CheckoutRequest(reference="o", idempotency_key="k", items=[("pri_yen", 1)]))
    assert (await world.money())[-1].amount == Money(980, "JPY")
    assert "subscription.created" not in world.received.types
    assert "980 JPY" in await world.page(f"/checkout?_ptxn={name}")
    inline = {"description": "One hour", "unit_price": {"amount": "500", "currency_code": "EUR"}}
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"items": [{"price": inline, "quantity": 3}]}
    async with world.http.post(f"{world.address}/transactions", json=body, headers=headers) as answer:
        assert answer.status == 201
        made = (await answer.json())["data"]
    assert made["details"]["totals"]["grand_total"] == "1500"


@pytest.mark.parametrize(
    ("lever", "what", "status"),
    [
        ("settings", {"return_to": "javascript:alert(1)"}, 409),
        ("settings", {"prices": [{"id": "p", "amount": 1, "currency": "???"}]}, 409),
        ("settings", {"unknown": 1}, 400),
        ("settings", {"scale": -1}, 400),
        ("pay", {}, 400),
        ("late", {"transaction_id": "t", "event": "deleted"}, 400),
        ("fail", {"how": "loudly"}, 400),
        ("pay", {"transaction_id": "txn_unknown"}, 409),
    ],
)
async def test_a_lever_pulled_wrongly_says_so(world, lever, what, status):
    assert (await world.pull(lever, expected=status, **what))["errors"]


async def test_the_buyers_page_leads_through_the_sale(world):
    made = await world.provider.create_checkout(REQUEST)
    path = f"/checkout?_ptxn={made.checkout_id}"
    page = await world.page(path, headers={"Referer": "http://shop.localhost:8081/pricing?x=1"})
    assert 'id="pay"' in page
    assert 'id="decline"' in page
    assert 'id="refund"' not in page
    assert "130.00 USD" in page
    assert "<t>" not in page
    page = await world.page(f"/checkout/{made.checkout_id}/decline", "POST")
    await world.settle()
    assert "declined" in await world.page(path)
    await world.page(f"/checkout/{made.checkout_id}/pay", "POST")
    await world.settle()
    page = await world.page(path)
    assert "Thank you" in page
    assert 'href="http://shop.localhost:8081"' in page
    assert 'id="pay"' not in page
    await world.page(f"/checkout/{made.checkout_id}/refund", "POST")
    await world.settle()
    page = await world.page(path)
    assert "refund (approved)" in page
    assert 'id="refund"' not in page
    await world.page(f"/checkout/{made.checkout_id}/refund", "POST", status=409)


async def test_a_payment_on_its_way_refreshes_the_page(world):
    world.app[SELLER].settings.scale = 0.05
    made = await world.provider.create_checkout(REQUEST)
    page = await world.page(f"/checkout/{made.checkout_id}/pay", "POST")
    assert 'http-equiv="refresh"' in page
    assert "being processed" in page
    await world.settle()
    assert 'http-equiv="refresh"' not in await world.page(f"/checkout?_ptxn={made.checkout_id}")


@pytest.mark.parametrize(
    ("query", "setting", "referer", "link"),
    [
        ("http://a.example/thanks", "http://b.example/", "http://c.example/x", "http://a.example/thanks"),
        ("", "http://b.example/", "http://c.example/x", "http://b.example/"),
        ("", None, "http://c.example/x", "http://c.example"),
        ("javascript:alert(1)", None, None, None),
        ("http://[", None, "nonsense", None),
    ],
)
async def test_the_way_back_to_the_shop(world, query, setting, referer, link):
    if setting:
        await world.pull("settings", return_to=setting)
    name = await world.buy()
    headers = {"Referer": referer} if referer else {}
    page = await world.page(
        "/checkout", params={"_ptxn": name, **({"return_to": query} if query else {})}, headers=headers
    )
    assert ('id="back"' in page) is (link is not None)
    assert link is None or f'href="{link}"' in page
    assert "javascript:" not in page


async def test_the_page_before_does_not_take_the_place_of_the_shop(world):
    made = await world.provider.create_checkout(REQUEST)
    path = f"/checkout?_ptxn={made.checkout_id}"
    await world.page(path, headers={"Referer": "http://shop.example/"})
    await world.page(path, headers={"Referer": f"{world.address}/checkout"})
    await world.page(path, headers={"Referer": "http://elsewhere.example/"})
    assert world.app[SELLER].return_to == {made.checkout_id: "http://shop.example"}
    await world.settle()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/checkout"), ("GET", "/checkout?_ptxn=<b>"), ("POST", "/checkout/x/pay")]
)
async def test_an_unknown_checkout_has_a_page_too(world, method, path):
    page = await world.page(path, method, 404)
    assert "no such checkout" in page
    assert "<b>" not in page


async def test_the_deliveries_are_shown(world):
    assert "Nothing yet" in await world.page("/")
    world.received.answers = [500]
    await world.buy()
    page = await world.page("/stand-in/deliveries")
    assert "transaction.completed" in page
    assert "500" in page
    state = json.loads(await world.page("/stand-in/state.json"))
    assert len(state["transactions"]) == len(state["subscriptions"]) == 1


async def test_stopping_ends_what_still_runs(world):
    world.app[SELLER].settings.scale = 100
    world.received.answers = [500]
    await world.provider.create_checkout(REQUEST)
    while not world.received.requests:
        await asyncio.sleep(0.005)
    await world.app[DELIVERIES].close()
    assert len(world.received.requests) == 1


async def test_a_story_that_breaks_off_is_logged(world, caplog):
    async def broken():
        raise ValueError("no such thing")

    world.app[DELIVERIES].start(broken())
    await world.settle()
    assert "broke off" in caplog.text


async def test_no_secret_shows_on_any_page(world):
    name = await world.buy()
    for path in ["/", f"/checkout?_ptxn={name}", "/stand-in/deliveries.json", "/stand-in/state.json"]:
        page = await world.page(path)
        assert KEY not in page
        assert SECRET not in page
