"""A site that floods the process waits for itself, with its work and its webhooks; others do not, nobody for ever."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from accepting import events, log_lines, metric, problem
from harness import Harness, harness
from sending import Calls

from gateway.flows import precedence, receive
from gateway.flows.deliver import Deliverer
from gateway.flows.precedence import BESIDE_OTHERS, CROWD
from gateway.flows.receive import KEEP_SECONDS, TOO_MANY, TOO_SLOW, TURN_SECONDS
from gateway.sdk import Attribution, RevenueKind
from gateway.worker import Worker

PURCHASE = RevenueKind.PURCHASE
BERT = Attribution(visitor_id="bert")


async def test_while_a_site_floods_the_process_only_its_own_work_waits(gateway: Harness) -> None:
    context = gateway.gateway.context
    context.in_hand["acme"] = CROWD
    await gateway.happen(PURCHASE, payment_id="p1", settle=False)
    await gateway.happen(PURCHASE, site="globex", payment_id="q1", attribution=BERT, settle=False)
    await gateway.until("SELECT status FROM outbox WHERE site = 'globex'", equals="recorded")
    assert await gateway.rows("SELECT outcome FROM inbox WHERE site = 'acme'") == [{"outcome": "received"}]
    context.in_hand["acme"] = CROWD - 1
    await gateway.until("SELECT status FROM outbox WHERE site = 'acme'", equals="recorded")


async def test_a_flood_that_does_not_end_slows_down_and_does_not_stop(
    gateway: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precedence, "LONGEST_SECONDS", 0.1)
    gateway.gateway.context.in_hand["acme"] = CROWD
    for number in range(3):
        await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
    await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=3)


async def test_a_stop_waits_for_no_flood(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "LONGEST_SECONDS", 3600)
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        context, calls = gateway.gateway.context, Calls()
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        context.in_hand["acme"] = CROWD
        worker = Worker(context, lambda: gateway.gateway.live, Deliverer(context, calls))
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(0.2)
        worker.stop()
        async with asyncio.timeout(5):
            await task
        assert await gateway.inbox() == [("received", None)]
        assert calls.asked == []


async def test_webhooks_are_in_hand_until_they_are_kept_or_not(gateway: Harness) -> None:
    context = gateway.gateway.context
    await gateway.happen(PURCHASE, payment_id="p1")
    assert context.in_hand["acme"] == 0
    async with gateway.database.acquire() as away, away.transaction():
        await away.execute("LOCK TABLE inbox")
        sending = asyncio.create_task(gateway.send(b'{"id": "evt_9"}'))
        async with asyncio.timeout(5):
            while context.in_hand["acme"] != 1:
                await asyncio.sleep(0.01)
        assert (await sending).status == 503
    assert context.in_hand["acme"] == 0


@asynccontextmanager
async def nothing_is_kept(gateway: Harness) -> AsyncIterator[None]:
    async with gateway.database.acquire() as away, away.transaction():
        await away.execute("LOCK TABLE inbox")
        yield


async def has_in_hand(gateway: Harness, site: str, count: int) -> None:
    async with asyncio.timeout(10):
        while gateway.gateway.context.in_hand[site] != count:
            await asyncio.sleep(0.005)


async def beside_another(gateway: Harness) -> None:
    """Let another site be heard from, and then this one: from now on, for a while, it is not alone."""
    assert (await gateway.send(b'{"id": "evt_before"}', "globex")).status == 200
    assert (await gateway.send(b'{"id": "evt_before"}')).status == 200


def flooding(gateway: Harness, count: int) -> list[asyncio.Task[aiohttp.ClientResponse]]:
    return [asyncio.create_task(gateway.send(b'{"id": "evt_%d"}' % number)) for number in range(count)]


async def test_the_webhooks_of_a_flooded_site_wait_for_their_turn_and_those_of_others_do_not(
    gateway: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "KEEP_SECONDS", 20)  # a slow machine's time is not what this is about
    monkeypatch.setattr(receive, "TURN_SECONDS", 0.2)
    await beside_another(gateway)
    async with nothing_is_kept(gateway):
        flood = flooding(gateway, BESIDE_OTHERS + 10)
        await has_in_hand(gateway, "acme", BESIDE_OTHERS + 10)
        other = asyncio.create_task(gateway.send(b'{"id": "evt_1"}', "globex"))
        await has_in_hand(gateway, "globex", 1)
        await has_in_hand(gateway, "acme", BESIDE_OTHERS)  # ten were sent away, and the other site's was not
        await asyncio.sleep(0.3)
        assert gateway.gateway.context.in_hand["globex"] == 1
    assert Counter([(await each).status for each in flood]) == {200: BESIDE_OTHERS, 503: 10}
    assert (await other).status == 200
    assert gateway.gateway.context.in_hand.total() == 0


async def test_who_waits_for_a_turn_gets_it_when_one_ends(gateway: Harness) -> None:
    await beside_another(gateway)
    async with nothing_is_kept(gateway):
        flood = flooding(gateway, BESIDE_OTHERS * 3)
        await has_in_hand(gateway, "acme", BESIDE_OTHERS * 3)
    assert {(await each).status for each in flood} == {200}
    assert await gateway.rows("SELECT count(*) FROM inbox WHERE site = 'acme'") == [{"count": BESIDE_OTHERS * 3 + 1}]


async def test_a_site_that_is_alone_waits_for_no_turn(gateway: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "BESIDE_SECONDS", 0.1)
    await beside_another(gateway)
    await asyncio.sleep(0.2)
    with log_lines() as lines:
        async with nothing_is_kept(gateway):
            answers = [await each for each in flooding(gateway, BESIDE_OTHERS + 3)]
    assert {answer.status for answer in answers} == {503}
    assert {line["error"] for line in events(lines, "webhook.not_kept")} == {TOO_SLOW}


async def test_who_waits_too_long_for_a_turn_is_sent_away_in_time_and_leaves_its_place(gateway: Harness) -> None:
    await beside_another(gateway)
    with log_lines() as lines:
        async with nothing_is_kept(gateway):
            answers = [await each for each in flooding(gateway, BESIDE_OTHERS + 3)]
    for answer in answers:
        await problem(answer, 503, "not_ready")
    why = [line["error"] for line in events(lines, "webhook.not_kept")]
    assert (why.count(TOO_SLOW), why.count(TOO_MANY)) == (BESIDE_OTHERS, 3)
    assert await metric(gateway, "gateway_webhooks_total", outcome="not_kept") == BESIDE_OTHERS + 3
    async with nothing_is_kept(gateway):
        again = flooding(gateway, BESIDE_OTHERS)
        await has_in_hand(gateway, "acme", BESIDE_OTHERS)
    assert {(await each).status for each in again} == {200}


async def test_who_waited_for_a_turn_does_not_wait_as_long_again_for_the_database(gateway: Harness) -> None:
    await beside_another(gateway)
    with log_lines() as lines:
        async with nothing_is_kept(gateway):
            flood = flooding(gateway, BESIDE_OTHERS)
            await has_in_hand(gateway, "acme", BESIDE_OTHERS)
            await asyncio.sleep(KEEP_SECONDS - TURN_SECONDS * 3 / 4)  # so that a turn comes in time, but not soon
            started = time.monotonic()
            answer = await gateway.send(b'{"id": "evt_last"}')
            assert time.monotonic() - started < KEEP_SECONDS * 1.4
            await problem(answer, 503, "not_ready")
            await asyncio.gather(*flood)
    assert [line["error"] for line in events(lines, "webhook.not_kept")] == [TOO_SLOW] * (BESIDE_OTHERS + 1)


async def test_a_webhook_that_is_not_proven_waits_for_no_turn(gateway: Harness) -> None:
    await beside_another(gateway)
    async with nothing_is_kept(gateway):
        flood = flooding(gateway, BESIDE_OTHERS)
        await has_in_hand(gateway, "acme", BESIDE_OTHERS)
        answer = await gateway.send(b"{}", headers={"X-Example-Signature": "forged"})
        assert answer.status in (400, 401, 403)
        assert gateway.gateway.context.in_hand["acme"] == BESIDE_OTHERS
    assert {(await each).status for each in flood} <= {200, 503}
