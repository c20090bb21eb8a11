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
    Ignored,
    Money,
    Rejected,
    RevenueKind,
    Runtime,
    Unavailable,
)
from providers.razorpay import plugin
from providers.razorpay.config import RazorpayConfig
from providers.razorpay.stand_in import DELIVERIES, SELLER, STORIES
from providers.razorpay.stand_in.deliveries import RETRIES
from tests.providers.razorpay.conftest import KEY_ID, KEY_SECRET, OLD_SECRET, SECRET, webhook

WHO = Attribution(visitor_id="site_1:visitor_2 ü/<b>", session_id="s", token="<t>")
REQUEST = CheckoutRequest(
    reference="order_1",
    idempotency_key="k",
    amount=Money(49900, "INR"),
    attribution=WHO,
    success_url="https://shop.example.com/thanks?a=b",
)
SALE = ["payment.authorized", "payment.captured", "order.paid", "payment_link.paid"]


@dataclass
class Received:
    """What a gateway saw; `answers` are given first, then 200 for ever."""

    requests: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    slow: float = 0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(webhook(body, list(request.headers.items()), datetime.now(UTC)))
        await asyncio.sleep(self.slow)
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def names(self):
        return [json.loads(request.body)["event"] for request in self.requests]


@dataclass
class World:
    """A running stand-in, the plugin that talks to it, and what arrived."""

    app: web.Application
    address: str
    http: aiohttp.ClientSession
    provider: object
    received: Received

    async def lever(self, name, expected=200, **what):
        async with self.http.post(f"{self.address}/stand-in/{name}", json=what) as answer:
            assert answer.status == expected, await answer.text()
            return await answer.json()

    async def settle(self):
        await self.lever("settle")

    async def page(self, path, status=200):
        async with self.http.get(f"{self.address}{path}") as answer:
            assert answer.status == status
            return await answer.text()

    async def press(self, checkout_id, button, status=303):
        url = f"{self.address}/pay/{checkout_id}/{button}"
        async with self.http.post(url, allow_redirects=False) as answer:
            assert answer.status == status
            return await answer.text()

    async def sold(self, request=REQUEST):
        checkout = await self.provider.create_checkout(request)
        await self.lever("pay", id=checkout.checkout_id)
        await self.settle()
        return checkout

    async def extracted(self):
        found = []
        for request in self.received.requests:
            accepted = self.provider.verify(request)
            assert isinstance(accepted, Accepted)
            events = await self.provider.extract(Delivery(request=request, proof=accepted.proof))
            found.append(events if isinstance(events, Ignored) else list(events))
        return found

    async def listed(self):
        events, cursor = [], None
        while True:
            page = await self.provider.list_revenue(datetime.now(UTC) - timedelta(hours=1), cursor)
            events += page.events
            cursor = page.next_cursor
            if cursor is None:
                return events


@pytest.fixture
async def world(http, aiohttp_server):
    received = Received()
    gateway = web.Application()
    gateway.router.add_post("/hook", received.receive)
    target = await aiohttp_server(gateway)
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    config = RazorpayConfig(
        environment="sandbox",
        base_url=address,
        key_id=KEY_ID,
        key_secret=KEY_SECRET,
        webhook_secrets=[SECRET, OLD_SECRET],
    )
    provider = plugin.open(config, Runtime(http=http, now=lambda: datetime.now(UTC)))
    app = provider.stand_in(address, str(target.make_url("/hook")), http)
    app[SELLER].settings.scale = 0.00001
    await aiohttp_server(app, port=port)
    return World(app, address, http, provider, received)


async def test_a_sale_is_told_in_razorpays_order_and_is_one_movement(world):
    checkout = await world.sold()
    assert world.received.names == SALE
    authorized, *sales = await world.extracted()
    assert authorized == Ignored("not_final")
    [[first], *others] = sales
    assert others == [[first], [first]]
    assert (first.kind, first.amount, first.reference) == (RevenueKind.PURCHASE, REQUEST.amount, "order_1")
    assert (first.attribution, first.checkout_id) == (WHO, checkout.checkout_id)


@pytest.mark.parametrize("copies", [True, False])
async def test_the_list_says_what_the_webhooks_say(world, copies):
    await world.lever("settings", copy_notes=copies)
    checkout = await world.sold()
    await world.lever("refund", id=checkout.checkout_id, amount=100)
    await world.lever("refund", id=checkout.checkout_id)
    await world.lever("dispute", id=checkout.checkout_id, amount=5)
    await world.lever("charge", notes={"orderId": "order_2", "faVisitorId": "v"})
    await world.settle()
    told = {event.key: event for events in await world.extracted() if isinstance(events, list) for event in events}
    listed = {event.key: event for event in await world.listed()}
    assert set(told) == set(listed)
    assert len(listed) == 5
    for key, event in told.items():
        twin = listed[key]
        assert (twin.kind, twin.amount, twin.payment_id) == (event.kind, event.amount, event.payment_id)
        assert (twin.reference, twin.attribution, twin.checkout_id) == (
            event.reference,
            event.attribution,
            event.checkout_id,
        )


async def test_a_sale_whose_notes_are_not_copied_brings_them_all_the_same(world):
    await world.lever("settings", copy_notes=False)
    await world.sold()
    assert json.loads(world.received.requests[1].body)["payload"]["payment"]["entity"]["notes"] == []
    _, [captured], *_ = await world.extracted()
    assert (captured.reference, captured.attribution) == ("order_1", WHO)


async def test_a_subscription_begins_with_a_purchase_and_goes_on_with_renewals(world):
    plan = await world.lever("charge", notes={"faVisitorId": "v"})
    await world.lever("charge", id=plan["id"])
    await world.lever("charge", id=plan["id"])
    await world.settle()
    found = [events[0] for events in await world.extracted()]
    kinds = {}
    for event in found:
        kinds.setdefault(event.key, set()).add(event.kind)
        assert (event.subscription_id, event.attribution.visitor_id) == (plan["id"], "v")
    assert all(len(seen) == 1 for seen in kinds.values())
    assert sorted(kind for seen in kinds.values() for kind in seen) == ["purchase", "renewal", "renewal"]


async def test_a_declined_payment_leaves_the_link_open(world):
    checkout = await world.provider.create_checkout(REQUEST)
    await world.lever("pay", id=checkout.checkout_id, decline=True)
    await world.settle()
    assert await world.extracted() == [Ignored("not_final")]
    await world.lever("pay", id=checkout.checkout_id)
    await world.lever("pay", id=checkout.checkout_id)
    await world.lever("pay", id=checkout.checkout_id, decline=True)
    await world.settle()
    assert world.received.names == ["payment.failed", *SALE]


async def test_refunds_count_once_they_are_processed(world):
    checkout = await world.sold()
    world.received.requests.clear()
    await world.lever("refund", id=checkout.checkout_id, amount=900)
    await world.lever("refund", 409, id=checkout.checkout_id, amount=49_001)
    await world.lever("refund", id=checkout.checkout_id)
    await world.lever("refund", 409, id=checkout.checkout_id)
    await world.settle()
    assert sorted(world.received.names) == ["refund.created"] * 2 + ["refund.processed"] * 2
    backs = [events[0].amount.minor for events in await world.extracted() if isinstance(events, list)]
    assert sorted(backs) == [900, 49_000]


@pytest.mark.parametrize("outcome", ["lost", "won", "closed"])
async def test_only_a_lost_dispute_costs_money(world, outcome):
    checkout = await world.sold()
    world.received.requests.clear()
    await world.lever("dispute", id=checkout.checkout_id, outcome=outcome)
    await world.settle()
    opened, ended = await world.extracted()
    assert opened == Ignored("not_final")
    assert (ended[0].amount.minor if outcome == "lost" else ended) == (
        49_900 if outcome == "lost" else Ignored("not_revenue")
    )


async def test_a_webhook_is_sent_again_until_the_answer_is_2xx(world):
    world.received.answers[:] = [500, 404, 204]
    checkout = await world.provider.create_checkout(REQUEST)
    await world.lever("pay", id=checkout.checkout_id, decline=True)
    await world.settle()
    first, *again = world.received.requests
    assert len(again) == 2
    for request in again:
        assert request.body == first.body
        for name in ("X-Razorpay-Signature", "x-razorpay-event-id"):
            assert request.headers[name] == first.headers[name]
    sent = json.loads(await world.page("/stand-in/deliveries.json"))
    assert [attempt["status_code"] for attempt in sent[0]["attempts"]] == [500, 404, 204]
    assert [one["status"] for one in sent] == ["delivered"]


async def test_after_the_last_try_the_webhook_is_disabled(world):
    await world.lever("fail", next=len(RETRIES) + 1)
    checkout = await world.provider.create_checkout(REQUEST)
    await world.lever("pay", id=checkout.checkout_id, decline=True)
    await world.settle()
    await world.lever("pay", id=checkout.checkout_id)
    await world.settle()
    sent = json.loads(await world.page("/stand-in/deliveries.json"))
    assert [one["status"] for one in sent] == ["failed", *["disabled"] * 4]
    assert world.received.requests == []
    await world.lever("settings", disabled=False)
    await world.lever("redeliver", event_id=sent[2]["event_id"], times=2)
    await world.settle()
    assert world.received.names == ["payment.captured"] * 2


async def test_a_retry_keeps_the_secret_of_the_first_try(world):
    await world.lever("settings", secret=1, scale=0.0005)
    await world.lever("fail", next=1, how="unanswered")
    checkout = await world.provider.create_checkout(REQUEST)
    await world.lever("pay", id=checkout.checkout_id, decline=True)
    while not world.received.requests:
        await asyncio.sleep(0)
    await world.lever("settings", secret=0)
    await world.lever("pay", id=checkout.checkout_id)
    await world.settle()
    used = {name: set() for name in world.received.names}
    for name, request in zip(world.received.names, world.received.requests, strict=True):
        used[name].add(world.provider.verify(request).secret_index)
    assert used == {"payment.failed": {1}, **{name: {0} for name in SALE}}


async def test_trouble_on_the_way_is_noted(world):
    world.received.slow = 0.2
    await world.lever("settings", timeout_seconds=0.02)
    await world.lever("fail", next=1, how="lost")
    checkout = await world.provider.create_checkout(REQUEST)
    await world.lever("pay", id=checkout.checkout_id)
    while not any(sending.attempts for sending in world.app[DELIVERIES].sendings):
        await asyncio.sleep(0.01)
    sent = json.loads(await world.page("/stand-in/deliveries.json"))
    assert sent[0]["status"] == "lost"
    assert "no answer within" in sent[1]["attempts"][0]["problem"]
    await world.app[DELIVERIES].close()


async def test_a_gateway_that_is_not_there_is_noted(world):
    world.app[DELIVERIES].target = f"http://127.0.0.1:{unused_port()}/hook"
    await world.sold()
    sent = json.loads(await world.page("/stand-in/deliveries.json"))
    assert "no connection" in sent[0]["attempts"][0]["problem"]
    assert "no connection" in await world.page("/")


async def test_a_story_that_breaks_off_is_logged(world, caplog):
    async def broken():
        raise RuntimeError("broken on purpose")

    world.app[DELIVERIES].start(broken())
    await asyncio.wait([asyncio.ensure_future(world.app[DELIVERIES].settled())])
    assert "broke off" in caplog.text


async def test_the_page_leads_through_the_sale_and_back(world):
    checkout = await world.provider.create_checkout(REQUEST)
    path = f"/pay/{checkout.checkout_id}"
    page = await world.page(path)
    assert 'id="pay"' in page
    assert 'id="decline"' in page
    assert 'id="refund"' not in page
    assert 'id="back"' not in page
    assert "<b>" not in page
    await world.press(checkout.checkout_id, "decline")
    await world.press(checkout.checkout_id, "pay")
    page = await world.page(path)
    assert "https://shop.example.com/thanks?a=b&amp;razorpay_payment_id=pay_" in page
    assert "Refund 499.00 INR" in page
    await world.press(checkout.checkout_id, "refund")
    assert "refunded" in await world.page(path)
    assert "0 of this payment is left" in await world.press(checkout.checkout_id, "refund", 409)
    assert "shop.example.com/cart" in await world.page(f"{path}?return_to=https://shop.example.com/cart")
    await world.settle()
    page = await world.page("/")
    assert "refund.processed" in page


@pytest.mark.parametrize("return_to", ["javascript:alert(1)", "//evil", "https://[bad"])
async def test_only_web_addresses_become_links(world, return_to):
    checkout = await world.provider.create_checkout(REQUEST)
    page = await world.page(f"/pay/{checkout.checkout_id}?return_to={return_to}")
    assert 'id="back"' not in page
    await world.lever("settings", 409, return_to=return_to)


async def test_the_setting_leads_back_too(world):
    await world.lever("settings", return_to="https://shop.example.com/")
    checkout = await world.provider.create_checkout(REQUEST)
    assert "https://shop.example.com/" in await world.page(f"/pay/{checkout.checkout_id}")


async def test_a_link_that_does_not_exist_has_a_page(world):
    assert "no such payment link" in await world.page("/pay/plink_0", 404)
    assert "no such payment link" in await world.press("plink_0", "pay", 404)
    assert "Nothing yet" in await world.page("/stand-in/deliveries")


@pytest.mark.parametrize(
    ("lever", "what", "status"),
    [
        ("pay", {"id": "plink_0"}, 409),
        ("refund", {"id": "pay_0"}, 409),
        ("dispute", {"id": "plink_0"}, 409),
        ("charge", {"id": "sub_0"}, 409),
        ("charge", {"currency": "ZZZ"}, 409),
        ("redeliver", {"event_id": "evt_0"}, 409),
        ("settings", {"unknown": 1}, 400),
        ("pay", {}, 400),
    ],
)
async def test_what_cannot_be_done_is_said(world, lever, what, status):
    assert (await world.lever(lever, status, **what))["errors"]


async def test_the_same_order_id_gives_the_same_link_until_it_is_paid(world):
    first = await world.provider.create_checkout(REQUEST)
    assert await world.provider.create_checkout(REQUEST) == first
    await world.lever("pay", id=first.checkout_id)
    with pytest.raises(Rejected, match="order again"):
        await world.provider.create_checkout(REQUEST)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": Money(99, "INR")}, "at least INR 1.00"),
        ({"reference": "x" * 41}, "40"),
        ({"attribution": Attribution(visitor_id="x" * 256)}, "255"),
    ],
)
async def test_the_stand_in_refuses_what_razorpay_refuses(world, changes, why):
    given = {"reference": "order_1", "amount": REQUEST.amount, "attribution": WHO, **changes}
    with pytest.raises(Rejected, match=why):
        await world.provider.create_checkout(CheckoutRequest(idempotency_key="k", **given))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[]", "JSON object"),
        ("{", "JSON object"),
        ('{"amount": "1"}', "amount"),
        ('{"amount": 100, "notes": []}', "notes"),
        ('{"amount": 100, "callback_url": "https://a.example"}', "callback_method"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(world, body, why):
    auth = {"Authorization": aiohttp.encode_basic_auth(KEY_ID, KEY_SECRET)}
    async with world.http.post(f"{world.address}/v1/payment_links", data=body, headers=auth) as answer:
        assert answer.status == 400
        assert why in (await answer.json())["error"]["description"]


@pytest.mark.parametrize(
    "path", ["payments?count=0", "payments?count=101", "payments?skip=-1", "payments?from=now", "orders/order_0"]
)
async def test_a_question_that_makes_no_sense_is_refused(world, path):
    auth = {"Authorization": aiohttp.encode_basic_auth(KEY_ID, KEY_SECRET)}
    async with world.http.get(f"{world.address}/v1/{path}", headers=auth) as answer:
        assert answer.status == 400


async def test_without_notes_a_link_can_be_made_and_paid(world):
    auth = {"Authorization": aiohttp.encode_basic_auth(KEY_ID, KEY_SECRET)}
    async with world.http.post(f"{world.address}/v1/payment_links", json={"amount": 100}, headers=auth) as answer:
        made = await answer.json()
    await world.lever("pay", id=made["id"])
    await world.settle()
    _, [event], *_ = await world.extracted()
    assert (event.reference, event.checkout_id, event.attribution) == (None, made["id"], Attribution())


async def test_another_key_is_refused(world, http):
    config = world.provider.config.model_copy(update={"key_id": "rzp_test_other"})
    other = plugin.open(config, world.provider.runtime)
    for call in (other.create_checkout(REQUEST), other.probe()):
        with pytest.raises(Rejected, match="key_id"):
            await call


@pytest.mark.parametrize(("status", "error"), [(429, Unavailable), (500, Unavailable), (400, Rejected)])
async def test_api_calls_fail_as_asked(world, status, error):
    await world.lever("fail-api", status=status)
    with pytest.raises(error) as caught:
        await world.provider.create_checkout(REQUEST)
    if status == 429:
        assert caught.value.retry_after == timedelta(seconds=7)
    assert (await world.provider.probe()) is not None


async def test_more_payments_than_a_page_holds_are_all_listed(world):
    for number in range(30):
        link = await world.provider.create_checkout(
            CheckoutRequest(reference=f"order_{number}", idempotency_key="k", amount=REQUEST.amount)
        )
        world.app[STORIES].pay(world.app[SELLER].link(link.checkout_id))
    await world.settle()
    keys = [event.key for event in await world.listed()]
    assert len(keys) == len(set(keys)) == 30
