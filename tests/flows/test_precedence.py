"""A site that floods the process waits with its own work; others do not, and nobody waits for ever."""

import asyncio
from pathlib import Path

import pytest
from harness import Harness, harness
from sending import Calls

from gateway.flows import precedence
from gateway.flows.deliver import Deliverer
from gateway.flows.precedence import CROWD
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
