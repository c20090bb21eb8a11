"""Webhooks that could not be read are read again by today's plugin, after saying how."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from accepting import Tuned, accepting
from harness import START, Harness
from replaying import applied, contents, left, planned
from scripted import EVENT
from sending import OK, Calls, book_all_of, deliver

from gateway.flows.replay import Done
from gateway.flows.replay_plan import Plan
from gateway.flows.reread import PURGED
from gateway.sdk import Attribution, Ignored, Malformed, Money, RevenueEvent, RevenueKind, Unavailable
from gateway.store import retention

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND


def event(key: str = "payment:p1", kind: RevenueKind = PURCHASE, **what: Any) -> RevenueEvent:
    values = {"payment_id": key.partition(":")[2], "amount": Money(6500, "USD"), "occurred_at": START, **what}
    return RevenueEvent(kind=kind, key=key, **values)


def raising(error: Exception) -> Callable[[], Any]:
    def read() -> Any:
        raise error

    return read


@dataclass
class Mended:
    """A gateway, and the plugin whose readings a test changes."""

    gateway: Harness
    plugin: Tuned

    async def arrive(self, *names: str, body: bytes = b"{}") -> None:
        for name in names:
            answer = await self.gateway.send(body, connection="scripted", headers={EVENT: name})
            assert answer.status == 200
        await book_all_of(self.gateway)

    async def unreadable(self, *names: str, error: Exception | None = None) -> None:
        for name in names:
            self.plugin.readings[name] = raising(error or Malformed("no amount"))
        await self.arrive(*names)

    def mend(self, **readings: Any) -> None:
        self.plugin.readings |= readings


@pytest_asyncio.fixture(name="shop")
async def _shop(database_url: str, tmp_path: Path) -> AsyncIterator[Mended]:
    async with accepting(database_url, tmp_path) as (gateway, plugin):
        yield Mended(gateway, plugin)


def reads(plan: Plan) -> dict[str, str]:
    """How webhooks would be read."""
    return {row.place[1]: row.after for row in plan.webhooks}


async def test_a_mended_plugin_books_what_it_could_not_read(shop: Mended) -> None:
    await shop.unreadable("evt_1")
    assert await shop.gateway.inbox() == [("unreadable", "malformed")]
    shop.mend(evt_1=[event(attribution=Attribution(visitor_id="anna"))])
    before = await contents(shop.gateway)
    plan = await planned(shop.gateway)
    assert reads(plan) == {"evt_1": "booked: payment:p1 65.00 USD"}
    assert [row.before for row in plan.webhooks] == ["unreadable: malformed"]
    assert await contents(shop.gateway) == before
    shop.gateway.clock.forward(timedelta(days=3))
    assert await applied(shop.gateway, plan) == Done(webhooks=1)
    assert await shop.gateway.rows("SELECT outcome, reason, detail, attempts, lost, due_at, lease FROM inbox") == [
        {"outcome": "received", "reason": None, "detail": None, "attempts": 0, "lost": 0,
         "due_at": shop.gateway.clock(), "lease": None}
    ]  # fmt: skip
    assert await applied(shop.gateway, plan) == Done(changed=1)
    await book_all_of(shop.gateway)
    assert await shop.gateway.inbox() == [("booked", None)]
    assert await applied(shop.gateway, plan) == Done(changed=1)
    calls = Calls([OK])
    await deliver(shop.gateway, calls)
    assert len(calls.asked) == 1
    assert await shop.gateway.deliveries() == {"payment:p1": ("recorded", None)}
    assert (await planned(shop.gateway)).all_rows == []


@pytest.mark.parametrize(
    ("reading", "after"),
    [
        (Ignored("not_revenue"), "ignored: not_revenue"),
        (Ignored("simulated"), "ignored: simulated"),
        ([], "ignored: not_revenue"),
        (
            [event("refund:r1", REFUND, payment_id="p9")],
            "received: waiting_for_sale",
        ),
        (raising(Unavailable("come back later")), "received: provider_unavailable: come back later"),
        (
            [event("payment:a"), event("payment:b", amount=Money(500, "JPY"))],
            "booked: payment:a 65.00 USD, payment:b 500 JPY",
        ),
    ],
)
async def test_the_plan_says_how_it_is_read(shop: Mended, reading: Any, after: str) -> None:
    await shop.unreadable("evt_1")
    shop.mend(evt_1=reading)
    plan = await planned(shop.gateway)
    assert reads(plan) == {"evt_1": after}
    assert not plan.has_problem
    assert await applied(shop.gateway, plan) == Done(webhooks=1)
    await book_all_of(shop.gateway)
    (ended,) = await shop.gateway.inbox()
    assert ended[0] == after.partition(":")[0]


async def test_money_that_was_booked_meanwhile_counts_once(shop: Mended) -> None:
    await shop.unreadable("evt_1")
    shop.mend(evt_2=[event()])
    await shop.arrive("evt_2")
    shop.mend(evt_1=[event()])
    plan = await planned(shop.gateway)
    assert reads(plan) == {"evt_1": "ignored: already_booked"}
    await applied(shop.gateway, plan)
    await book_all_of(shop.gateway)
    assert len(await shop.gateway.deliveries()) == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Malformed("still no amount"), "still unreadable: malformed: scripted: still no amount"),
        (KeyError("x"), "still unreadable: plugin_failed: "),
    ],
)
async def test_what_is_still_unreadable_stays(shop: Mended, error: Exception, why: str) -> None:
    await shop.unreadable("evt_1")
    shop.mend(evt_1=raising(error))
    plan = await planned(shop.gateway)
    assert left(plan)["evt_1"].startswith(why)
    assert (plan.size, plan.has_problem) == (0, True)
    (alone,) = plan.as_json()["left_alone"]
    assert (alone["event_key"], alone["is_problem"]) == ("evt_1", True)


async def test_a_purged_body_cannot_be_read_again(shop: Mended) -> None:
    await shop.unreadable("evt_1", "evt_2")
    shop.mend(evt_1=[event()], evt_2=[event("payment:p2")])
    shown = await planned(shop.gateway)
    assert shown.size == 2
    shop.gateway.clock.forward(timedelta(days=91))
    async with shop.gateway.gateway.context.database.transaction() as connection:
        assert await retention.forget(connection, "acme", shop.gateway.clock(), 1) == 1
    assert await applied(shop.gateway, shown) == Done(webhooks=1, changed=1)
    plan = await planned(shop.gateway)
    assert list(left(plan).values()) == [PURGED]
    assert plan.has_problem


async def test_a_sale_and_its_refund_are_foreseen_together_over_pages(
    shop: Mended, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.unreadable("evt_1")
    shop.gateway.clock.forward(timedelta(seconds=1))
    await shop.unreadable("evt_2")
    shop.gateway.clock.forward(timedelta(seconds=1))
    await shop.unreadable("evt_3")
    shop.mend(
        evt_1=[event(subscription_id="s1", attribution=Attribution(visitor_id="anna"))],
        evt_2=[event("refund:r1", REFUND, payment_id="p1")],
        evt_3=[event("payment:p2", RevenueKind.RENEWAL, subscription_id="s1")],
    )
    monkeypatch.setattr("gateway.flows.replay.READ_BATCH", 1)
    plan = await planned(shop.gateway)
    assert reads(plan) == {
        "evt_1": "booked: payment:p1 65.00 USD",
        "evt_2": "booked: refund:r1 65.00 USD",
        "evt_3": "booked: payment:p2 65.00 USD",
    }
    whose = {book["key"]: book["visitor_id"] for row in plan.as_json()["webhooks"] for book in row["books"]}
    assert whose == {"payment:p1": "anna", "refund:r1": "anna", "payment:p2": "anna"}


async def test_one_webhook_that_cannot_be_booked_does_not_hide_the_others(shop: Mended) -> None:
    await shop.unreadable("evt_1", "evt_2")
    huge = [event(f"refunds:p2:{total}", REFUND, payment_id="p2", amount=Money(total, "USD"), cumulative=True)
            for total in (10**15,)]  # fmt: skip
    shop.mend(evt_1=[event()], evt_2=huge)
    async with shop.gateway.gateway.context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO ledger SELECT 'acme', 'scripted', 'refunds:p2:1', 'scripted', 'refund', 'p2', NULL, false,"
            " NULL, NULL, NULL, -1000000000000000, 'USD', NULL, NULL, true, '{}', NULL, NULL, NULL, 'none', NULL,"
            " false, 'webhook', NULL, now(), now()"
        )
    plan = await planned(shop.gateway)
    assert reads(plan) == {"evt_1": "booked: payment:p1 65.00 USD"}
    assert left(plan)["evt_2"].startswith("still unreadable: malformed: ")


@pytest.mark.parametrize("query", ["evt_1", "txn_in_the_body"])
async def test_an_id_names_a_webhook_by_its_event_or_by_what_it_mentions(shop: Mended, query: str) -> None:
    shop.mend(evt_1=raising(Malformed("no")), evt_2=raising(Malformed("no")))
    await shop.arrive("evt_1", body=b'{"id": "txn_in_the_body"}')
    await shop.arrive("evt_2")
    shop.mend(evt_1=[event()], evt_2=[event("payment:p2")])
    assert reads(await planned(shop.gateway, query)) == {"evt_1": "booked: payment:p1 65.00 USD"}
    assert (await planned(shop.gateway, query, since=START + timedelta(days=1))).all_rows == []
    assert (await planned(shop.gateway, query, statuses=frozenset({"dead"}))).all_rows == []


async def test_the_plugin_is_asked_about_few_webhooks_at_a_time(shop: Mended) -> None:
    names = [f"evt_{number}" for number in range(20)]
    await shop.unreadable(*names)
    under_way, most = 0, 0

    async def slow() -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return Ignored("not_revenue")

    shop.mend(**dict.fromkeys(names, slow))
    assert (await planned(shop.gateway)).size == 20
    assert most == 8


async def test_a_webhook_whose_connection_is_gone_stays(shop: Mended) -> None:
    await shop.unreadable("evt_1")
    await shop.gateway.database.execute("UPDATE inbox SET connection = 'gone'")
    plan = await planned(shop.gateway)
    assert left(plan) == {"evt_1": "the connection acme/gone is not configured any more, or its plugin is missing"}


async def test_a_webhook_whose_money_it_booked_itself_before_is_booked(shop: Mended) -> None:
    shop.mend(evt_1=[event()])
    await shop.arrive("evt_1")
    await shop.gateway.database.execute("UPDATE inbox SET outcome = 'unreadable', reason = 'plugin_failed'")
    assert reads(await planned(shop.gateway)) == {"evt_1": "booked"}
