"""The main job as two sites live it: a sale and everything that follows it, also across a restart."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from harness import Clock, Harness, harness
from paddle_site import CONFIG

from gateway.flows.trace import trace
from gateway.sdk import Attribution, Money, RevenueKind

VISITOR = Attribution(visitor_id="site_123:visitor_456", session_id="ses_1")


@pytest_asyncio.fixture(name="paddle")
async def _paddle(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with harness(database_url, tmp_path, text=CONFIG, company="paddle") as running:
        yield running


def _sample(paddle: Harness, site: str, kind: RevenueKind, **what: Any) -> dict[str, Any]:
    body = paddle.provider(site, "paddle").sample(kind, simulated=False, occurred_at=paddle.clock(), **what)
    return json.loads(body)  # type: ignore[no-any-return]


async def _send(paddle: Harness, site: str, envelope: dict[str, Any], times: int = 1) -> None:
    for _ in range(times):
        answer = await paddle.send(json.dumps(envelope).encode(), site, "paddle")
        assert answer.status == 200, await answer.text()
        paddle.clock.forward(timedelta(milliseconds=1))  # of two events of one sale the one received first books it


async def _everything(paddle: Harness, site: str) -> None:
    """A sale, its five duplicates, its late `updated` and `revised`, a renewal, a refund and a simulated event."""
    sale = _sample(
        paddle, site, RevenueKind.PURCHASE, event_id="evt_sale", payment_id="txn_sale", subscription_id="sub_1",
        reference="order-1", amount=Money(6500, "USD"), attribution=VISITOR,
    )  # fmt: skip
    await _send(paddle, site, sale, times=6)
    for number, event_type in enumerate(("transaction.updated", "transaction.revised")):
        await _send(paddle, site, {**sale, "event_id": f"evt_late_{number}", "event_type": event_type})
    renewal = _sample(
        paddle, site, RevenueKind.RENEWAL, event_id="evt_renewal", payment_id="txn_renewal", subscription_id="sub_1",
        reference="order-1", amount=Money(6500, "USD"), attribution=VISITOR,
    )  # fmt: skip
    await _send(paddle, site, renewal)
    refund = _sample(
        paddle, site, RevenueKind.REFUND, event_id="evt_refund", payment_id="txn_sale", adjustment_id="adj_1",
        amount=Money(1500, "USD"),
    )  # fmt: skip
    await _send(paddle, site, refund)
    body = paddle.provider(site, "paddle").sample(RevenueKind.PURCHASE, occurred_at=paddle.clock())
    assert (await paddle.send(body, site, "paddle")).status == 200


EXPECTED_INBOX = {
    "evt_sale": ("booked", None, 6),
    "evt_late_0": ("ignored", "already_booked", 1),
    "evt_late_1": ("ignored", "already_booked", 1),
    "evt_renewal": ("booked", None, 1),
    "evt_refund": ("booked", None, 1),
}


async def _inbox(paddle: Harness, site: str) -> dict[str, tuple[str, str | None, int]]:
    rows = await paddle.rows("SELECT event_id, outcome, reason, seen FROM inbox WHERE site = $1", site)
    return {row["event_id"]: (row["outcome"], row["reason"], row["seen"]) for row in rows}


async def test_every_event_ends_as_the_contract_says_on_both_dialects(paddle: Harness) -> None:
    for site in ("acme", "globex"):
        await _everything(paddle, site)
    await paddle.settled()
    for site in ("acme", "globex"):
        inbox = await _inbox(paddle, site)
        (simulated,) = [outcome for event, outcome in inbox.items() if event.startswith("ntfsimevt_")]
        assert simulated == ("ignored", "simulated", 1)
        assert {event: outcome for event, outcome in inbox.items() if event in EXPECTED_INBOX} == EXPECTED_INBOX
    acme = await paddle.recorded("acme")
    assert sorted(record["amount"] for record in acme) == ["-15.00", "65.00", "65.00"]
    globex = await paddle.recorded("globex")
    assert sorted(record["amount"] for record in globex) == ["65.00", "65.00"]
    refund = await paddle.rows(
        "SELECT status, reason FROM outbox WHERE site = 'globex' AND revenue_key = 'refund:adj_1'"
    )
    assert refund == [{"status": "skipped", "reason": "unsupported_by_destination"}]


async def test_the_order_id_is_sent_once_and_the_payment_id_after_that(paddle: Harness) -> None:
    await _everything(paddle, "acme")
    await paddle.settled()
    sent = await paddle.rows("SELECT revenue_key, order_id_sent FROM outbox WHERE site = 'acme' ORDER BY revenue_key")
    assert {row["revenue_key"]: row["order_id_sent"] for row in sent} == {
        "payment:txn_sale": "order-1",
        "payment:txn_renewal": "txn_renewal",
        "refund:adj_1": "adj_1",
    }


async def test_a_restart_in_the_middle_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """Webhooks kept by a gateway without a worker are booked by the next one; repeats then count as repeats."""
    clock = Clock()
    async with harness(database_url, tmp_path, text=CONFIG, company="paddle", with_worker=False, clock=clock) as first:
        await _everything(first, "acme")
        assert {outcome for outcome, _ in await first.inbox()} == {"received"}
    clock.forward(timedelta(minutes=1))
    async with harness(database_url, tmp_path, text=CONFIG, company="paddle", clock=clock) as second:
        await second.settled()
        await _everything(second, "acme")
        await second.settled()
        inbox = await _inbox(second, "acme")
        assert inbox["evt_sale"][2] == 12
        assert inbox["evt_sale"][0] == "booked"
        assert len(await second.recorded("acme")) == 3


async def test_a_checkout_paid_at_the_stand_in_is_attributed_to_its_visitor(paddle: Harness) -> None:
    order = {"planId": "pro", "faVisitorId": "v-1", "faSessionId": "s-1", "faAttributionToken": None}
    async with paddle.http.post(
        f"{paddle.url}/api/checkout/create", json=order, headers={"Origin": "https://www.acme.example"}
    ) as answer:
        assert answer.status == 200, await answer.text()
        created = orjson.loads(await answer.read())
    await paddle.http.post(f"{paddle.provider_url}/stand-in/settings", json={"delay_scale": 0})
    async with paddle.http.post(
        f"{paddle.provider_url}/stand-in/pay", json={"transaction_id": created["checkoutId"]}
    ) as answer:
        assert answer.status == 200, await answer.text()
    await paddle.until("SELECT status FROM outbox", equals="recorded")
    story = await trace(paddle.gateway.context.database, ["acme", "globex"], created["orderId"])
    assert story.verdict.word == "attributed", story.verdict.reason
    assert story.revenue[0]["attribution_source"] == "checkout"
    (record,) = await paddle.recorded("acme")
    assert (record["visitor_id"], record["order_id"]) == ("v-1", created["orderId"])


async def test_trace_explains_each_of_them_in_a_sentence(paddle: Harness) -> None:
    await _everything(paddle, "acme")
    await paddle.settled()
    database = paddle.gateway.context.database
    sentences = {
        query: (await trace(database, ["acme"], query)).verdict
        for query in ("order-1", "txn_sale", "txn_renewal", "adj_1", "evt_sale", VISITOR.visitor_id or "")
    }
    assert {verdict.word for verdict in sentences.values()} == {"attributed"}
    assert "purchase of 65.00 USD" in sentences["order-1"].reason
    assert "refund of 15.00 USD" in sentences["adj_1"].reason
    assert "renewal of 65.00 USD" in sentences["txn_renewal"].reason
    simulated = await paddle.rows("SELECT event_id FROM inbox WHERE reason = 'simulated'")
    verdict = (await trace(database, ["acme"], simulated[0]["event_id"])).verdict
    assert (verdict.word, "never counts" in verdict.reason) == ("not_revenue", True)
