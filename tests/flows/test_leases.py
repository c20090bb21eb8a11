"""A living worker keeps what it claimed, a dead one loses it within a lease, and no webhook ends processes for ever."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import CONFIG, Harness, harness
from line import line_to
from sending import Slow, attempts, book_all_of
from structlog.testing import capture_logs

from gateway.app.assembly import utc_now
from gateway.flows.book import book, book_all
from gateway.flows.context import Context
from gateway.flows.deliver import Deliverer
from gateway.flows.read import MOST_LOST
from gateway.plugins import Live
from gateway.sdk import RevenueKind
from gateway.store.errors import StoreUnavailable
from gateway.store.inbox import SUSPECT
from gateway.worker import LONGEST_PAUSE_SECONDS, away_pause

PURCHASE = RevenueKind.PURCHASE
SCRIPTED = CONFIG.replace("    plans:\n      pro:", "      scripted: {{environment: live}}\n    plans:\n      pro:")
LEASE = timedelta(seconds=30)
SHORT = timedelta(seconds=0.6)
"""Shorter than the configuration allows, so that a test need not last for minutes; renewed every 0.2 seconds."""


def hurried(gateway: Harness, lease: timedelta = SHORT) -> tuple[Context, Live]:
    """A real clock and a short lease."""
    live = gateway.gateway.live
    config = live.config.model_copy(update={"worker": live.config.worker.model_copy(update={"lease": lease})})
    return replace(gateway.gateway.context, now=utc_now), replace(live, config=config)


async def slow_webhook(gateway: Harness, plugin: scripted.Scripted, reading: Callable[[], Any]) -> None:
    plugin.readings["e1"] = reading
    answer = await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
    assert answer.status == 200


async def test_a_slow_reader_renews_its_lease_and_is_not_robbed(database_url: str, tmp_path: Path) -> None:
    plugin, goes_on = scripted.Scripted(), asyncio.Event()

    async def slow() -> list[Any]:
        await goes_on.wait()
        return []

    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await slow_webhook(gateway, plugin, slow)
        context, short = hurried(gateway)
        first = asyncio.create_task(book(context, short, "acme"))
        await gateway.until("SELECT lease IS NOT NULL FROM inbox")
        for _ in range(6):
            await asyncio.sleep(SHORT.total_seconds() / 3)
            assert await book(context, short, "acme") == 0
        goes_on.set()
        assert await first == 1
        assert plugin.asked == ["e1"]
        assert await gateway.inbox() == [("ignored", "not_revenue")]


async def test_a_slow_delivery_renews_its_lease(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await book_all_of(gateway)
        context, live = hurried(gateway, timedelta(seconds=10.5))  # a little more than one call may take
        call = Slow()
        task = asyncio.create_task(Deliverer(context, call).deliver(lambda: live, "acme", asyncio.Event()))
        await call.under_way.wait()
        (before,) = await gateway.rows("SELECT due_at, lease FROM outbox")
        await gateway.until("SELECT due_at > $1 FROM outbox", before["due_at"])
        (after,) = await gateway.rows("SELECT due_at, lease FROM outbox")
        assert after["lease"] == before["lease"]
        assert after["due_at"] - before["due_at"] >= timedelta(seconds=3)
        call.goes_on.set()
        await task
        assert await attempts(gateway) == [(1, 200, "recorded")]


async def test_a_lease_that_cannot_be_renewed_is_tried_again_to_be(database_url: str, tmp_path: Path) -> None:
    plugin, goes_on = scripted.Scripted(), asyncio.Event()

    async def slow() -> list[Any]:
        await goes_on.wait()
        return []

    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with line_to(database_url) as line, harness(database_url, tmp_path, through=line.url, **live) as gateway:
        await slow_webhook(gateway, plugin, slow)
        context, short = hurried(gateway)
        with capture_logs() as logs:
            task = asyncio.create_task(book(context, short, "acme"))
            await gateway.until("SELECT lease IS NOT NULL FROM inbox")
            await line.cut()
            while not [one for one in logs if one["event"] == "lease.not_renewed"]:
                await asyncio.sleep(0.01)
            await line.mend()
            await gateway.until("SELECT due_at > now() FROM inbox")
            goes_on.set()
            await task
        assert await gateway.inbox() == [("ignored", "not_revenue")]


async def test_what_was_read_is_kept_until_the_database_is_back_and_not_read_again(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with line_to(database_url) as line, harness(database_url, tmp_path, through=line.url, **live) as gateway:

        async def reading() -> list[Any]:
            await line.cut()
            return []

        await slow_webhook(gateway, plugin, reading)
        with capture_logs() as logs:
            task = asyncio.create_task(book(gateway.gateway.context, gateway.gateway.live, "acme"))
            while len([one for one in logs if one["event"] == "webhook.not_written"]) < 2:
                await asyncio.sleep(0.01)
            await line.mend()
            assert await task == 1
        assert plugin.asked == ["e1"]
        assert await gateway.inbox() == [("ignored", "not_revenue")]


async def test_what_could_not_be_written_within_the_lease_is_left_to_the_next_reader(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with line_to(database_url) as line, harness(database_url, tmp_path, through=line.url, **live) as gateway:

        async def reading() -> list[Any]:
            await line.cut()
            gateway.clock.forward(LEASE)
            return []

        await slow_webhook(gateway, plugin, reading)
        with pytest.raises(StoreUnavailable):
            await book(gateway.gateway.context, gateway.gateway.live, "acme")
        await line.mend()
        plugin.readings["e1"] = []
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 1
        assert plugin.asked == ["e1", "e1"]
        assert await gateway.rows("SELECT outcome, lost FROM inbox") == [{"outcome": "ignored", "lost": 1}]


async def test_a_stop_gives_back_what_takes_too_long_to_read(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        await slow_webhook(gateway, plugin, lambda: asyncio.sleep(3600))
        stopping, context = asyncio.Event(), gateway.gateway.context
        task = asyncio.create_task(book_all(context, lambda: gateway.gateway.live, "acme", stopping, stop_seconds=0.1))
        await gateway.until("SELECT lease IS NOT NULL FROM inbox")
        stopping.set()
        async with asyncio.timeout(10):
            await task
        rows = await gateway.rows("SELECT outcome, lease, due_at, attempts, lost FROM inbox")
        assert rows == [{"outcome": "received", "lease": None, "due_at": gateway.clock(), "attempts": 0, "lost": 0}]
        plugin.readings["e1"] = []
        assert await book(context, gateway.gateway.live, "acme") == 1, "another reader need not wait for the lease"


async def test_a_webhook_that_ends_its_process_is_read_alone_and_then_no_more(
    database_url: str, tmp_path: Path
) -> None:
    plugin, deadly = scripted.Scripted(), asyncio.Event()

    async def dies() -> None:
        deadly.set()
        await asyncio.sleep(3600)

    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:

        async def process() -> None:
            """A process that reads what it claims, and ends with all of it where that is deadly."""
            deadly.clear()
            ends = asyncio.create_task(deadly.wait())
            reads = asyncio.create_task(book(gateway.gateway.context, gateway.gateway.live, "acme"))
            await asyncio.wait([ends, reads], return_when=asyncio.FIRST_COMPLETED)
            ends.cancel()
            reads.cancel()
            await asyncio.wait([ends, reads])
            gateway.clock.forward(LEASE)

        plugin.readings["harmless"] = []
        await slow_webhook(gateway, plugin, dies)
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "harmless"})
        for _ in range(SUSPECT + 1):
            await process()
        assert await lost(gateway) == {"e1": SUSPECT, "harmless": SUSPECT}, "both are suspects"
        for _ in range(MOST_LOST - SUSPECT + 1):
            await process()
        outcomes = await gateway.rows("SELECT event_key, outcome, reason, detail FROM inbox ORDER BY event_key")
        assert [(row["outcome"], row["reason"]) for row in outcomes] == [
            ("unreadable", "plugin_failed"), ("ignored", "not_revenue"),
        ]  # fmt: skip
        assert "5 times the process ended, or lost its lease, while reading it" in outcomes[0]["detail"]
        await gateway.send(b'{"new": 1}', connection="scripted", headers={scripted.EVENT: "e1"})
        assert (await lost(gateway))["e1"] == 0, "another body is another matter"


async def lost(gateway: Harness) -> dict[str, int]:
    return {row["event_key"]: row["lost"] for row in await gateway.rows("SELECT event_key, lost FROM inbox")}


def test_a_database_that_is_away_is_asked_less_and_less_often_but_every_few_seconds() -> None:
    assert [away_pause(times, 0.5) for times in (1, 2, 3, 4, 5, 10**6)] == [0.5, 1, 2, 4, 4, 4]
    assert away_pause(9, 0.0) < LONGEST_PAUSE_SECONDS < away_pause(9, 0.999)
