"""The stand-ins do what the storms rely on: Faurya errs as told and knows it, Paddle sends until it hears 200."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.domain.messages import WebhookRequest
from gateway.sdk import Accepted
from providers.paddle.signature import verify
from tests.chaos import moods, paddle
from tests.chaos.faurya import Faurya
from tests.chaos.market import Market
from tests.chaos.moods import Treatment
from tests.chaos.paddle import Paddle
from tests.chaos.sites import BY_NAME

PAYMENT = {"transaction_id": "txn_1", "amount": 65.0, "currency": "USD", "faurya_visitor_id": "v1", "metadata": {}}
REVENUE = {
    "event": "refund", "amount": -6500, "currency": "USD", "orderId": "adj_1", "provider": "paddle",
    "providerPaymentId": "txn_1", "attribution": {"faVisitorId": "v1"},
}  # fmt: skip


@pytest_asyncio.fixture(name="faurya")
async def _faurya() -> AsyncIterator[Faurya]:
    faurya = Faurya(Random(1), mood="good")
    await faurya.start()
    yield faurya
    await faurya.stop()


async def pay(faurya: Faurya, *, key: str = "key-1", site: str = "globex") -> tuple[int | None, bytes]:
    """Call as the gateway does; None is a connection that broke."""
    revenue = site != "globex"
    secret = {"x-faurya-write-key": f"{site}-faurya-key"} if revenue else {"Authorization": f"Bearer {site}-faurya-key"}
    url = f"http://127.0.0.1:{faurya.port}/api/{'revenue' if revenue else 'v1/payments'}"
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        try:
            headers = {**secret, "Idempotency-Key": key}
            async with http.post(url, json=REVENUE if revenue else PAYMENT, headers=headers) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None, b""
        finally:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("treatment", "heard"),
    [
        (moods.GOOD, 200), (moods.DRIP, 200), (moods.GARBAGE, 200), (moods.REFUSED_500, 500), (moods.RECORDED_500, 500),
        (moods.BUSY_503, 503), (moods.RESET_BEFORE, None), (moods.RESET_AFTER, None), (moods.HANG_AFTER, None),
        (moods.QUOTA, 429), (moods.BAD_KEY, 401), (moods.NOT_FOUND, 404),
    ],
)  # fmt: skip
async def test_faurya_errs_as_told_and_knows_what_it_did(
    faurya: Faurya, monkeypatch: pytest.MonkeyPatch, treatment: Treatment, heard: int | None
) -> None:
    monkeypatch.setitem(moods.MOODS, "good", ((1, treatment),))  # type: ignore[arg-type]
    status, body = await pay(faurya)
    assert status == heard
    assert body == (treatment.body if heard else b"")
    (call,) = faurya.calls
    assert (call.recorded, call.answer) == (treatment.records, heard)
    assert (call.site, call.idempotency_key, call.amount, call.visitor) == ("globex", "key-1", 6500, "v1")
    assert bool(faurya.recorded) is treatment.records


async def test_one_faurya_recognizes_repeats_and_another_does_not(faurya: Faurya) -> None:
    answers = [await pay(faurya, site=site) for site in ("globex", "globex", "acme", "acme", "initech", "initech")]
    assert [call.recorded for call in faurya.calls] == [True, False, True, True, True, False]
    assert answers[1][0] in (400, 409)
    assert [status for status, _ in answers[2:5]] == [200, 200, 200]
    assert [call.amount for call in faurya.calls[2:]] == [-6500] * 4


async def test_faurya_refuses_while_it_is_down_and_comes_back_on_its_port(faurya: Faurya) -> None:
    await faurya.stop()
    assert await pay(faurya) == (None, b"")
    await faurya.start()
    assert (await pay(faurya))[0] == 200


@pytest_asyncio.fixture(name="heard")
async def _heard() -> AsyncIterator[tuple[Paddle, list[WebhookRequest], list[int]]]:
    """Paddle, what its receiver heard, and what the receiver answers, in order and then 200."""
    requests: list[WebhookRequest] = []
    answers: list[int] = []

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        at = datetime.now(UTC)
        requests.append(
            WebhookRequest(method="POST", url=str(request.url), headers=request.headers, body=body, received_at=at)
        )
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application()
    app.router.add_post("/webhooks/{site}/paddle", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with paddle.client() as http:
        sender = Paddle([f"http://127.0.0.1:{runner.addresses[0][1]}", "http://127.0.0.1:9"], http)
        yield sender, requests, answers
        await sender.close()
    await runner.cleanup()


Heard = tuple[Paddle, list[WebhookRequest], list[int]]


async def test_paddle_sends_until_it_hears_200_and_signs_every_time(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, requests, answers = heard
    monkeypatch.setattr(paddle, "SPEED", 6000.0)
    answers += [503, 401, 202]
    (event, *_) = Market(["acme"], Random(1)).sell()
    sender.happen(event)
    assert await sender.drained(5.0)
    assert len(requests) == 4
    assert {request.body for request in requests} == {requests[0].body}
    proofs = [verify(request, [BY_NAME["acme"].secret], 60) for request in requests]
    assert all(isinstance(proof, Accepted) and proof.event_id == event.id for proof in proofs)
    assert set(sender.accepted) == {("acme", event.id)}
    assert sender.answers["200"] == 1


async def test_paddle_lists_what_happened_page_by_page_also_what_it_never_sent(heard: Heard) -> None:
    sender, requests, _ = heard
    market = Market(["acme"], Random(2))
    sold = [event for _ in range(450) for event in market.sell()]
    for event in sold:
        sender.happen(event, swallowed=True)
    assert requests == []
    listed = await everything(sender, "made-up-key-of-acme")
    wanted = [event.id for event in sold if event.type != "transaction.paid"]
    assert listed == sorted(wanted)
    assert await everything(sender, "made-up-key-of-globex") == []


async def everything(sender: Paddle, key: str) -> Sequence[str]:
    """Read Paddle's list with the plugin's own query."""
    from providers.paddle.listing import page_query

    runner = web.AppRunner(sender.api())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url, found, cursor, more = f"http://127.0.0.1:{runner.addresses[0][1]}/events", [], None, True
    since = datetime.now(UTC) - timedelta(hours=1)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
        while more:
            async with http.get(url, params=page_query(since, cursor)) as answer:
                content = await answer.json()
            found += [envelope["event_id"] for envelope in content["data"]]
            more, cursor = content["meta"]["pagination"]["has_more"], found[-1] if found else None
    await runner.cleanup()
    return found
