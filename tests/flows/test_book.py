"""Every kept webhook ends in exactly one outcome, and every movement of money is booked once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import scripted
from accepting import events, log_lines
from harness import CONFIG, START, Harness, harness
from structlog.testing import capture_logs

from gateway.domain.delivery import JITTER
from gateway.flows.book import CONFLICTS, CROWD, book, book_all
from gateway.sdk import Attribution, Ignored, Malformed, Money, Rejected, RevenueEvent, RevenueKind, Unavailable
from gateway.store import inbox
from gateway.store.errors import StoreError, StoreUnavailable

PURCHASE, RENEWAL = RevenueKind.PURCHASE, RevenueKind.RENEWAL
REFUND, REVERSAL = RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL
ANNA = Attribution(visitor_id="anna", session_id="s1", token="t1")
BERT = Attribution(visitor_id="bert")

SCRIPTED = CONFIG.replace("    plans:\n      pro:", "      scripted: {{environment: live}}\n    plans:\n      pro:")
SCHEDULE = "retry: {{schedule: [10s, 100s]}}\nsites:"


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def movement(key: str = "payment:p1", **what: Any) -> RevenueEvent:
    values: dict[str, Any] = {"kind": PURCHASE, "payment_id": "p1", "amount": usd(1000), "occurred_at": START}
    return RevenueEvent(key=key, **{**values, **what})


def refunded(total: int, **what: Any) -> RevenueEvent:
    return movement(f"refunds:p1:{total}", kind=REFUND, amount=usd(total), cumulative=True, **what)


async def say(gateway: Harness, plugin: scripted.Scripted, event_id: str, reading: Any, *, settle: bool = True) -> None:
    """Send a webhook to the scripted connection."""
    plugin.readings[event_id] = reading
    answer = await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: event_id})
    assert answer.status == 200
    if settle:
        await gateway.settled()


async def ledger(gateway: Harness, columns: str = "revenue_key, amount_minor") -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await gateway.rows(f"SELECT {columns} FROM ledger ORDER BY revenue_key")]


def raising(error: BaseException) -> Any:
    def reading() -> None:
        raise error

    return reading


@pytest.mark.parametrize(
    ("kind", "what", "outcome", "reason"),
    [
        (PURCHASE, {}, "booked", None),
        (RENEWAL, {"attribution": ANNA}, "booked", None),
        (PURCHASE, {"simulated": True}, "ignored", "simulated"),
        (PURCHASE, {"event_type": "payment.pending"}, "ignored", "not_final"),
        (PURCHASE, {"event_type": "customer.created"}, "ignored", "not_revenue"),
        (REFUND, {}, "received", "waiting_for_sale"),
        (RENEWAL, {"subscription_id": "sub_1"}, "received", "waiting_for_sale"),
        (PURCHASE, {"payment_id": ""}, "unreadable", "malformed"),
    ],
)
async def test_a_webhook_ends_in_the_outcome_of_what_it_says(
    gateway: Harness, kind: RevenueKind, what: dict[str, Any], outcome: str, reason: str | None
) -> None:
    await gateway.happen(kind, **what)
    assert await gateway.inbox() == [(outcome, reason)]


async def test_signed_nonsense_is_unreadable_and_says_which_plugin_could_not_read_it(gateway: Harness) -> None:
    answer = await gateway.send(b'{"id": "evt_1", "type": "payment.paid", "created": 1}')
    assert answer.status == 200
    await gateway.settled()
    rows = await gateway.rows("SELECT outcome, reason, detail, due_at FROM inbox")
    assert rows == [
        {
            "outcome": "unreadable",
            "reason": "malformed",
            "detail": "example: the event lacks its data or its time",
            "due_at": None,
        }
    ]


async def test_five_duplicates_are_one_line_of_the_ledger_and_one_call_of_faurya(gateway: Harness) -> None:
    for _ in range(6):
        await gateway.happen(PURCHASE, event_id="evt_same", payment_id="p1", settle=False)
    await gateway.settled()
    assert await gateway.rows("SELECT outcome, seen FROM inbox") == [{"outcome": "booked", "seen": 6}]
    assert await ledger(gateway) == [("payment:p1", 4900)]
    assert len(await gateway.recorded()) == 1


async def test_a_late_update_of_the_same_movement_is_already_booked_and_counts_nothing(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="p1", amount=usd(6500))
    await gateway.happen(PURCHASE, payment_id="p1", amount=usd(7777))
    assert await gateway.inbox() == [("booked", None), ("ignored", "already_booked")]
    assert await ledger(gateway) == [("payment:p1", 6500)]
    assert [record["amount"] for record in await gateway.recorded()] == ["65.00"]


async def test_the_whole_life_of_a_subscription_keeps_its_visitor(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="p1", subscription_id="sub", reference="order-1", attribution=ANNA)
    await gateway.happen(RENEWAL, payment_id="p2", subscription_id="sub", reference="order-1")
    await gateway.happen(REFUND, payment_id="p2", refund_id="r1", amount=usd(900))
    await gateway.happen(REFUND, payment_id="p2", refund_id="r2", amount=usd(100))
    await gateway.happen(REVERSAL, payment_id="p2", refund_id="v1", amount=usd(900))
    assert await ledger(gateway, "revenue_key, kind, visitor_id, attribution_source, amount_minor") == [
        ("payment:p1", "purchase", "anna", "webhook", 4900),
        ("payment:p2", "renewal", "anna", "subscription", 4900),
        ("refund:r1", "refund", "anna", "payment", 900),
        ("refund:r2", "refund", "anna", "payment", 100),
        ("reversal:v1", "refund_reversal", "anna", "payment", 900),
    ]
    records = [(one["event"], one["sent"], one["order_id"], one["visitor_id"]) for one in await gateway.recorded()]
    assert records == [
        ("purchase", "4900", "order-1", "anna"),
        ("purchase", "4900", "p2", "anna"),
        ("refund", "-900", "r1", "anna"),
        ("refund", "-100", "r2", "anna"),
        ("purchase", "900", "v1", "anna"),
    ]


async def test_an_order_id_is_sent_once_per_site(gateway: Harness) -> None:
    for payment in ("p1", "p2", "p3"):
        await gateway.happen(PURCHASE, payment_id=payment, reference="order-1")
    await gateway.happen(PURCHASE, connection="sandbox", payment_id="p4", reference="order-1")
    await gateway.happen(PURCHASE, site="globex", payment_id="p5", reference="order-1", attribution=BERT)
    rows = await gateway.rows("SELECT site, revenue_key, order_id_sent FROM outbox ORDER BY revenue_key")
    assert [tuple(row.values()) for row in rows] == [
        ("acme", "payment:p1", "order-1"),
        ("acme", "payment:p2", "p2"),
        ("acme", "payment:p3", "p3"),
        ("acme", "payment:p4", "p4"),
        ("globex", "payment:p5", "order-1"),
    ]


async def test_two_sites_on_different_dialects_do_not_mix(gateway: Harness) -> None:
    await gateway.happen(PURCHASE, payment_id="p1", amount=usd(6500), attribution=ANNA)
    await gateway.happen(PURCHASE, site="globex", payment_id="p1", amount=Money(500, "JPY"), attribution=BERT)
    await gateway.happen(PURCHASE, site="globex", payment_id="p2", amount=usd(6500))
    (acme,) = await gateway.recorded("acme")
    (globex,) = await gateway.recorded("globex")
    assert (acme["path"], acme["sent"], acme["payment_id"]) == ("/api/revenue", "6500", "p1")
    assert (globex["path"], globex["sent"], globex["payment_id"]) == ("/api/v1/payments", "500", "example.example.p1")
    assert await gateway.rows("SELECT site, revenue_key, status, reason FROM outbox WHERE status <> 'recorded'") == [
        {"site": "globex", "revenue_key": "payment:p2", "status": "unattributed", "reason": "no_visitor_id"}
    ]


async def test_a_sale_and_its_refund_in_one_batch_find_each_other_whatever_came_first(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", settle=False)
        await gateway.happen(PURCHASE, payment_id="p1", attribution=ANNA, settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 2
        assert await gateway.inbox() == [("booked", None), ("booked", None)]
        assert await ledger(gateway, "revenue_key, visitor_id") == [("payment:p1", "anna"), ("refund:r1", "anna")]
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 0


async def test_a_refund_before_its_sale_waits_and_is_booked_when_the_sale_comes(gateway: Harness) -> None:
    await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(400))
    (waiting,) = await gateway.rows("SELECT outcome, due_at, waits_for FROM inbox")
    assert waiting == {"outcome": "received", "due_at": START + timedelta(hours=24), "waits_for": "payment:p1"}
    await gateway.happen(PURCHASE, payment_id="p1", attribution=ANNA)
    assert await gateway.inbox() == [("booked", None), ("booked", None)]
    assert await gateway.deliveries() == {"payment:p1": ("recorded", None), "refund:r1": ("recorded", None)}
    assert [one["visitor_id"] for one in await gateway.recorded()] == ["anna", "anna"]


@pytest.mark.parametrize(("kind", "source"), [(REFUND, "none"), (RENEWAL, "none")])
async def test_what_waited_long_enough_is_booked_without_its_sale(
    gateway: Harness, kind: RevenueKind, source: str
) -> None:
    await gateway.happen(kind, payment_id="p1", refund_id="r1", subscription_id="sub")
    await gateway.forward(timedelta(hours=23, minutes=59))
    assert await gateway.inbox() == [("received", "waiting_for_sale")]
    await gateway.forward(timedelta(minutes=1))
    assert await gateway.inbox() == [("booked", None)]
    assert await ledger(gateway, "attribution_source") == [(source,)]


async def test_a_renewal_waits_only_without_ids_and_brings_its_own(gateway: Harness) -> None:
    await gateway.happen(RENEWAL, payment_id="p2", subscription_id="sub", attribution=BERT)
    await gateway.happen(RENEWAL, payment_id="p3", subscription_id="sub")
    assert await ledger(gateway, "visitor_id, attribution_source") == [("bert", "webhook"), ("bert", "subscription")]


async def test_running_totals_book_only_what_is_new_in_any_order(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        await say(gateway, plugin, "e1", [movement()])
        await say(gateway, plugin, "e2", [refunded(300)])
        await say(gateway, plugin, "e3", [refunded(700)])
        await say(gateway, plugin, "e4", [refunded(500)])
        await say(gateway, plugin, "e5", [refunded(700)])
        await say(gateway, plugin, "e6", [refunded(1000)])
        assert await ledger(gateway) == [
            ("payment:p1", 1000), ("refunds:p1:1000", 300), ("refunds:p1:300", 300), ("refunds:p1:700", 400),
        ]  # fmt: skip
        booked, ignored = ("booked", None), ("ignored", "already_booked")
        assert await gateway.inbox() == [booked, booked, booked, ignored, ignored, booked]
        assert [one["sent"] for one in await gateway.recorded()] == ["1000", "-300", "-400", "-300"]


async def test_running_totals_in_one_webhook_and_in_one_batch_add_up(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await say(gateway, plugin, "e1", [refunded(700, net=usd(5)), movement(), refunded(300)], settle=False)
        await say(gateway, plugin, "e2", [refunded(800), refunded(700, tax=usd(7))], settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 2
        total = await gateway.rows("SELECT sum(amount_minor)::int AS total FROM ledger WHERE kind = 'refund'")
        assert total == [{"total": 800}]


async def test_a_figure_that_comes_later_is_filled_in_and_the_frozen_amount_goes_out_once(
    database_url: str, tmp_path: Path
) -> None:
    text = CONFIG.replace("forward_refunds: true}}", "forward_refunds: true, amount: net_of_tax}}")
    async with harness(database_url, tmp_path, text=text) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(1000))
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(500))
        assert await gateway.deliveries() == {
            "payment:p1": ("pending", "waiting_for_amount"),
            "refund:r1": ("pending", "waiting_for_amount"),
        }
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(9999), tax=1500)
        assert (await gateway.deliveries())["payment:p1"] == ("pending", "waiting_for_amount"), "the tax of 99.99"
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(1000), tax=200)
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(500), tax=100)
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None), "refund:r1": ("recorded", None)}
        assert [one["sent"] for one in await gateway.recorded()] == ["800", "-400"]
        assert (await gateway.inbox())[2:] == [("ignored", "already_booked")] * 3
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(1000), tax=1, net=5)
        assert await ledger(gateway, "amount_minor, tax_minor, net_minor") == [(1000, 200, 5), (500, 100, None)]
        assert len(await gateway.recorded()) == 2


async def test_a_refund_does_not_wait_for_a_sale_that_a_late_figure_ended(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("forward_refunds: true}}", "forward_refunds: true, amount: earnings}}")
    async with harness(database_url, tmp_path, text=text) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(40))
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(40), net=30)
        assert (await gateway.deliveries())["refund:r1"] == ("pending", "waiting_for_sale")
        await gateway.happen(PURCHASE, payment_id="p1", amount=usd(40), net=-10)
        assert await gateway.deliveries() == {
            "payment:p1": ("skipped", "zero_amount"),
            "refund:r1": ("skipped", "sale_not_recorded"),
        }


async def test_a_refund_in_the_batch_that_fills_its_sale_inherits_the_new_ids(
    database_url: str, tmp_path: Path
) -> None:
    text = CONFIG.replace("forward_refunds: true}}", "forward_refunds: true, amount: net_of_tax}}")
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        live = gateway.gateway.live
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await book(gateway.gateway.context, live, "acme")
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", settle=False)
        await gateway.happen(PURCHASE, payment_id="p1", attribution=ANNA, settle=False)
        await book(gateway.gateway.context, live, "acme")
        assert await ledger(gateway, "visitor_id") == [("anna",), ("anna",)]


async def test_what_waits_for_money_of_the_same_batch_is_read_again_at_once(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    first = movement("payment:p1", kind=RENEWAL, subscription_id="s")
    named = movement("payment:p2", kind=RENEWAL, payment_id="p2", subscription_id="s", attribution=ANNA,
                     occurred_at=START + timedelta(seconds=1))  # fmt: skip
    async with harness(database_url, tmp_path, **live) as gateway:
        await say(gateway, plugin, "e1", [first], settle=False)
        await say(gateway, plugin, "e2", [named], settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 2
        assert await gateway.inbox() == [("received", "waiting_for_sale"), ("booked", None)]
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 1
        assert await ledger(gateway, "revenue_key, visitor_id") == [("payment:p1", "anna"), ("payment:p2", "anna")]


async def test_a_sale_that_is_booked_and_filled_in_one_batch_is_written_as_it_was_in_the_end(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    text = SCRIPTED.replace("forward_refunds: true}}", "forward_refunds: true, amount: earnings}}")
    live = {"text": text, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await say(gateway, plugin, "e1", [movement()], settle=False)
        await say(gateway, plugin, "e2", [movement(tax=usd(100))], settle=False)
        await say(gateway, plugin, "e3", [movement(net=usd(800))], settle=False)
        await say(gateway, plugin, "e4", [movement(attribution=ANNA)], settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 4
        assert await ledger(gateway, "event_key, amount_minor, tax_minor, net_minor, visitor_id") == [
            ("e1", 1000, 100, 800, "anna")
        ]
        assert await gateway.rows("SELECT amount_minor, status, reason FROM outbox") == [
            {"amount_minor": 800, "status": "pending", "reason": None}
        ]
        ended = [("booked", None), *[("ignored", "already_booked")] * 3]
        assert await gateway.inbox() == ended


async def test_a_sale_of_an_earlier_batch_is_filled_twice_in_one(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    text = SCRIPTED.replace("forward_refunds: true}}", "forward_refunds: true, amount: net_of_tax}}")
    live = {"text": text, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await say(gateway, plugin, "e1", [movement()], settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 1
        await say(gateway, plugin, "e2", [movement(tax=usd(100))], settle=False)
        await say(gateway, plugin, "e3", [movement(net=usd(800))], settle=False)
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 2
        assert await ledger(gateway, "tax_minor, net_minor") == [(100, 800)]
        assert await gateway.rows("SELECT amount_minor, status, reason FROM outbox") == [
            {"amount_minor": 900, "status": "pending", "reason": None}
        ]


async def test_a_running_total_that_is_filled_is_not_added_twice(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    text = SCRIPTED.replace("forward_refunds: true}}", "forward_refunds: true, amount: net_of_tax}}")
    live = {"text": text, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await say(gateway, plugin, "e1", [movement(tax=usd(0)), refunded(300)], settle=False)
        await book(gateway.gateway.context, gateway.gateway.live, "acme")
        await say(gateway, plugin, "e2", [refunded(300, tax=usd(10)), refunded(500, tax=usd(20))], settle=False)
        await book(gateway.gateway.context, gateway.gateway.live, "acme")
        assert await ledger(gateway, "revenue_key, amount_minor, tax_minor") == [
            ("payment:p1", 1000, 0), ("refunds:p1:300", 300, 10), ("refunds:p1:500", 200, 10),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "source"),
    [
        ({"payment_id": "p1"}, {"kind": REFUND, "payment_id": "p1", "refund_id": "r1"}, "payment"),
        ({"payment_id": "p1", "subscription_id": "s"}, {"kind": RENEWAL, "payment_id": "p2", "subscription_id": "s"},
         "subscription"),
        ({"payment_id": "p1"}, {"kind": PURCHASE, "payment_id": "p1"}, "webhook"),
    ],
)  # fmt: skip
async def test_an_unattributed_sale_is_sent_once_a_sibling_brings_the_visitor(
    gateway: Harness, first: dict[str, Any], second: dict[str, Any], source: str
) -> None:
    await gateway.happen(PURCHASE, site="globex", **first)
    assert await gateway.deliveries() == {"payment:p1": ("unattributed", "no_visitor_id")}
    await gateway.happen(site="globex", attribution=BERT, **second)
    assert (await gateway.deliveries())["payment:p1"] == ("recorded", None)
    (line,) = await gateway.rows("SELECT visitor_id, attribution_source FROM ledger WHERE revenue_key = 'payment:p1'")
    assert line == {"visitor_id": "bert", "attribution_source": source}


def claiming(claims: str) -> str:
    return CONFIG.replace(
        'base_url: "{provider}"}}\n      sandbox', f'base_url: "{{provider}}", claims: {claims}}}}}\n      sandbox'
    )


async def bought(gateway: Harness) -> tuple[str, str]:
    """Create a checkout; return our order id and the provider's checkout id."""
    async with gateway.http.post(
        f"{gateway.url}/checkouts/acme",
        json={"plan": "pro", "faVisitorId": "carla"},
        headers={"Origin": "https://www.acme.example"},
    ) as answer:
        assert answer.status == 201, await answer.text()
        created = orjson.loads(await answer.read())
    return created["orderId"], created["checkoutId"]


async def test_own_checkouts_take_what_they_began_and_nothing_else(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, text=claiming("own_checkouts")) as gateway:
        order, checkout = await bought(gateway)
        await gateway.happen(PURCHASE, payment_id="p1", checkout_id=checkout, subscription_id="sub", reference=order)
        await gateway.happen(RENEWAL, payment_id="p2", subscription_id="sub")
        await gateway.happen(REFUND, payment_id="p2", refund_id="r1")
        assert await ledger(gateway, "revenue_key, visitor_id, attribution_source") == [
            ("payment:p1", "carla", "checkout"), ("payment:p2", "carla", "checkout"), ("refund:r1", "carla", "payment"),
        ]  # fmt: skip
        theirs = {"subscription_id": "their_sub", "reference": "their-order"}
        await gateway.happen(PURCHASE, payment_id="x1", checkout_id="chk_theirs", **theirs)
        await gateway.happen(RENEWAL, payment_id="x2", subscription_id="their_sub")
        await gateway.happen(REFUND, payment_id="x1", refund_id="x3")
        assert (await gateway.inbox())[3:] == [("ignored", "other_site")] * 3
        assert len(await ledger(gateway)) == 3


async def test_a_later_charge_that_overtakes_its_subscription_is_booked_after_it_and_a_foreign_one_given_up(
    database_url: str, tmp_path: Path
) -> None:
    """Nothing in a charge need say that it is one; a sale that began nowhere of ours looks the same at first."""
    async with harness(database_url, tmp_path, text=claiming("own_checkouts")) as gateway:
        order, checkout = await bought(gateway)
        await gateway.happen(PURCHASE, payment_id="p2", checkout_id="chk_charge", subscription_id="sub")
        await gateway.happen(PURCHASE, payment_id="x1", checkout_id="chk_theirs", subscription_id="their_sub")
        assert await gateway.inbox() == [("received", "waiting_for_sale")] * 2
        await gateway.happen(PURCHASE, payment_id="p1", checkout_id=checkout, subscription_id="sub", reference=order)
        assert await ledger(gateway, "revenue_key, visitor_id") == [("payment:p1", "carla"), ("payment:p2", "carla")]
        await gateway.forward(timedelta(hours=24))
        await gateway.happen(RENEWAL, payment_id="x2", subscription_id="their_sub")
        await gateway.happen(REFUND, payment_id="x1", refund_id="x3")
        booked, other = ("booked", None), ("ignored", "other_site")
        assert await gateway.inbox() == [booked, other, booked, other, other]


async def test_a_claimed_list_takes_its_prices_and_their_refunds(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, text=claiming("[price_pro]")) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", items=["price_other", "price_pro"])
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", items=[])
        await gateway.happen(PURCHASE, payment_id="x1", items=["price_other"])
        await gateway.happen(REFUND, payment_id="x1", refund_id="x2", items=[])
        booked, other = ("booked", None), ("ignored", "other_site")
        assert await gateway.inbox() == [booked, booked, other, other]


async def test_a_renewal_without_items_that_overtakes_its_subscription_is_booked_after_it(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, text=claiming("[price_pro]")) as gateway:
        await gateway.happen(RENEWAL, payment_id="p2", subscription_id="sub", items=[], attribution=BERT)
        await gateway.happen(RENEWAL, payment_id="x2", subscription_id="their_sub", items=[], attribution=BERT)
        assert await gateway.inbox() == [("received", "waiting_for_sale")] * 2
        await gateway.happen(PURCHASE, payment_id="p1", subscription_id="sub", items=["price_pro"])
        await gateway.happen(PURCHASE, payment_id="x1", subscription_id="their_sub", items=["price_other"])
        booked, other = ("booked", None), ("ignored", "other_site")
        assert await gateway.inbox() == [booked, other, booked, other]


@pytest.mark.parametrize("claims", ["own_checkouts", "[price_pro]"])
async def test_a_refund_of_another_sites_sale_waits_until_that_sale_is_seen(
    database_url: str, tmp_path: Path, claims: str
) -> None:
    async with harness(database_url, tmp_path, text=claiming(claims)) as gateway:
        await gateway.happen(REFUND, payment_id="x1", refund_id="x2", items=[])
        assert await gateway.inbox() == [("received", "waiting_for_sale")]
        await gateway.happen(PURCHASE, payment_id="x1", items=["price_other"])
        assert await gateway.inbox() == [("ignored", "other_site")] * 2


async def test_a_refund_whose_sale_never_comes_is_another_sites(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, text=claiming("own_checkouts")) as gateway:
        await gateway.happen(REFUND, payment_id="x1", refund_id="x2")
        await gateway.happen(RENEWAL, payment_id="x3", subscription_id="their_sub")
        await gateway.forward(timedelta(hours=24))
        assert await gateway.inbox() == [("ignored", "other_site")] * 2


async def test_a_provider_that_is_away_is_asked_again_by_the_schedule_until_it_is_over(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    text = SCRIPTED.replace("sites:", SCHEDULE, 1)
    async with harness(database_url, tmp_path, text=text, registry=scripted.registry(plugin)) as gateway:
        await say(gateway, plugin, "e1", raising(Unavailable("their API answered 503")))
        (row,) = await gateway.rows("SELECT outcome, reason, detail, due_at FROM inbox")
        assert (row["outcome"], row["reason"], row["detail"]) == (
            "received", "provider_unavailable", "their API answered 503",
        )  # fmt: skip
        wait = (row["due_at"] - START).total_seconds()
        assert 10 * (1 - JITTER) <= wait <= 10 * (1 + JITTER)
        await gateway.forward(timedelta(seconds=13))
        await gateway.forward(timedelta(seconds=70))
        assert plugin.asked == ["e1", "e1"]
        await gateway.forward(timedelta(seconds=60))
        (row,) = await gateway.rows("SELECT outcome, reason, detail, due_at FROM inbox")
        assert (row["outcome"], row["reason"], row["due_at"]) == ("unreadable", "waited_in_vain", None)
        assert row["detail"] == "scripted was unavailable 3 times, the last time: their API answered 503"


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(timedelta(hours=3), 3 * 3600, 3 * 3600), (timedelta(days=10**6), 86400, 86400), (timedelta(0), 8, 12)],
)
async def test_the_wait_that_a_provider_asks_for_is_kept_within_reason(
    database_url: str, tmp_path: Path, asked: timedelta, least: int, most: int
) -> None:
    plugin = scripted.Scripted()
    text = SCRIPTED.replace("sites:", SCHEDULE, 1)
    async with harness(database_url, tmp_path, text=text, registry=scripted.registry(plugin)) as gateway:
        await say(gateway, plugin, "e1", raising(Unavailable("busy", retry_after=asked)))
        (row,) = await gateway.rows("SELECT due_at FROM inbox")
        assert least <= (row["due_at"] - START).total_seconds() <= most


@pytest.mark.parametrize(
    ("reading", "reason", "detail"),
    [
        (raising(Malformed("no amount")), "malformed", "scripted: no amount"),
        (raising(Rejected("the key is wrong")), "plugin_failed", "scripted: Rejected: the key is wrong"),
        (raising(KeyError("data")), "plugin_failed", "the plugin 'scripted' raised in extract: KeyError: 'data' at "),
        (None, "plugin_failed", "the plugin 'scripted' answered extract with a NoneType"),
    ],
)
async def test_a_plugin_that_fails_leaves_the_webhook_unreadable_and_everything_else_alone(
    database_url: str, tmp_path: Path, reading: Any, reason: str, detail: str
) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        await say(gateway, plugin, "e1", reading, settle=False)
        await say(gateway, plugin, "e2", [movement()], settle=False)
        await gateway.happen(PURCHASE, payment_id="p2")
        await gateway.happen(PURCHASE, site="globex", payment_id="p3", attribution=BERT)
        rows = await gateway.rows("SELECT outcome, reason, detail FROM inbox ORDER BY outcome DESC")
        assert (rows[0]["outcome"], rows[0]["reason"]) == ("unreadable", reason)
        assert rows[0]["detail"].startswith(detail)
        assert [row["outcome"] for row in rows[1:]] == ["booked"] * 3


async def test_a_webhook_with_nothing_in_it_is_not_revenue(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        await say(gateway, plugin, "e1", [])
        await say(gateway, plugin, "e2", Ignored("not_final"))
        assert await gateway.inbox() == [("ignored", "not_revenue"), ("ignored", "not_final")]


async def test_a_webhook_that_is_read_again_stays_booked_by_itself(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        waits = movement("refund:r9", kind=REFUND, payment_id="p9")
        await say(gateway, plugin, "e1", [movement(), waits])
        assert await gateway.inbox() == [("received", "waiting_for_sale")]
        assert await ledger(gateway) == [("payment:p1", 1000)]
        await say(gateway, plugin, "e2", [movement("payment:p9", payment_id="p9")])
        assert await gateway.inbox() == [("booked", None)] * 2
        assert len(await ledger(gateway)) == 3


async def test_one_value_that_the_database_refuses_does_not_hold_up_the_batch(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.database.execute("ALTER TABLE ledger ADD CHECK (payment_id <> 'bad')")
        for payment in ("p1", "bad", "p2"):
            await gateway.happen(PURCHASE, payment_id=payment, settle=False)
        await book(gateway.gateway.context, gateway.gateway.live, "acme")
        assert await ledger(gateway, "payment_id") == [("p1",), ("p2",)]
        rows = await gateway.rows("SELECT reason, detail FROM inbox WHERE outcome = 'unreadable'")
        assert rows == [{"reason": "malformed", "detail": "the database refused a value (CheckViolationError)"}]


DEADLOCKS = (
    "CREATE SEQUENCE deadlocks",
    """
    CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('deadlocks') <= TG_ARGV[0]::int THEN RAISE EXCEPTION 'made up' USING ERRCODE = '40P01'; END IF;
        RETURN NEW;
    END $$
    """,
)


@pytest.mark.parametrize(("deadlocks", "booked"), [(CONFLICTS, True), (CONFLICTS + 1, False)])
async def test_a_deadlock_is_tried_again_at_once_a_few_times(
    database_url: str, tmp_path: Path, deadlocks: int, booked: bool
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for statement in DEADLOCKS:
            await gateway.database.execute(statement)
        await gateway.database.execute(
            f"CREATE TRIGGER deadlock BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION deadlock('{deadlocks}')"
        )
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        if booked:
            await book(gateway.gateway.context, gateway.gateway.live, "acme")
        else:
            with pytest.raises(StoreUnavailable):
                await book(gateway.gateway.context, gateway.gateway.live, "acme")
        assert bool(await ledger(gateway)) is booked


async def test_a_reader_that_lost_its_lease_writes_nothing(database_url: str, tmp_path: Path) -> None:
    plugin, goes_on = scripted.Scripted(), asyncio.Event()

    async def slow() -> list[RevenueEvent]:
        await goes_on.wait()
        return [movement("payment:late")]

    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        context = gateway.gateway.context
        await say(gateway, plugin, "e1", slow, settle=False)
        first = asyncio.create_task(book(context, gateway.gateway.live, "acme"))
        await gateway.until("SELECT lease IS NOT NULL FROM inbox")
        gateway.clock.forward(timedelta(seconds=31))
        plugin.readings["e1"] = [movement()]
        assert await book(context, gateway.gateway.live, "acme") == 1
        goes_on.set()
        assert await first == 1
        assert await ledger(gateway) == [("payment:p1", 1000)]
        assert await gateway.inbox() == [("booked", None)]


async def test_quick_webhooks_do_not_wait_for_a_slow_one_of_another_connection(
    database_url: str, tmp_path: Path
) -> None:
    plugin, goes_on = scripted.Scripted(), asyncio.Event()

    async def slow() -> list[RevenueEvent]:
        await goes_on.wait()
        return [movement("payment:slow", payment_id="slow")]

    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        for number in range(CROWD + 4):
            await say(gateway, plugin, f"e{number}", slow, settle=False)
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await gateway.until("SELECT status FROM outbox WHERE revenue_key = 'payment:p1'", equals="recorded")
        await gateway.until("SELECT count(*) >= $1 FROM inbox WHERE lease IS NOT NULL", CROWD)
        await gateway.happen(PURCHASE, payment_id="p2", settle=False)
        await gateway.until("SELECT status FROM outbox WHERE revenue_key = 'payment:p2'", equals="recorded")
        goes_on.set()
        await gateway.settled()
        assert (await gateway.deliveries())["payment:slow"] == ("recorded", None)


async def test_every_reading_is_one_log_line_with_its_outcome(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await gateway.send(b"{}")
        with capture_logs() as logs:
            await book(gateway.gateway.context, gateway.gateway.live, "acme")
        lines = {line["outcome"]: line for line in logs if line["event"] == "webhook.read"}
        assert lines["booked"]["log_level"] == "info"
        assert lines["unreadable"]["log_level"] == "warning"
        assert lines["unreadable"]["detail"] == "example: the event has no type"


class OneClaim:
    """Claims once; then the database is away."""

    def __init__(self) -> None:
        self.asked = 0
        self._claim = inbox.claim

    async def __call__(self, *place: Any, **what: Any) -> list[inbox.Claimed]:
        self.asked += 1
        if self.asked > 1:
            raise StoreUnavailable("the database went away")
        return await self._claim(*place, **what)


async def test_what_is_being_written_is_finished_also_where_the_next_claim_goes_wrong(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flows.book.BATCH", 1)
    claims = OneClaim()
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in (1, 2):
            await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
        await gateway.database.execute("INSERT INTO sites (site, created_at) VALUES ('acme', now())")
        monkeypatch.setattr(inbox, "claim", claims)
        async with gateway.database.acquire() as other, other.transaction():
            await other.execute("SELECT 1 FROM sites WHERE site = 'acme' FOR UPDATE")
            task = asyncio.create_task(
                book_all(gateway.gateway.context, lambda: gateway.gateway.live, "acme", asyncio.Event())
            )
            while claims.asked < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not task.done()
        with pytest.raises(StoreUnavailable, match="went away"):
            await task
        assert sorted(outcome for outcome, _ in await gateway.inbox()) == ["booked", "received"]


BROKEN = [
    (RuntimeError("nothing can be written"), "worker.failed"),
    (StoreError("the database refused a statement"), "worker.database_away"),
]


@pytest.mark.parametrize(("error", "told"), BROKEN)
async def test_where_the_next_claim_and_what_is_being_written_go_wrong_both_are_told(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    monkeypatch.setattr("gateway.flows.book.BATCH", 1)
    claims = OneClaim()

    async def broken(*_: object) -> None:
        while claims.asked < 2:
            await asyncio.sleep(0.01)
        raise error

    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        monkeypatch.setattr(inbox, "claim", claims)
        monkeypatch.setattr("gateway.flows.book.hand_over", broken)
        with log_lines() as lines, pytest.raises(StoreUnavailable, match="went away"):
            await book_all(gateway.gateway.context, lambda: gateway.gateway.live, "acme", asyncio.Event())
        [line] = events(lines, told)
        assert (line["site"], line["work"]) == ("acme", "book")
        assert line.get("exc_info") is error or line["error"] == str(error)
