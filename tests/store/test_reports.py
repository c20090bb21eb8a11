"""What `check` asks of the database."""

from datetime import timedelta

import asyncpg
from rows import NOON, webhook

from gateway.store import inbox, reports
from gateway.store.pool import open_database

BOOK = """
INSERT INTO ledger (site, connection, revenue_key, plugin, kind, payment_id, carries_order, amount_minor, currency,
    cumulative, items, attribution_source, test, source, occurred_at, booked_at)
VALUES ($1, $2, $3, 'example', 'purchase', 'pay', false, 1, 'USD', false, '{}', 'none', false, 'webhook', $4, $4)
"""
SEND = """
INSERT INTO outbox (site, connection, revenue_key, destination, api, payment_id, is_sale, order_id_sent, basis,
    amount_unit, currency, status, created_at)
VALUES ($1, $2, $3, 'faurya', 'revenue', 'pay', true, 'pay', 'gross', 'minor', 'USD', $4, $5)
"""


async def test_rows_of_connections_that_are_gone_are_found(database_url: str) -> None:
    driver = await asyncpg.connect(database_url)
    database = await open_database(database_url, size=1)
    places = [("acme", "example"), ("acme", "old"), ("acme", "older"), ("gone", "example")]
    async with database.transaction() as connection:
        for number in range(3):
            batch = [webhook(f"evt_{number}", site=site, connection=name) for site, name in places if name != "older"]
            await inbox.keep(connection, batch)
    await driver.execute(BOOK, "acme", "old", "payment:1", NOON)
    await driver.execute(BOOK, "acme", "older", "payment:1", NOON)
    await driver.execute("UPDATE inbox SET outcome = 'booked', due_at = NULL WHERE site = 'gone'")
    await driver.execute(SEND, "acme", "older", "payment:1", "pending", NOON)
    async with database.reading() as connection:
        found = await reports.left_behind(connection, [("acme", "example"), ("acme", "never_used")])
        nothing = await reports.left_behind(connection, places)
    counts = {(row.site, row.connection): (row.webhooks, row.revenue, row.unfinished) for row in found}
    assert counts == {("acme", "old"): (3, 1, 3), ("acme", "older"): (0, 1, 1), ("gone", "example"): (3, 0, 0)}
    assert nothing == []
    await database.close()
    await driver.close()


async def test_what_is_stuck_is_counted_with_what_is_recent(database_url: str) -> None:
    driver = await asyncpg.connect(database_url)
    database = await open_database(database_url, size=1)
    for number, (status, days) in enumerate([("dead", 1), ("dead", 30), ("rejected", 30), ("recorded", 1)]):
        await driver.execute(SEND, "acme", "example", f"payment:{number}", status, NOON - timedelta(days=days))
    await driver.execute(SEND, "globex", "example", "payment:1", "unattributed", NOON)
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook()])
    await driver.execute("UPDATE inbox SET outcome = 'unreadable', due_at = NULL")
    async with database.reading() as connection:
        found = await reports.stuck(connection, ["acme"], NOON - timedelta(days=7))
    assert [(row.connection, row.what, row.count, row.recent, row.latest) for row in found] == [
        ("example", "dead", 2, 1, NOON - timedelta(days=1)),
        ("example", "rejected", 1, 0, NOON - timedelta(days=30)),
        ("example", "unreadable", 1, 1, NOON),
    ]
    await database.close()
    await driver.close()
