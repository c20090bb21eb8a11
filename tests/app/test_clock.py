"""Workers go by the database's clock, so that one whose own is off takes nothing that another still does."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from harness import harness
from line import line_to
from structlog.testing import capture_logs

from gateway.app.assembly import running, utc_now
from gateway.app.clock import TOLERATED, SharedClock
from gateway.app.source import Source
from gateway.sdk import RevenueKind
from gateway.store.pool import open_database

HOUR = timedelta(hours=1)


def apart(clock: SharedClock) -> timedelta:
    return abs(clock() - utc_now())


@pytest.mark.parametrize("off", [-HOUR, -timedelta(seconds=5), timedelta(seconds=5), HOUR])
async def test_a_clock_that_is_off_is_set_by_the_databases(database_url: str, off: timedelta) -> None:
    database = await open_database(database_url)
    clock = SharedClock(lambda: utc_now() + off)
    with capture_logs() as logs:
        await clock.measure(database)
        await clock.measure(database)
    assert apart(clock) < TOLERATED
    (line,) = logs
    assert line["event"] == "clock.differs"
    assert line["seconds"] == pytest.approx(off.total_seconds(), abs=1)
    await database.close()


async def test_a_clock_that_is_right_is_left_alone_and_one_that_became_right_is_set_back(database_url: str) -> None:
    database = await open_database(database_url)
    off = timedelta(milliseconds=300)
    clock = SharedClock(lambda: utc_now() + off)
    await clock.measure(database)
    assert clock.off == timedelta(0)
    off = HOUR
    await clock.measure(database)
    assert clock.off != timedelta(0)
    off = timedelta(0)
    await clock.measure(database)
    assert clock.off == timedelta(0)
    await database.close()


async def test_a_database_that_is_away_changes_nothing(database_url: str) -> None:
    async with line_to(database_url) as line:
        database = await open_database(line.url)
        clock = SharedClock(lambda: utc_now() + HOUR)
        await clock.measure(database)
        before = clock.off
        await line.cut()
        await clock.measure(database)
        assert clock.off == before
        await line.mend()
        await database.close()


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_a_gateway_whose_clock_is_off_delivers_and_is_ready(
    database_url: str, tmp_path: Path, off: timedelta
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        gateway.clock.moment = utc_now()
        for number in range(3):
            await gateway.happen(RevenueKind.PURCHASE, payment_id=f"p{number}", settle=False)
        source = Source(path=gateway.config_path, environ={}, registry=gateway.gateway.source.registry)
        async with running(source, source.load(), with_worker=True, now=lambda: utc_now() + off) as other:
            await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=3)
            assert other.worker_beats()
        rows = await gateway.rows("SELECT recorded_at FROM outbox")
        assert all(abs(row["recorded_at"] - utc_now()) < timedelta(minutes=1) for row in rows)


async def test_a_webhook_received_by_a_fast_clock_is_read_at_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        gateway.clock.moment = utc_now() + HOUR
        await gateway.happen(RevenueKind.PURCHASE, payment_id="p1", settle=False)
        assert await gateway.rows("SELECT due_at <= now() AS due FROM inbox") == [{"due": True}]


async def test_nothing_is_claimed_before_the_clock_is_known(database_url: str, tmp_path: Path) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, through=line.url, with_worker=False) as gateway,
    ):
        gateway.clock.moment = utc_now()
        await gateway.happen(RevenueKind.PURCHASE, payment_id="p1", settle=False)
        await gateway.database.execute("UPDATE inbox SET due_at = now() + interval '30 minutes'")
        source = Source(path=gateway.config_path, environ={}, registry=gateway.gateway.source.registry)
        async with running(source, source.load(), with_worker=True, now=lambda: utc_now() + HOUR) as other:
            await line.cut()  # before the worker had a moment to ask
            await asyncio.sleep(0.2)
            await line.mend()
            while not other.worker_beats():
                await asyncio.sleep(0.05)
            assert other.worker is not None
            assert await gateway.rows("SELECT attempts FROM inbox") == [{"attempts": 0}]
