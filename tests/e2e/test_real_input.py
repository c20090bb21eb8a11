"""Every webhook body of the official SDKs, and ours where they have none, through a running gateway."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from harness import Harness, harness
from paddle_site import CONFIG, FIXTURES, OWN, envelope, needs_fixtures, official

NOT_REVENUE, NOT_FINAL, SIMULATED = ("ignored", "not_revenue"), ("ignored", "not_final"), ("ignored", "simulated")
BOOKED = ("booked", None)
WAITING = ("received", "waiting_for_sale")

# bare `data` objects: what each must become, and the movement that the ledger then has
DATA: dict[str, tuple[tuple[str, str | None], tuple[str, int, str] | None]] = {
    "adjustment.created": (NOT_FINAL, None),
    "customer.created": (NOT_REVENUE, None),
    "payout.paid": (NOT_REVENUE, None),
    "subscription.activated": (NOT_REVENUE, None),
    "subscription.canceled": (NOT_REVENUE, None),
    "subscription.created": (NOT_REVENUE, None),
    "subscription.past_due": (NOT_REVENUE, None),
    "subscription.updated": (NOT_REVENUE, None),
    "transaction.billed": (NOT_FINAL, None),
    "transaction.completed": (BOOKED, ("payment:txn_01hv8wptq8987qeep44cyrewp9", 65215, "USD")),
    "transaction.created": (NOT_FINAL, None),
    "transaction.paid": (NOT_FINAL, None),
    "transaction.past_due": (NOT_FINAL, None),
    "transaction.payment_failed": (NOT_FINAL, None),
    "transaction.updated": (NOT_FINAL, None),
}

ENVELOPES: dict[str, tuple[tuple[str, str | None], tuple[str, int, str] | None]] = {
    "webhook-envelope/business.updated.json": (NOT_REVENUE, None),
    "webhook-envelope/customer.created.signed.json": (NOT_REVENUE, None),
    "webhook-envelope/price.created.json": (NOT_REVENUE, None),
    "converted/adjustment.updated.node.json": (WAITING, None),
    "converted/subscription.updated.node.json": (NOT_REVENUE, None),
    "converted/transaction.paid.node.json": (NOT_FINAL, None),
    "converted/transaction.payment_failed.node.json": (NOT_FINAL, None),
}

# our own fixtures that are more than one line of the plugin's table: what the whole gateway makes of them
OURS: dict[str, tuple[str, str | None]] = {
    "transaction.completed__jpy": BOOKED,
    "transaction.completed__first_purchase": BOOKED,
    "transaction.completed__zero": BOOKED,
    "transaction.completed__negative_totals": BOOKED,
    "transaction.completed__simulated": SIMULATED,
    "transaction.completed__custom_data_very_long": BOOKED,
    "transaction.completed__custom_data_text_unfit_to_store": BOOKED,
    "transaction.reimagined__type_of_the_future": NOT_REVENUE,
    "adjustment.created__chargeback": WAITING,
}


@pytest_asyncio.fixture(name="paddle")
async def _paddle(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with harness(database_url, tmp_path, text=CONFIG, company="paddle") as running:
        yield running


async def _sent(paddle: Harness, body: bytes, site: str = "acme", connection: str = "paddle") -> None:
    answer = await paddle.send(body, site, connection)
    assert answer.status == 200, await answer.text()


@needs_fixtures
async def test_every_data_object_becomes_what_the_table_says(paddle: Harness) -> None:
    assert {path.stem for path in (FIXTURES / "webhook-data").glob("*.json")} == set(DATA)
    for number, event_type in enumerate(DATA, 1):
        await _sent(paddle, envelope(event_type, official(f"webhook-data/{event_type}.json"), number))
    await paddle.settled()
    rows = await paddle.rows("SELECT event_type, outcome, reason FROM inbox")
    assert {row["event_type"]: (row["outcome"], row["reason"]) for row in rows} == {
        event_type: outcome for event_type, (outcome, _) in DATA.items()
    }
    assert await _ledger(paddle) == [booked for _, booked in DATA.values() if booked]


@needs_fixtures
@pytest.mark.parametrize("name", ENVELOPES)
async def test_every_envelope_becomes_what_the_table_says(paddle: Harness, name: str) -> None:
    found = {path.relative_to(FIXTURES).as_posix() for path in (FIXTURES / "webhook-envelope").glob("*.json")}
    assert found <= set(ENVELOPES)
    await _sent(paddle, (FIXTURES / name).read_bytes())
    await paddle.settled()
    outcome, booked = ENVELOPES[name]
    assert await paddle.inbox() == [outcome]
    assert await _ledger(paddle) == ([booked] if booked else [])


@needs_fixtures
async def test_the_official_event_list_counts_its_sale_once(paddle: Harness) -> None:
    events = official("api/events.list.json")["data"]
    for event in events:
        await _sent(paddle, json.dumps(event).encode())
    await paddle.settled()
    assert len(await paddle.inbox()) == len(events)
    completed = [event["data"] for event in events if event["data"].get("status") == "completed"]
    assert len(completed) > 1
    (sale,) = {data["id"] for data in completed}
    assert await _ledger(paddle) == [], "a renewal without ids waits for the sale that its subscription began with"
    await paddle.forward(timedelta(hours=25))
    assert await _ledger(paddle) == [(f"payment:{sale}", 66000, "GBP")]
    (record,) = await paddle.recorded()
    assert (record["amount"], record["currency"]) == ("660.00", "GBP")


@needs_fixtures
async def test_the_published_signature_vectors_are_accepted_at_their_time(paddle: Harness) -> None:
    """S1 with its own secret: the vector's clock is the gateway's clock here."""
    body = (FIXTURES / "webhook-envelope" / "customer.created.signed.json").read_bytes().removesuffix(b"\n")
    secret = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I"
    paddle.rewrite_config(CONFIG.replace("pdl_ntfset_made_up_1", secret))
    assert await paddle.gateway.reload()
    header = {"Paddle-Signature": "ts=1710498758;h1=558bf93944dbeb4790c7a8af6cb2ea435c8ca9c8396aafc1a4e37424ac132744"}
    stale = await paddle.send(body, connection="paddle", headers=header)
    assert stale.status == 401
    paddle.clock.moment = paddle.clock.moment.fromtimestamp(1710498758 + 3, paddle.clock.moment.tzinfo)
    fresh = await paddle.send(body, connection="paddle", headers=header)
    assert fresh.status == 200
    await paddle.settled()
    assert await paddle.inbox() == [NOT_REVENUE]


@pytest.mark.parametrize("name", OURS)
async def test_our_own_fixtures_end_where_the_table_says(paddle: Harness, name: str) -> None:
    await _sent(paddle, (OWN / f"{name}.json").read_bytes())
    await paddle.settled()
    assert await paddle.inbox() == [OURS[name]]


async def test_yen_reach_faurya_as_yen(paddle: Harness) -> None:
    body = (OWN / "transaction.completed__jpy.json").read_bytes()
    expected = int(json.loads(body)["data"]["details"]["totals"]["grand_total"])
    await _sent(paddle, body)
    await paddle.settled()
    (record,) = await paddle.recorded()
    assert (record["amount"], record["currency"]) == (str(expected), "JPY")


async def test_a_chargeback_that_comes_first_waits_for_its_sale_and_follows_it(paddle: Harness) -> None:
    sale = json.loads((OWN / "transaction.completed__first_purchase.json").read_bytes())
    refund = json.loads((OWN / "adjustment.created__chargeback.json").read_bytes())
    refund["data"]["transaction_id"] = sale["data"]["id"]
    await _sent(paddle, json.dumps(refund).encode())
    await paddle.settled()
    assert await paddle.inbox() == [WAITING]
    await _sent(paddle, json.dumps(sale).encode())
    await paddle.settled()
    assert await paddle.inbox() == [BOOKED, BOOKED]
    deliveries = await paddle.deliveries()
    assert set(deliveries.values()) == {("recorded", None)}
    signs = sorted(record["amount"].startswith("-") for record in await paddle.recorded())
    assert signs == [False, True]


async def test_a_refund_whose_sale_never_comes_is_booked_without_it(paddle: Harness) -> None:
    await _sent(paddle, (OWN / "adjustment.created__chargeback.json").read_bytes())
    await paddle.settled()
    await paddle.forward(timedelta(hours=25))
    assert await paddle.inbox() == [BOOKED]
    assert set((await paddle.deliveries()).values()) == {("skipped", "sale_not_recorded")}


async def test_sandbox_money_never_reaches_the_site(paddle: Harness) -> None:
    await _sent(paddle, (OWN / "transaction.completed__first_purchase.json").read_bytes(), "shop", "sandbox")
    await paddle.settled()
    assert set((await paddle.deliveries()).values()) == {("skipped", "test_mode")}
    assert await paddle.recorded() == []


async def _ledger(paddle: Harness) -> list[tuple[Any, ...]]:
    rows = await paddle.rows("SELECT revenue_key, amount_minor, currency FROM ledger ORDER BY revenue_key")
    return [(row["revenue_key"], row["amount_minor"], row["currency"]) for row in rows]
