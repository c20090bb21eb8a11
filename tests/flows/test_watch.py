"""A checkout that its provider says is paid, with no webhook after a while, is found."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import START, Harness, harness
from structlog.testing import capture_logs
from sweeping import HOUR, MINUTE, begin, lines, listing, looked, lost, movement, read, row

from gateway.domain.listed import GRACE, LOOKS
from gateway.flows.pace import Paces
from gateway.flows.watch import BATCH, TOO_LATE, watch
from gateway.sdk import Attribution, Checkout, Malformed, Money, Rejected, RevenueKind, Unavailable, Unsupported

REFUND = RevenueKind.REFUND
QUARTER = LOOKS[0]


async def order(gateway: Harness, plan: str = "pro", **what: Any) -> dict[str, Any]:
    headers = {"Origin": "https://www.acme.example"}
    body = {"plan": plan, "faVisitorId": "anna", **what}
    async with gateway.http.post(f"{gateway.url}/checkouts/acme", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        created: dict[str, Any] = await answer.json(content_type=None)
    return created


async def watches(gateway: Harness) -> list[tuple[Any, ...]]:
    rows = await gateway.rows("SELECT looks, due_at, lease FROM watches ORDER BY order_id")
    return [tuple(each.values()) for each in rows]


def scripted_with(lookup: Any) -> scripted.Scripted:
    plugin = scripted.Scripted()
    plugin.lookup, plugin.checkout = lookup, scripted.checkout
    return plugin


def selling(database: str, folder: Path, plugin: scripted.Scripted) -> Any:
    """A gateway whose plan `pro` is sold through the scripted connection."""
    return listing(database, folder, plugin, plan="scripted")


async def test_a_paid_checkout_whose_webhook_never_came_is_booked(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        created = await order(gateway)
        assert await watches(gateway) == [(0, START + QUARTER, None)]
        await lost(gateway, checkout_id=created["checkoutId"], reference=created["orderId"])
        await begin(gateway, "example")
        with capture_logs() as logs:
            await looked(gateway, "example", after=QUARTER)
        assert await lines(gateway, "order_id, checkout_id, visitor_id, attribution_source, source") == [
            (created["orderId"], created["checkoutId"], "anna", "checkout", "sweep")
        ]
        assert await watches(gateway) == []
        (found,) = [entry for entry in logs if entry["event"] == "watch.found"]
        assert (found["log_level"], found["keys"]) == ("warning", ["payment:pay_1"])
        assert (await row(gateway, "example"))["booked_total"] == 1


async def test_a_late_webhook_of_a_watched_sale_counts_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        created = await order(gateway)
        body = await lost(gateway, checkout_id=created["checkoutId"], reference=created["orderId"])
        await looked(gateway, "example", after=QUARTER)
        await gateway.send(body)
        await read(gateway)
        assert await gateway.inbox() == [("ignored", "already_booked")]
        assert len(await lines(gateway)) == 1


async def test_nobody_is_asked_about_a_sale_whose_webhook_came(database_url: str, tmp_path: Path) -> None:
    asked: list[str] = []
    async with selling(database_url, tmp_path, scripted_with(asked.append)) as gateway:
        created = await order(gateway)
        plugin = gateway.provider("acme", "scripted").plugin
        plugin.readings["evt_1"] = [movement(gateway, reference=created["orderId"])]
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "evt_1"})
        await read(gateway)
        await looked(gateway, after=QUARTER)
        assert (asked, await watches(gateway)) == ([], [])


async def test_an_unpaid_checkout_is_looked_up_four_times_within_a_day(database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []

    def unpaid(checkout_id: str) -> list[Any]:
        asked.append(checkout_id)
        return []

    async with selling(database_url, tmp_path, scripted_with(unpaid)) as gateway:
        created = await order(gateway)
        moments = []
        while due := await watches(gateway):
            moments.append(due[0][1] - START)
            gateway.clock.moment = due[0][1]
            await looked(gateway)
        assert tuple(moments) == LOOKS
        assert asked == [created["checkoutId"]] * 4
        await looked(gateway, after=HOUR)
        assert len(asked) == 4


async def test_a_sale_that_was_just_paid_is_left_to_its_webhook_for_a_moment(database_url: str, tmp_path: Path) -> None:
    found: list[Any] = []
    async with selling(database_url, tmp_path, scripted_with(lambda _: found)) as gateway:
        created = await order(gateway)
        found.append(movement(gateway, reference=created["orderId"], occurred_at=START + QUARTER - MINUTE))
        await looked(gateway, after=QUARTER)
        assert await lines(gateway) == []
        assert await watches(gateway) == [(1, START + QUARTER + GRACE, None)]
        await looked(gateway, after=GRACE)
        assert len(await lines(gateway)) == 1
        assert await watches(gateway) == []


@pytest.mark.parametrize(
    ("error", "looks", "pause", "paused"),
    [
        (Unavailable("503"), 1, LOOKS[1] - LOOKS[0], False),
        (Unavailable("429", retry_after=timedelta(minutes=9)), 1, LOOKS[1] - LOOKS[0], True),
        (Unavailable("429", retry_after=2 * HOUR), 1, 2 * HOUR, True),
        (Rejected("404"), 1, LOOKS[1] - LOOKS[0], False),
        (Malformed("nonsense"), 1, LOOKS[1] - LOOKS[0], False),
        (ValueError("a bug"), 1, LOOKS[1] - LOOKS[0], False),
    ],
)
async def test_a_look_that_fails_is_repeated(
    error: Exception, looks: int, pause: timedelta, paused: bool, database_url: str, tmp_path: Path
) -> None:
    async with selling(database_url, tmp_path, scripted_with(lambda _: error)) as gateway:
        await order(gateway)
        gateway.clock.forward(QUARTER)
        paces, running = Paces(seconds=0), gateway.gateway
        connection = running.live.connections["acme", "scripted"]
        with capture_logs() as logs:
            await watch(running.context, running.live, connection, paces, asyncio.Event())
        assert await watches(gateway) == [(looks, gateway.clock() + pause, None)]
        assert paces.paused("scripted") is paused
        assert bool([entry for entry in logs if entry["event"] == "watch.failed"]) is not isinstance(error, Unavailable)


@pytest.mark.parametrize("answer", [Unavailable("503"), Rejected("404")])
async def test_looks_that_fail_for_ever_come_to_an_end(answer: Exception, database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []
    async with selling(database_url, tmp_path, scripted_with(lambda name: asked.append(name) or answer)) as gateway:
        await order(gateway)
        while due := await watches(gateway):
            gateway.clock.moment = due[0][1]
            await looked(gateway)
        assert len(asked) == len(LOOKS)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("abc", "answered find with a str for its events"),
        (None, "answered find with a NoneType for its events"),
        ([1], "gave a int among the events of find"),
        (LookupError("x"), "raised in find: LookupError: x at"),
    ],
)
async def test_a_find_that_breaks_the_rules_is_the_plugins_fault(
    answer: Any, says: str, database_url: str, tmp_path: Path
) -> None:
    async with selling(database_url, tmp_path, scripted_with(lambda _: answer)) as gateway:
        await order(gateway)
        with capture_logs() as logs:
            await looked(gateway, after=QUARTER)
        (failed,) = [entry for entry in logs if entry["event"] == "watch.failed"]
        assert says in failed["error"]
        failures = gateway.gateway.context.metrics.plugin_failures.labels("scripted", "find")
        assert failures._value.get() == 1


async def test_a_plugin_that_forgot_how_to_look_ends_the_watch(database_url: str, tmp_path: Path) -> None:
    async with selling(database_url, tmp_path, scripted_with(lambda _: Unsupported())) as gateway:
        await order(gateway)
        await looked(gateway, after=QUARTER)
        assert await watches(gateway) == []


async def test_a_connection_whose_plugin_lost_its_find_ends_the_watch(database_url: str, tmp_path: Path) -> None:
    async with listing(database_url, tmp_path, scripted.Scripted()) as gateway:
        values = "('acme', 'scripted', 'o', 'c', $1)"
        await gateway.rows(
            f"INSERT INTO watches (site, connection, order_id, checkout_id, due_at) VALUES {values}", START
        )
        await looked(gateway)
        assert await watches(gateway) == []


async def test_a_refund_that_waits_for_its_sale_is_looked_up_again(database_url: str, tmp_path: Path) -> None:
    found: list[Any] = []
    async with selling(database_url, tmp_path, scripted_with(lambda _: found)) as gateway:
        await order(gateway)
        found.append(movement(gateway, "refund:r1", kind=REFUND, amount=Money(1, "USD")))
        await looked(gateway, after=QUARTER)
        assert [looks for looks, _, _ in await watches(gateway)] == [1]


async def test_a_sale_and_its_refund_are_found_together(database_url: str, tmp_path: Path) -> None:
    found: list[Any] = []
    async with selling(database_url, tmp_path, scripted_with(lambda _: found)) as gateway:
        created = await order(gateway)
        found.append(movement(gateway, "refund:r1", kind=REFUND, amount=Money(1, "USD")))
        found.append(movement(gateway, reference=created["orderId"], attribution=Attribution(visitor_id="anna")))
        await looked(gateway, after=QUARTER)
        assert [key for key, _, _ in await lines(gateway)] == ["payment:p1", "refund:r1"]


async def test_several_workers_look_once(database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []

    async def slow(checkout_id: str) -> list[Any]:
        asked.append(checkout_id)
        await asyncio.sleep(0.05)
        return []

    async with selling(database_url, tmp_path, scripted_with(slow)) as gateway:
        for _ in range(3):
            await order(gateway)
        gateway.clock.forward(QUARTER)
        await asyncio.gather(*(looked(gateway) for _ in range(3)))
        assert (len(asked), len(set(asked))) == (3, 3)


async def test_a_look_whose_worker_died_takes_place_later(database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []

    async def dying(checkout_id: str) -> list[Any]:
        asked.append(checkout_id)
        await asyncio.sleep(60 if len(asked) == 1 else 0)
        return []

    async with selling(database_url, tmp_path, scripted_with(dying)) as gateway:
        await order(gateway)
        killed = asyncio.create_task(looked(gateway, after=QUARTER))
        while not asked:
            await asyncio.sleep(0.01)
        killed.cancel()
        await asyncio.wait([killed])
        await looked(gateway)
        assert len(asked) == 1
        await looked(gateway, after=5 * MINUTE)
        assert len(asked) == 2


async def test_a_turn_has_few_looks_and_ends_at_a_stop_or_a_pause(database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []

    def stopping_at_the_third(checkout_id: str) -> list[Any]:
        asked.append(checkout_id)
        if len(asked) == 3:
            stopping.set()
        return []

    stopping = asyncio.Event()
    async with selling(database_url, tmp_path, scripted_with(stopping_at_the_third)) as gateway:
        for _ in range(BATCH + 1):
            await order(gateway)
        gateway.clock.forward(QUARTER)
        running = gateway.gateway
        await watch(
            running.context, running.live, running.live.connections["acme", "scripted"], Paces(seconds=0), stopping
        )
        assert len(asked) == 3
        await looked(gateway)
        assert len(asked) == 4, "the rest of the first turn is still under its lease"


async def test_more_checkouts_than_can_be_looked_up_are_given_up(database_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []
    async with selling(database_url, tmp_path, scripted_with(asked.append)) as gateway:
        await order(gateway)
        with capture_logs() as logs:
            await looked(gateway, after=QUARTER + TOO_LATE + MINUTE)
        (given_up,) = [entry for entry in logs if entry["event"] == "watch.given_up"]
        assert (given_up["checkouts"], asked, await watches(gateway)) == (1, [], [])


@pytest.mark.parametrize(
    ("lookup", "checkout"),
    [(None, scripted.checkout), (lambda _: [], lambda _: Checkout(url="https://pay.example.com/c"))],
)
async def test_a_checkout_that_cannot_be_looked_up_is_not_watched(
    lookup: Any, checkout: Any, database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    plugin.lookup, plugin.checkout = lookup, checkout
    async with selling(database_url, tmp_path, plugin) as gateway:
        await order(gateway)
        assert await watches(gateway) == []


async def test_the_worker_looks_by_itself(gateway: Harness) -> None:
    created = await order(gateway)
    await lost(gateway, checkout_id=created["checkoutId"], reference=created["orderId"])
    gateway.clock.forward(QUARTER)
    await gateway.until("SELECT count(*) FROM ledger WHERE source = 'sweep'", equals=1)
    await gateway.settled()
    (record,) = await gateway.recorded()
    assert (record["visitor_id"], record["order_id"]) == ("anna", created["orderId"])
