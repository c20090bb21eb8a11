"""An id becomes its whole story."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import CONFIG, START, Harness, harness

from gateway.flows.trace import Story, trace
from gateway.sdk import Attribution, Money, RevenueKind
from gateway.store import stories

PURCHASE, RENEWAL, REFUND = RevenueKind.PURCHASE, RevenueKind.RENEWAL, RevenueKind.REFUND
ANNA = Attribution(visitor_id="site_1:anna", session_id="s1", token="t1")


async def told(gateway: Harness, query: str, *sites: str) -> Story:
    return await trace(gateway.gateway.context.database, sites or ("acme", "globex"), query)


async def bought(gateway: Harness, **ids: Any) -> dict[str, str]:
    async with gateway.http.post(
        f"{gateway.url}/checkouts/acme", json={"plan": "pro", **ids}, headers={"Origin": "https://www.acme.example"}
    ) as answer:
        created: dict[str, str] = orjson.loads(await answer.read())
    assert answer.status == 201, created
    return created


async def sold(gateway: Harness) -> dict[str, str]:
    """A whole life: a checkout, its sale, a renewal, a refund."""
    created = await bought(gateway, faVisitorId="site_1:anna", faSessionId="s1", faAttributionToken="t1")
    order, checkout = created["orderId"], created["checkoutId"]
    shared = {"subscription_id": "sub_0001"}
    await gateway.happen(PURCHASE, event_id="evt_sale", payment_id="pay_0001", checkout_id=checkout, reference=order,
                         amount=Money(6500, "USD"), **shared)  # fmt: skip
    gateway.clock.forward(timedelta(seconds=1))
    await gateway.happen(RENEWAL, event_id="evt_renewal", payment_id="pay_0002", amount=Money(6500, "USD"), **shared)
    gateway.clock.forward(timedelta(seconds=1))
    await gateway.happen(REFUND, event_id="evt_refund", payment_id="pay_0001", refund_id="ref_0001",
                         amount=Money(100, "USD"))  # fmt: skip
    return created


CONTRACT: dict[str, Any] = {
    "": ["query", "site", "verdict", "reason", "checkout", "webhooks", "revenue", "deliveries"],
    "checkout": ["order_id", "plan", "checkout_id", "attribution", "created_at"],
    "webhooks": ["id", "connection", "event_id", "event_type", "received_at", "seen", "outcome", "reason"],
    "revenue": ["connection", "key", "kind", "payment_id", "order_id", "amount_minor", "currency", "attribution",
                "attribution_source", "occurred_at", "test", "source"],
    "deliveries": ["connection", "key", "status", "reason", "recorded_at", "next_attempt_at", "attempts"],
    "attempts": ["at", "status_code", "verdict", "milliseconds"],
}  # fmt: skip


async def test_the_story_has_the_keys_of_the_contract_and_is_json(gateway: Harness) -> None:
    created = await sold(gateway)
    story = orjson.loads(orjson.dumps((await told(gateway, created["orderId"])).as_json()))
    assert list(story) == CONTRACT[""]
    assert set(CONTRACT["checkout"]) <= set(story["checkout"])
    for part in ("webhooks", "revenue", "deliveries"):
        assert set(CONTRACT[part]) <= set(story[part][0])
    assert set(CONTRACT["attempts"]) <= set(story["deliveries"][0]["attempts"][0])
    assert story["query"] == created["orderId"]
    assert (story["site"], story["verdict"]) == ("acme", "attributed")
    who = {"visitor_id": "site_1:anna", "session_id": "s1", "token": "t1"}
    assert story["checkout"]["attribution"] == story["revenue"][0]["attribution"] == who
    assert story["checkout"]["created_at"] == story["webhooks"][0]["received_at"] == START.isoformat()
    assert story["revenue"][0]["attribution_source"] == "checkout"
    (attempt,) = story["deliveries"][0]["attempts"]
    assert (attempt["at"], attempt["status_code"], attempt["verdict"]) == (START.isoformat(), 200, "recorded")
    assert story["deliveries"][0]["recorded_at"] == START.isoformat()
    assert story["deliveries"][0]["next_attempt_at"] is None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("order", "The purchase of 65.00 USD is recorded"),
        ("checkout", "The purchase of 65.00 USD is recorded"),
        ("pay_0001", "The purchase of 65.00 USD is recorded"),
        ("payment:pay_0001", "The purchase of 65.00 USD is recorded"),
        ("pay_0002", "The renewal of 65.00 USD is recorded"),
        ("ref_0001", "The refund of 1.00 USD is recorded"),
        ("refund:ref_0001", "The refund of 1.00 USD is recorded"),
        ("sub_0001", "The purchase of 65.00 USD is recorded"),
        ("evt_sale", "The purchase of 65.00 USD is recorded"),
        ("evt_refund", "The refund of 1.00 USD is recorded"),
        ("site_1:anna", "The purchase of 65.00 USD is recorded"),
        ("price_sample1", "The purchase of 65.00 USD is recorded"),
    ],
)
async def test_every_kind_of_id_finds_the_story(gateway: Harness, query: str, says: str) -> None:
    created = await sold(gateway)
    query = {"order": created["orderId"], "checkout": created["checkoutId"]}.get(query, query)
    story = await told(gateway, f"  {query}\n")
    assert story.query == query
    assert (story.site, story.verdict.word) == ("acme", "attributed")
    assert story.verdict.reason.startswith(says)
    assert story.webhooks
    assert len(story.deliveries) == len(story.revenue)


async def test_a_payment_id_tells_the_sale_and_its_refund_in_order(gateway: Harness) -> None:
    created = await sold(gateway)
    story = await told(gateway, "pay_0001")
    assert [line["key"] for line in story.revenue] == ["payment:pay_0001", "refund:ref_0001"]
    assert [line["event_id"] for line in story.webhooks] == ["evt_sale", "evt_refund"]
    assert story.checkout is not None
    assert story.checkout["order_id"] == created["orderId"]


async def test_an_order_id_finds_what_was_booked_before_its_sale(gateway: Harness) -> None:
    """With ids of their own a renewal and a refund need not wait, and have nothing to take an order id from."""
    created, shared = await bought(gateway, faVisitorId="site_1:anna"), {"subscription_id": "sub_0001"}
    await gateway.happen(RENEWAL, payment_id="pay_0002", attribution=ANNA, **shared)
    await gateway.happen(REFUND, payment_id="pay_0002", refund_id="ref_0002", amount=Money(100, "USD"))
    await gateway.happen(REFUND, payment_id="pay_0001", refund_id="ref_0001", attribution=ANNA)
    await gateway.happen(PURCHASE, payment_id="pay_0001", reference=created["orderId"], **shared)
    await gateway.happen(PURCHASE, payment_id="pay_0009", subscription_id="sub_0009", attribution=ANNA)
    found = {line["key"]: line["order_id"] for line in (await told(gateway, created["orderId"])).revenue}
    assert found == {
        "payment:pay_0001": created["orderId"], "payment:pay_0002": None, "refund:ref_0001": None,
        "refund:ref_0002": None,
    }  # fmt: skip


async def test_an_order_id_finds_no_other_order_of_its_subscription(gateway: Harness) -> None:
    for number in (1, 2):
        await gateway.happen(PURCHASE, payment_id=f"pay_{number}", reference=f"order-{number}", subscription_id="sub")
    assert [line["key"] for line in (await told(gateway, "order-1")).revenue] == ["payment:pay_1"]


async def test_a_checkout_that_nobody_paid_is_pending(gateway: Harness) -> None:
    created = await bought(gateway, faVisitorId=17)
    story = await told(gateway, created["orderId"])
    assert story.verdict.word == "pending"
    assert "no webhook about it has arrived" in story.verdict.reason
    assert story.checkout is not None
    assert story.checkout["dropped"] == ["faVisitorId"]


async def test_a_webhook_counts_how_often_it_was_seen_and_says_where_it_ended(gateway: Harness) -> None:
    for _ in range(3):
        await gateway.happen(PURCHASE, event_id="evt_sim", simulated=True)
    story = await told(gateway, "sim_evt_sim")
    assert story.verdict.word == "not_revenue"
    assert story.verdict.reason == (
        "The webhook payment.paid is kept and not counted: it is a simulation, which never counts."
    )
    (line,) = story.webhooks
    assert (line["seen"], line["outcome"], line["reason"]) == (3, "ignored", "simulated")


async def test_a_webhook_that_cannot_be_read_is_found_by_its_row_id_too(gateway: Harness) -> None:
    await gateway.send(b'{"id": "evt_odd", "type": "payment.paid", "created": 1}')
    await gateway.settled()
    (row,) = await gateway.rows("SELECT id FROM inbox")
    for query in ("evt_odd", str(row["id"])):
        story = await told(gateway, query)
        assert story.verdict.word == "rejected"
        assert "example: the event lacks its data or its time" in story.verdict.reason


async def test_what_waits_says_for_what_and_until_when(gateway: Harness) -> None:
    await gateway.happen(REFUND, event_id="evt_r", payment_id="pay_0009", refund_id="ref_0009")
    story = await told(gateway, "ref_0009")
    assert story.verdict.word == "pending"
    assert story.verdict.reason.endswith(
        "waits for the sale that it refers to, at the latest at 2026-09-02 12:00:00 UTC."
    )
    assert story.webhooks[0]["next_reading_at"] == (START + timedelta(hours=24)).isoformat()


async def test_a_held_site_shows_held_for_what_is_pending(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="pay_0001", subscription_id="sub_0001", attribution=ANNA)
    await gateway.switch(next_status=401, next_times=1)
    await gateway.happen(RENEWAL, payment_id="pay_0002", subscription_id="sub_0001")
    story = await told(gateway, "sub_0001")
    assert {line["key"]: line["status"] for line in story.deliveries} == {
        "payment:pay_0001": "recorded",
        "payment:pay_0002": "held",
    }
    assert (await told(gateway, "pay_0002")).verdict.word == "held"
    assert await gateway.rows("SELECT 1 FROM outbox WHERE status = 'held'") == []


async def test_an_unfinished_attempt_has_no_verdict(gateway: Harness) -> None:
    await gateway.switch(drop="before_recording")
    await gateway.happen(PURCHASE, payment_id="pay_0001")
    await gateway.database.execute("UPDATE attempts SET verdict = NULL")
    (delivery,) = (await told(gateway, "pay_0001")).deliveries
    assert [attempt["verdict"] for attempt in delivery["attempts"]] == [None]


async def test_with_several_sites_the_one_with_money_is_told_and_the_others_named(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, site="globex", payment_id="pay_0001", attribution=ANNA)
    await gateway.happen(PURCHASE, payment_id="pay_0001", simulated=True)
    both = await told(gateway, "pay_0001")
    assert both.site == "globex"
    assert both.verdict.reason.endswith("Also known at acme: choose with --site.")
    one = await told(gateway, "pay_0001", "acme")
    assert (one.site, one.verdict.word) == ("acme", "not_revenue")
    assert "--site" not in one.verdict.reason
    assert (await told(gateway, "pay_0001", "nowhere")).verdict.word == "unknown"


async def test_refused_webhooks_are_mentioned_where_nothing_is_known(gateway: Harness) -> None:
    await gateway.send(b"{}", headers={"X-Example-Signature": "t=1,v1=00"})
    await gateway.until("SELECT count(*) FROM refusals", equals=1)
    story = await told(gateway, "pay_0404")
    assert (story.site, story.verdict.word, story.checkout, story.revenue) == (None, "unknown", None, [])
    assert "1 webhook to acme/example refused" in story.verdict.reason


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "\0",
        "a\0b",
        "x" * 100_000,
        "%",
        "pay%",
        "pay_%",
        "_",
        "ünïcödé-💶",
        "\ud800",
        "' OR 1=1 --",
        "{",
        "\\x00",
    ],
    ids=range(14),
)
async def test_an_odd_query_is_unknown_and_harms_nothing(gateway: Harness, query: str) -> None:
    await gateway.happen(PURCHASE, payment_id="pay_0001")
    story = await told(gateway, query)
    assert (story.site, story.verdict.word) == (None, "unknown")


async def test_a_unicode_id_is_found(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="pay-ünï-💶", attribution=ANNA)
    assert (await told(gateway, "pay-ünï-💶")).verdict.word == "attributed"


async def test_a_search_that_takes_too_long_is_left_out_and_says_so(
    gateway: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.happen(PURCHASE, payment_id="pay_0001", attribution=ANNA)
    monkeypatch.setattr(stories, "SEARCH_MILLISECONDS", 30)
    for name in ("SEARCH", "SEARCH_NEAR"):
        slow = getattr(stories, name).replace("FROM inbox\n    WHERE site", "FROM inbox\nWHERE site")
        slow = slow.replace("FROM inbox\nWHERE site", "FROM inbox WHERE pg_sleep(2) IS NULL OR site")
        monkeypatch.setattr(stories, name, slow)
    for query, word in (("pay_0001", "attributed"), ("ctm_0404", "unknown")):
        story = await told(gateway, query, "acme")
        assert story.verdict.word == word
        assert "took too long and was left out" in story.verdict.reason


async def test_what_mentions_a_known_payment_is_looked_for_near_its_booking(gateway: Harness) -> None:
    """And what mentions an id that nothing is known of, at any time."""
    await gateway.happen(PURCHASE, payment_id="pay_0001", attribution=ANNA)
    tried = orjson.dumps({"id": "evt_tried", "type": "payment.tried", "payment": "pay_0001", "customer": "ctm_0404"})
    late = orjson.dumps({"id": "evt_late", "type": "payment.tried", "payment": "pay_0001", "customer": "ctm_0404"})
    gateway.clock.forward(timedelta(minutes=50))
    await gateway.send(tried)
    gateway.clock.forward(timedelta(days=2))
    await gateway.send(late)
    await gateway.settled()
    near = [row["event_key"] for row in (await found(gateway, "pay_0001")).webhooks]
    anywhere = [row["event_key"] for row in (await found(gateway, "ctm_0404")).webhooks]
    assert (near, anywhere) == (["evt_0", "evt_tried"], ["evt_tried", "evt_late"])


async def test_a_webhook_is_found_by_the_id_that_it_got_here(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="pay_0001", attribution=ANNA)
    (row,) = await gateway.rows("SELECT id FROM inbox")
    assert [kept["id"] for kept in (await found(gateway, str(row["id"]))).webhooks] == [row["id"]]
    for unknown in (
        "0197f22e-79b0-7cc3-98c4-dc0c0c07398f",
        "4f4ef4b2-2f6c-4c3f-9a29-3c8f6b1b0a11",
        "f" * 12 + "7fffbfffffffffffffff",
    ):
        assert (await found(gateway, unknown)).webhooks == []


async def found(gateway: Harness, query: str) -> stories.Found:
    async with gateway.gateway.context.database.reading() as connection:
        return await stories.find(connection, "acme", query)


async def test_a_story_has_no_secret_in_it(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path) as gateway:
        await gateway.switch(next_status=422, next_times=1, next_message="key acme-write-key is wrong")
        await gateway.happen(PURCHASE, payment_id="pay_0001")
        story = orjson.dumps((await told(gateway, "pay_0001")).as_json()).decode()
        assert "acme-write-key" in CONFIG
        assert "acme-write-key" not in story
        assert "key *** is wrong" in story
