"""While the database is in trouble a webhook is turned away soon and kept once it is over, whatever the trouble was."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from harness import harness
from troubled import FAULTS, Scene


@pytest.mark.parametrize("name", FAULTS)
async def test_what_is_turned_away_during_a_fault_is_kept_after_it(scene: Scene, name: str) -> None:
    fault, readiness = FAULTS[name]
    assert await scene.kept_at_last("before") == 0
    await scene.gateway.settled()
    assert await scene.ready() == 200
    async with fault(scene):
        await scene.turned_away("w1", "w2", "w3")
        await scene.turned_away("w1")
        assert await scene.ready() == readiness
        async with scene.gateway.http.get(f"{scene.gateway.url}/healthz") as answer:
            assert answer.status == 200
    turned_away = [await scene.kept_at_last(name) for name in ("w1", "w2", "w3", "before")]
    assert sum(turned_away) <= 1, "one connection may find out that it is dead, and no other"
    assert await scene.ready() == 200
    await scene.all_is_well("before", "w1", "w2", "w3")


async def test_a_commit_whose_answer_is_lost_is_turned_away_and_recognised_when_it_comes_again(
    scene: Scene, database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, through=scene.proxy.url, with_worker=False) as gateway:
        scene.gateway.gateway.worker.stop()  # its commits are not the ones to be lost
        alone = replace(scene, gateway=gateway)
        await alone.kept_at_last("w0")
        scene.proxy.commits_to_lose = 1
        await alone.turned_away("w1")
        assert scene.proxy.commits_to_lose == 0
        await gateway.until("SELECT count(*) FROM inbox WHERE event_key = 'evt_w1'", equals=1)
        assert await alone.kept_at_last("w1") == 0
        assert await gateway.rows("SELECT event_key, seen FROM inbox ORDER BY event_key") == [
            {"event_key": "evt_w0", "seen": 1},
            {"event_key": "evt_w1", "seen": 2},
        ]


async def test_connections_that_a_firewall_forgot_cost_one_webhook_and_not_one_each(scene: Scene) -> None:
    database = scene.gateway.gateway.context.database

    async def use() -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(0.2)")

    await asyncio.gather(*(use() for _ in range(10)))
    scene.proxy.forget()
    await scene.turned_away("w1")
    assert [await scene.kept_at_last(name) for name in ("w1", "w2", "w3")] == [0, 0, 0]
    await scene.all_is_well("w1", "w2", "w3")


async def test_giving_up_leaves_no_backend_behind_that_waits_on(scene: Scene) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    fault, _ = FAULTS["the inbox is locked"]
    async with fault(scene):
        for number in range(3):
            await scene.turned_away(f"w{number}")
        await scene.gateway.until(f"SELECT ({waiting}) <= 2")
    assert await scene.kept_at_last("w0") == 0
    await scene.all_is_well("w0")
