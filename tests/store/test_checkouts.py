"""Checkouts and their `Idempotency-Key`, on real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from rows import NOON

from gateway.domain.attribution import NOBODY, Attribution
from gateway.store import checkouts
from gateway.store.checkouts import KEY_KEPT, NewCheckout, Remembered
from gateway.store.pool import Database, open_database

LEASE, OTHER_LEASE = UUID(int=1), UUID(int=2)
SOON = NOON + timedelta(seconds=15)


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=4)
    yield database
    await database.close()


def new(order_id: str = "order-1", **what: Any) -> NewCheckout:
    values: dict[str, Any] = {
        "site": "acme",
        "order_id": order_id,
        "connection": "example",
        "plan": "pro",
        "quantity": None,
        "attribution": Attribution(visitor_id="v1", session_id="s1", token="t1"),
        "dropped": (),
        "idempotency_key": "key-1",
        "request_hash": b"hash",
        "lease": LEASE,
        "lease_until": SOON,
        "created_at": NOON,
    }
    return NewCheckout(**{**values, **what})


async def remember(database: Database, checkout: NewCheckout) -> Remembered | None:
    async with database.transaction() as connection:
        return await checkouts.remember(connection, checkout)


async def take_over(database: Database, at: Any = NOON, lease: UUID = OTHER_LEASE) -> bool:
    async with database.transaction() as connection:
        return await checkouts.take_over(
            connection, "acme", "order-1", now=at, lease=lease, lease_until=at + timedelta(seconds=15)
        )


async def created(database: Database, lease: UUID = LEASE) -> None:
    async with database.transaction() as connection:
        await checkouts.created(
            connection, "acme", "order-1", lease=lease, url="https://pay", checkout_id="chk_1", expires_at=SOON
        )


async def failed(database: Database, lease: UUID = LEASE) -> None:
    async with database.transaction() as connection:
        await checkouts.failed(connection, "acme", "order-1", lease=lease, problem="no")


async def row(database: Database, order_id: str = "order-1") -> dict[str, Any]:
    async with database.reading() as connection:
        found = await connection.fetchrow("SELECT * FROM checkouts WHERE order_id = $1", order_id)
    assert found is not None
    return dict(found)


async def test_a_checkout_is_written_down_whole(database: Database) -> None:
    assert await remember(database, new(quantity=3, dropped=("faSessionId",))) is None
    found = await row(database)
    assert found == {
        "site": "acme", "order_id": "order-1", "connection": "example", "plan": "pro", "quantity": 3,
        "checkout_id": None, "visitor_id": "v1", "session_id": "s1", "token": "t1", "dropped": ["faSessionId"],
        "idempotency_key": "key-1", "request_hash": b"hash", "state": "creating", "lease": LEASE, "lease_until": SOON,
        "url": None, "expires_at": None, "problem": None, "created_at": NOON,
    }  # fmt: skip


async def test_a_key_names_one_checkout_of_the_site(database: Database) -> None:
    assert await remember(database, new()) is None
    before = await remember(database, new("order-2", request_hash=b"other"))
    assert before == Remembered(
        order_id="order-1", request_hash=b"hash", state="creating", url=None, checkout_id=None, lease_until=SOON
    )
    assert await remember(database, new("order-3", site="globex")) is None


async def test_without_a_key_every_checkout_is_new(database: Database) -> None:
    for order_id in ("order-1", "order-2"):
        assert await remember(database, new(order_id, idempotency_key=None, attribution=NOBODY)) is None


async def test_a_key_is_forgotten_after_24_hours_and_the_old_checkout_stays(database: Database) -> None:
    await remember(database, new())
    almost = NOON + KEY_KEPT - timedelta(seconds=1)
    assert await remember(database, new("order-2", created_at=almost)) is not None
    assert await remember(database, new("order-2", created_at=NOON + KEY_KEPT)) is None
    assert (await row(database))["idempotency_key"] is None
    assert (await row(database, "order-2"))["idempotency_key"] == "key-1"


async def test_of_many_at_once_with_one_key_exactly_one_is_new(database: Database) -> None:
    found = await asyncio.gather(*(remember(database, new(f"order-{n}")) for n in range(8)))
    assert sum(before is None for before in found) == 1
    assert len({before.order_id for before in found if before}) == 1


async def test_of_many_at_once_whose_key_is_just_forgotten_exactly_one_is_new(database: Database) -> None:
    await remember(database, new("old", created_at=NOON - KEY_KEPT))
    found = await asyncio.gather(*(remember(database, new(f"order-{n}")) for n in range(8)))
    assert sum(before is None for before in found) == 1
    assert {before.order_id for before in found if before} != {"old"}


async def test_a_key_that_disappears_between_two_statements_is_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remember(database, new())
    async with database.transaction() as connection:
        fetchrow = connection.fetchrow

        async def after_somebody_forgot_it(*arguments: Any) -> Any:
            async with database.transaction() as other:
                await other.execute("UPDATE checkouts SET idempotency_key = NULL")
            return await fetchrow(*arguments)

        class Forgetful:
            execute, fetchval, fetchrow = connection.execute, connection.fetchval, after_somebody_forgot_it

        assert await checkouts.remember(Forgetful, new("order-2")) is None  # type: ignore[arg-type]
    assert (await row(database, "order-2"))["idempotency_key"] == "key-1"


async def test_the_providers_answer_is_noted_and_ends_the_lease(database: Database) -> None:
    await remember(database, new())
    await created(database)
    found = await row(database)
    assert (found["state"], found["url"], found["checkout_id"], found["expires_at"]) == (
        "created", "https://pay", "chk_1", SOON,
    )  # fmt: skip
    assert (found["lease"], found["lease_until"]) == (None, None)


async def test_a_failed_checkout_may_be_tried_again_by_one(database: Database) -> None:
    await remember(database, new())
    await failed(database)
    assert (await row(database))["problem"] == "no"
    taken = await asyncio.gather(*(take_over(database, lease=UUID(int=n)) for n in range(2, 8)))
    assert sorted(taken) == [False] * 5 + [True]
    found = await row(database)
    assert (found["state"], found["problem"]) == ("creating", None)


async def test_a_checkout_under_way_is_taken_over_when_its_lease_is_up(database: Database) -> None:
    await remember(database, new())
    assert await take_over(database, SOON - timedelta(seconds=1)) is False
    assert await take_over(database, SOON) is True


async def test_a_created_checkout_is_never_taken_over(database: Database) -> None:
    await remember(database, new())
    await created(database)
    assert await take_over(database, NOON + timedelta(days=1)) is False


async def test_whoever_lost_the_lease_writes_nothing(database: Database) -> None:
    await remember(database, new())
    assert await take_over(database, SOON)
    await created(database)
    await failed(database)
    assert (await row(database))["state"] == "creating"
    await created(database, OTHER_LEASE)
    assert (await row(database))["state"] == "created"


def test_keys_and_addresses_are_in_no_repr() -> None:
    assert "key-1" not in repr(replace(new(), idempotency_key="key-1"))
