"""Bytes of webhooks leave after their time, while everything else goes on."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from accepting import events, log_lines
from harness import CONFIG, Harness, harness

from gateway.flows.retention import ROWS, forget_old
from gateway.sdk import Attribution, RevenueKind

PURCHASE = RevenueKind.PURCHASE
DAYS = timedelta(days=90)

MANY = """
INSERT INTO inbox (site, connection, event_key, id, event_id, method, headers, query, body, received_at, last_seen_at,
                   remote_ip, proof, seen, outcome)
SELECT $1, 'example', 'old_' || n, gen_random_uuid(), 'old_' || n, 'POST', 'X: 1', '',
       convert_to(repeat('x', 1500), 'UTF8'), $2::timestamptz + n * interval '1 second', $2, '192.0.2.1',
       'signature', 1, 'ignored'
FROM generate_series(1, $3::int) AS n
"""
RAW = "SELECT count(*) FROM inbox WHERE body IS NOT NULL"


async def forget(gateway: Harness) -> None:
    await forget_old(gateway.gateway.context, gateway.gateway.live.config, asyncio.Event())


async def test_fifty_thousand_old_bodies_leave_while_webhooks_are_kept(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.database.execute(MANY, "acme", gateway.clock() - 2 * DAYS, 50_000)
        with log_lines() as lines:
            purge = asyncio.create_task(forget(gateway))
            sent = 0
            while not purge.done():
                new = gateway.happen(PURCHASE, payment_id=f"p{sent}", settle=False)  # a status other than 200 fails
                repeat = gateway.send(gateway.provider().sample(
                    PURCHASE, payment_id="x", event_id=f"old_{50_000 - sent}", simulated=False,
                    occurred_at=gateway.clock(),
                ))  # fmt: skip
                _, answer = await asyncio.gather(new, repeat)
                assert answer.status == 200
                sent += 1
            await purge
        assert sent > 10
        assert events(lines, "webhook.not_kept") == []
        (done,) = events(lines, "raw.forgotten")
        assert 50_000 - sent <= done["webhooks"] <= 50_000
        left = await gateway.rows("SELECT count(*) FROM inbox WHERE body IS NOT NULL AND outcome <> 'received'")
        assert left == [{"count": 0}]
        assert await gateway.rows("SELECT count(*) FROM inbox WHERE seen = 2") == [{"count": sent}]


async def test_a_webhook_that_comes_again_afterwards_books_nothing_and_its_bytes_leave_again(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path) as gateway:
        sale = {"payment_id": "p1", "event_id": "evt_sale", "occurred_at": gateway.clock()}
        await gateway.happen(PURCHASE, **sale, attribution=Attribution(visitor_id="anna"))
        await gateway.send(b"not json")
        await gateway.settled()
        gateway.clock.forward(DAYS + timedelta(seconds=1))
        await forget(gateway)
        assert await gateway.rows(RAW) == [{"count": 0}]
        await gateway.happen(PURCHASE, **sale, attribution=Attribution(visitor_id="anna"))
        await gateway.send(b"not json")
        await gateway.settled()
        outcomes = await gateway.rows("SELECT outcome, seen FROM inbox ORDER BY outcome")
        assert [tuple(row.values()) for row in outcomes] == [("booked", 2), ("unreadable", 2)]
        assert len(await gateway.recorded()) == 1
        assert await gateway.rows("SELECT count(*) FROM ledger") == [{"count": 1}]
        assert await gateway.rows(RAW) == [{"count": 1}], "what could not be read was read again"
        await forget(gateway)
        assert await gateway.rows(RAW) == [{"count": 0}]


async def test_removed_sites_and_connections_are_not_forgotten_to_forget(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", connection="sandbox")
        await gateway.happen(PURCHASE, payment_id="p2", site="globex", attribution=Attribution(visitor_id="bert"))
        start, end = CONFIG.index("      sandbox:"), CONFIG.index("    plans:\n      pro:")
        gateway.rewrite_config(CONFIG[:start] + CONFIG[end : CONFIG.index("  globex:")])
        assert await gateway.gateway.reload()
        gateway.clock.forward(DAYS + timedelta(seconds=1))
        await forget(gateway)
        assert await gateway.rows(RAW) == [{"count": 0}]
        assert await gateway.rows("SELECT count(*) FROM ledger") == [{"count": 2}]


async def test_payments_that_a_removed_connection_expected_are_forgotten_and_no_others(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        old = gateway.clock() - DAYS
        for order, due_at in (("long ago", old - timedelta(seconds=1)), ("a moment later", old)):
            await gateway.database.execute(
                "INSERT INTO watches (site, order_id, connection, checkout_id, due_at) "
                "VALUES ('gone', $1, 'gone', 'chk', $2)",
                order,
                due_at,
            )
        await forget(gateway)
        assert await gateway.rows("SELECT order_id FROM watches") == [{"order_id": "a moment later"}]


@pytest.mark.parametrize("processes", [1, 2])
async def test_several_processes_may_forget_at_once_and_a_stop_ends_it_after_a_batch(
    database_url: str, tmp_path: Path, processes: int
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.database.execute(MANY, "acme", gateway.clock() - 2 * DAYS, 5 * ROWS)
        context, config, stopping = gateway.gateway.context, gateway.gateway.live.config, asyncio.Event()
        with log_lines() as lines:
            tasks = [asyncio.create_task(forget_old(context, config, stopping)) for _ in range(processes)]
            await gateway.until(f"SELECT ({RAW}) < {5 * ROWS}")
            stopping.set()
            await asyncio.gather(*tasks)
        first = sum(line["webhooks"] for line in events(lines, "raw.forgotten"))
        assert first < 5 * ROWS
        with log_lines() as lines:
            await asyncio.gather(*(forget(gateway) for _ in range(processes)))
            await forget(gateway)
        assert first + sum(line["webhooks"] for line in events(lines, "raw.forgotten")) == 5 * ROWS
        assert await gateway.rows(RAW) == [{"count": 0}]
