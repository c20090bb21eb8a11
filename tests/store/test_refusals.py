"""Refusals are counted per connection; the latest is described."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from rows import NOON

from gateway.store import refusals
from gateway.store.pool import Database, open_database
from gateway.store.refusals import MAX_SECONDS, Refusal, RefusalRow

MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


def refusal(**what: Any) -> Refusal:
    values: dict[str, Any] = {
        "site": "acme",
        "connection": "example",
        "at": NOON,
        "reason": "header_missing",
        "detail": "there is none",
        "seconds_off": None,
        "remote_ip": "192.0.2.1",
    }
    return Refusal(**{**values, **what})


async def note(database: Database, *batch: Refusal) -> None:
    async with database.transaction() as connection:
        await refusals.note(connection, batch)


async def find(database: Database, *sites: str) -> list[RefusalRow]:
    async with database.reading() as connection:
        return await refusals.find(connection, sites)


async def test_refusals_are_counted_and_nonsense_does_not_hide_the_last_real_one(database: Database) -> None:
    stale = refusal(at=NOON + MINUTE, reason="timestamp_too_old", detail="signed 99 seconds ago", seconds_off=99)
    await note(database, refusal(), refusal(), stale, refusal(connection="sandbox"))
    await note(database, refusal(at=NOON + 2 * MINUTE))
    assert await find(database, "acme", "globex") == [
        RefusalRow(
            site="acme", connection="example", count=4, first_at=NOON + MINUTE, last_at=NOON + 2 * MINUTE,
            reason="timestamp_too_old", detail="signed 99 seconds ago", seconds_off=99, doctor=None, doctor_at=None,
        ),
        RefusalRow(
            site="acme", connection="sandbox", count=1, first_at=NOON, last_at=NOON, reason="header_missing",
            detail="there is none", seconds_off=None, doctor=None, doctor_at=None,
        ),
    ]  # fmt: skip
    assert await find(database, "globex") == []


async def test_a_timestamp_from_the_far_future_is_counted_as_far_as_the_column_goes(database: Database) -> None:
    await note(database, refusal(seconds_off=10**12), refusal(connection="sandbox", seconds_off=MAX_SECONDS))
    assert [row.seconds_off for row in await find(database, "acme")] == [MAX_SECONDS, MAX_SECONDS]


async def test_what_the_doctor_found_stays_beside_the_refusals(database: Database) -> None:
    await note(database, refusal())
    async with database.transaction() as connection:
        await refusals.diagnose(connection, "acme", "example", doctor="the other secret", at=NOON, matched=True)
    await note(database, refusal())
    (row,) = await find(database, "acme")
    assert (row.count, row.doctor, row.doctor_at) == (2, "the other secret", NOON)


@pytest.mark.parametrize(
    ("later", "matched", "told"),
    [
        (MINUTE, False, "the other secret"),
        (MINUTE, True, "a third"),
        (timedelta(days=2), False, "a third"),
    ],
)
async def test_a_forgery_does_not_hide_whose_secret_matched(
    database: Database, later: timedelta, matched: bool, told: str
) -> None:
    await note(database, refusal())
    async with database.transaction() as connection:
        await refusals.diagnose(connection, "acme", "example", doctor="the other secret", at=NOON, matched=True)
        await refusals.diagnose(connection, "acme", "example", doctor="a third", at=NOON + later, matched=matched)
    (row,) = await find(database, "acme")
    assert row.doctor == told


async def test_nonsense_describes_the_refusals_once_the_real_one_is_a_day_old(database: Database) -> None:
    await note(database, refusal(reason="signature_mismatch", detail="wrong"))
    await note(database, refusal(at=NOON + timedelta(days=2)))
    (row,) = await find(database, "acme")
    assert (row.reason, row.detail) == ("header_missing", "there is none")


async def test_writers_of_many_connections_do_not_deadlock(database: Database) -> None:
    names = [f"c{n}" for n in range(20)]

    async def often(order: list[str]) -> None:
        for _ in range(10):
            await note(database, *(refusal(connection=name) for name in order))

    await asyncio.gather(often(names), often(names[::-1]), often(names), often(names[::-1]))
    assert {row.count for row in await find(database, "acme")} == {40}
