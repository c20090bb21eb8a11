"""When what is swept: rows of new connections, one task for each plugin, pauses, reloads, trouble, a clean stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import START, Harness, harness
from line import line_to
from structlog.testing import capture_logs
from sweeping import HOUR, MINUTE, begin, lines, listing, lost, movement, pages, row

from gateway.flows import sweeper as module
from gateway.flows.pace import Paces
from gateway.flows.sweeper import Sweeper
from gateway.flows.turn import LOOK_BACK
from gateway.sdk import Page, RevenueKind, Unavailable

PURCHASE = RevenueKind.PURCHASE
DAY = timedelta(days=1)


def made(gateway: Harness, paces: Paces | None = None) -> Sweeper:
    running = gateway.gateway
    return Sweeper(running.context, lambda: running.live, paces or Paces(seconds=0))


async def look(sweeper: Sweeper, stopping: asyncio.Event | None = None) -> None:
    """Start what is due and wait for its end."""
    await sweeper.look(stopping or asyncio.Event())
    await asyncio.gather(*sweeper._busy.values())


@asynccontextmanager
async def going(sweeper: Sweeper) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    task = asyncio.create_task(sweeper.run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


async def begins(gateway: Harness, name: str = "example") -> timedelta:
    moment: timedelta = START - (await row(gateway, name))["begins_at"]
    return moment


async def test_every_connection_gets_its_row_and_is_due_after_its_time(database_url: str, tmp_path: Path) -> None:
    async with listing(database_url, tmp_path, scripted.Scripted(), settings=", sweep: {{every: 30m}}") as gateway:
        await look(made(gateway))
        found = await gateway.rows("SELECT site, connection, due_at, begins_at FROM sweeps ORDER BY site, connection")
        assert [(each["site"], each["connection"], each["due_at"] - START) for each in found] == [
            ("acme", "example", HOUR),
            ("acme", "sandbox", HOUR),
            ("acme", "scripted", 30 * MINUTE),
            ("globex", "example", HOUR),
        ]
        assert {each["begins_at"] for each in found} == {START}


async def test_money_counts_from_the_first_kept_webhook_or_checkout_on(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        headers = {"Origin": "https://www.acme.example"}
        gateway.clock.moment = START - 3 * HOUR
        async with gateway.http.post(f"{gateway.url}/checkouts/acme", json={"plan": "pro"}, headers=headers):
            pass
        gateway.clock.moment = START - 2 * HOUR
        for connection in ("example", "sandbox"):
            body = gateway.provider("acme", connection).sample(PURCHASE)
            assert (await gateway.send(body, connection=connection)).status == 200
        gateway.clock.moment = START
        await look(made(gateway))
        assert await begins(gateway) == 3 * HOUR
        assert await begins(gateway, "sandbox") == 2 * HOUR


async def test_an_old_gateways_first_sweep_looks_back_a_week(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        gateway.clock.moment = START - 300 * DAY
        assert (await gateway.send(gateway.provider().sample(PURCHASE))).status == 200
        gateway.clock.moment = START
        await look(made(gateway))
        assert await begins(gateway) == LOOK_BACK


async def test_due_sweeps_of_one_plugin_take_turns(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await lost(gateway)
        await begin(gateway, "example")
        await begin(gateway, "sandbox")
        await begin(gateway, "example", site="globex")
        sweeper = made(gateway)
        await sweeper.look(asyncio.Event())
        assert list(sweeper._busy) == ["example"]
        await sweeper.look(asyncio.Event())
        assert len(sweeper._busy) == 1
        await asyncio.gather(*sweeper._busy.values())
        assert sweeper._busy == {}
        assert await lines(gateway, "site, connection") == [
            ("acme", "example"),
            ("acme", "sandbox"),
            ("globex", "example"),
        ]


async def test_a_pause_that_a_provider_asks_for_holds_for_all_its_connections(
    database_url: str, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def busy(since: Any, _cursor: Any) -> Any:
        asked.append(since)
        return Unavailable("429", retry_after=timedelta(seconds=30))

    plugin = scripted.Scripted()
    plugin.listing = busy
    settings = "}}\n      second: {{plugin: scripted, environment: live"
    async with listing(database_url, tmp_path, plugin, settings=settings) as gateway:
        await begin(gateway)
        await begin(gateway, "second")
        now = [100.0]
        sweeper = made(gateway, Paces(seconds=0, clock=lambda: now[0]))
        await look(sweeper)
        assert len(asked) == 1
        await look(sweeper)
        assert len(asked) == 1
        now[0] += 31
        await look(sweeper)
        assert len(asked) == 2


async def test_a_connection_that_was_taken_out_meanwhile_is_left_alone(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway)])
        await begin(gateway)
        running = gateway.gateway
        answers = [running.live, type(running.live)(running.live.config, {})]
        sweeper = Sweeper(running.context, lambda: answers.pop(0), Paces(seconds=0))
        await look(sweeper)
        assert (await lines(gateway), answers) == ([], [])


async def test_after_a_stop_nothing_more_is_begun(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway)])
        await begin(gateway)
        stopping = asyncio.Event()
        stopping.set()
        await look(made(gateway), stopping)
        assert await lines(gateway) == []


async def test_a_stop_waits_for_the_page_in_hand(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def slow(_since: Any, _cursor: Any) -> Page:
            asked.set()
            await answer.wait()
            return Page(events=[movement(gateway)], next_cursor="a")

        plugin.listing = slow
        await begin(gateway)
        async with going(made(gateway)) as stopping:
            await asked.wait()
            stopping.set()
            answer.set()
        found = await row(gateway)
        assert (found["lease"], found["cursor"], len(await lines(gateway))) == (None, "a", 1)


async def test_the_loop_outlives_a_database_that_is_away(database_url: str, tmp_path: Path) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, with_worker=False, through=line.url) as gateway,
    ):
        sweeper = made(gateway)
        await line.cut()
        with capture_logs() as logs:
            async with going(sweeper):
                while not logs:
                    await asyncio.sleep(0.05)
                await line.mend()
                await gateway.until("SELECT count(*) FROM sweeps", equals=3)
        assert {entry["event"] for entry in logs} == {"sweeper.database_away"}


async def test_the_loop_outlives_a_bug(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        running, told = gateway.gateway, []

        def live() -> Any:
            told.append(1)
            if len(told) == 1:
                raise ZeroDivisionError
            return running.live

        with capture_logs() as logs:
            async with going(Sweeper(running.context, live)):
                await gateway.until("SELECT count(*) FROM sweeps", equals=3)
        assert [entry["event"] for entry in logs] == ["sweeper.failed"]


@pytest.mark.parametrize("trouble", ["bug", "database"])
async def test_trouble_with_one_plugin_is_told_and_waited_for(trouble: str, database_url: str, tmp_path: Path) -> None:
    async with line_to(database_url) as line:
        plugin = scripted.Scripted()
        async with listing(database_url, tmp_path, plugin, through=line.url) as gateway:

            async def cutting(_since: Any, _cursor: Any) -> Page:
                await line.cut()
                return Page(events=[movement(gateway)])

            plugin.listing = cutting
            await begin(gateway)
            running, calls = gateway.gateway, []

            def live() -> Any:
                calls.append(1)
                if trouble == "bug" and len(calls) == 2:
                    raise ZeroDivisionError
                return running.live

            stopping = asyncio.Event()
            sweeper = Sweeper(running.context, live, Paces(seconds=0))
            with capture_logs() as logs:
                await sweeper.look(stopping)
                while not logs:
                    await asyncio.sleep(0.05)
                assert list(sweeper._busy) == ["scripted"], "it rests for a while"
                stopping.set()
                await asyncio.gather(*sweeper._busy.values())
            expected = "sweeper.failed" if trouble == "bug" else "sweeper.database_away"
            assert [(entry["event"], entry["plugin"]) for entry in logs] == [(expected, "scripted")]


async def test_calls_of_one_plugin_keep_their_pace_and_others_do_not_wait() -> None:
    paces = Paces(seconds=0.2)
    loop, moments = asyncio.get_running_loop(), []

    async def call(plugin: str) -> None:
        async with paces.turn(plugin):
            moments.append((plugin, loop.time()))

    began = loop.time()
    await asyncio.gather(*(call(plugin) for plugin in ("a", "a", "a", "b")))
    of_a = [moment - began for plugin, moment in moments if plugin == "a"]
    (of_b,) = [moment - began for plugin, moment in moments if plugin == "b"]
    assert of_b < 0.15
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(of_a))


def test_a_longer_pause_is_not_cut_short_by_a_shorter_one() -> None:
    now = [0.0]
    paces = Paces(clock=lambda: now[0])
    assert not paces.paused("a")
    paces.pause("a", timedelta(seconds=60))
    paces.pause("a", timedelta(seconds=5))
    paces.pause("a", None)
    now[0] = 59.0
    assert (paces.paused("a"), paces.paused("b")) == (True, False)
    now[0] = 60.0
    assert not paces.paused("a")


def test_the_pace_leaves_most_of_paddles_limit_to_checkouts() -> None:
    processes = 4
    assert processes * 60 / Paces().seconds <= 240 / 2
    assert module.LOOK_SECONDS <= 2
