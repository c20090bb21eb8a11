"""What ended, page by page, and taken up under guards."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from lines import book, claim, dispatch, ended, entry, rows, settle
from rows import NOON, webhook

from gateway.domain.attribution import Attribution, AttributionSource
from gateway.domain.delivery import DESTINATION, Reason, Status
from gateway.domain.replay import Ended, TakenUp
from gateway.store import bookings, inbox, replays, reports
from gateway.store.inbox import Outcome
from gateway.store.pool import Database, open_database

HOUR = timedelta(hours=1)
EARLY = (NOON - HOUR, "", "")
STATUSES = ("dead", "rejected", "unattributed")


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=2)
    yield database
    await database.close()


async def ended_as(database: Database, status: Status, *keys: str, at: Any = NOON) -> None:
    await book(database, *((entry(key), dispatch(key, status=status)) for key in keys), at=at)


async def page(database: Database, *statuses: str, after: Any = EARLY, limit: int = 10, site: str = "acme") -> Any:
    async with database.reading() as connection:
        return await replays.deliveries(
            connection, site, statuses or STATUSES, skipped=statuses == ("skipped",), after=after, limit=limit
        )


def keys(found: Any) -> list[str]:
    return [row.entry.event.key for row in found.rows]


async def at(database: Database, *names: str) -> list[Ended]:
    async with database.reading() as connection:
        return await replays.deliveries_at(connection, "acme", [("example", name) for name in names], lock=False)


def taken(row: Ended, **what: Any) -> TakenUp:
    values = {"entry": row.entry, "reason": None, "amount_minor": row.amount_minor, "may_double": False, **what}
    return TakenUp(delivery=row, **values)


async def take_up(database: Database, *decided: TakenUp) -> set[tuple[str, str]]:
    async with database.transaction() as connection:
        return await replays.take_up(connection, "acme", decided, NOON + HOUR)


async def test_pages_follow_each_other_and_leave_nothing_out(database: Database) -> None:
    await ended_as(database, Status.DEAD, "payment:b", "payment:a", "payment:c")
    await ended_as(database, Status.REJECTED, "payment:0", at=NOON + HOUR)
    await ended_as(database, Status.PENDING, "payment:x")
    await ended_as(database, Status.SKIPPED, "payment:s")
    first = await page(database, limit=2)
    assert keys(first) == ["payment:a", "payment:b"]
    second = await page(database, limit=2, after=first.after)
    assert keys(second) == ["payment:c", "payment:0"]
    last = await page(database, limit=2, after=second.after)
    assert (keys(last), last.after) == ([], None)
    assert keys(await page(database, "rejected")) == ["payment:0"]
    assert keys(await page(database, "skipped")) == ["payment:s"]
    assert keys(await page(database, after=(NOON + HOUR, "", ""))) == ["payment:0"]
    assert keys(await page(database, site="globex")) == []


async def test_an_attempt_without_a_verdict_or_with_an_unclear_one_is_told(database: Database) -> None:
    await ended_as(database, Status.PENDING, "payment:p1", "payment:p2", "payment:p3")
    await claim(database)
    await settle(database, ended(Status.DEAD, key="payment:p1"))
    await settle(database, ended(Status.RECORDED, key="payment:p3"))
    assert [row.is_unclear for row in await at(database, "payment:p1", "payment:p2", "payment:p3")] == [
        True,
        True,
        False,
    ]


async def test_taking_up_makes_it_due_with_everything_unspent(database: Database) -> None:
    await ended_as(database, Status.PENDING, "payment:p1")
    await claim(database)
    await settle(database, ended(Status.DEAD, spent=3, reason=Reason.SCHEDULE_EXHAUSTED))
    (row,) = await at(database, "payment:p1")
    assert (row.status, row.reason, row.attempts, row.spent) == (Status.DEAD, Reason.SCHEDULE_EXHAUSTED, 1, 3)
    assert await take_up(database, taken(row)) == {("example", "payment:p1")}
    assert await rows(database, "SELECT status, reason, attempts, spent, due_at, lease FROM outbox") == [
        ("pending", None, 1, 0, NOON + HOUR, None)
    ]
    assert await take_up(database, taken(row)) == set()


async def test_what_waits_is_not_due_and_a_figure_is_only_filled_in(database: Database) -> None:
    await book(database, (entry(), dispatch(status=Status.SKIPPED, amount_minor=None)))
    await ended_as(database, Status.SKIPPED, "payment:p2")
    known = await at(database, "payment:p1", "payment:p2")
    await take_up(
        database,
        taken(known[0], reason=Reason.WAITING_FOR_SALE, amount_minor=4000),
        taken(known[1], amount_minor=1),
    )
    assert await rows(database, "SELECT reason, due_at, amount_minor FROM outbox ORDER BY revenue_key") == [
        ("waiting_for_sale", None, 4000),
        (None, NOON + HOUR, 6500),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "status = 'rejected'",
        "status = 'recorded', recorded_at = now()",
        "recorded_at = now()",
        "attempts = 1",
        "lease = '00000000-0000-0000-0000-000000000001'",
        "site = 'globex'",
    ],
)
async def test_a_row_that_is_not_as_it_was_is_left_alone(database: Database, change: str) -> None:
    await ended_as(database, Status.DEAD, "payment:p1")
    (row,) = await at(database, "payment:p1")
    async with database.transaction() as connection:
        await connection.execute(f"UPDATE outbox SET {change}")
    before = await rows(database, "SELECT * FROM outbox")
    assert await take_up(database, taken(row)) == set()
    assert await rows(database, "SELECT * FROM outbox") == before


async def test_a_named_visitor_replaces_all_ids_and_is_inherited(database: Database) -> None:
    who = Attribution(session_id="s", token="t")
    lines = [
        (entry(attribution=who, subscription_id="s1"), dispatch(status=Status.UNATTRIBUTED)),
        (entry("payment:p2", subscription_id="s1"), dispatch("payment:p2", status=Status.UNATTRIBUTED)),
        (entry("payment:p3"), dispatch("payment:p3", status=Status.UNATTRIBUTED)),
        (entry("refund:r1", payment_id="p1"), dispatch("refund:r1", payment_id="p1", status=Status.SKIPPED)),
    ]
    await book(database, *lines)
    async with database.transaction() as connection:
        await connection.execute("UPDATE ledger SET kind = 'refund' WHERE revenue_key = 'refund:r1'")
        await connection.execute("UPDATE outbox SET status = 'pending' WHERE revenue_key = 'payment:p1'")
    visitor = Attribution(visitor_id="anna")
    named = entry(attribution=visitor, attribution_source=AttributionSource.OPERATOR, subscription_id="s1")
    async with database.transaction() as connection:
        assert await replays.family(connection, "acme", [named]) == [
            ("example", "payment:p1"), ("example", "payment:p2"), ("example", "refund:r1")
        ]  # fmt: skip
        heirs = await replays.name_visitor(connection, "acme", [named], "anna", NOON)
    assert heirs == {("example", "payment:p2"), ("example", "refund:r1")}
    assert await rows(
        database, "SELECT revenue_key, visitor_id, session_id, token, attribution_source FROM ledger ORDER BY 1"
    ) == [
        ("payment:p1", "anna", None, None, "operator"),
        ("payment:p2", "anna", None, None, "subscription"),
        ("payment:p3", None, None, None, "none"),
        ("refund:r1", "anna", None, None, "payment"),
    ]


async def unread(database: Database, *names: str, at: Any = NOON, outcome: str = "unreadable") -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook(name, received_at=at) for name in names])
        outcomes = [
            Outcome(connection="example", event_key=name, outcome=outcome, reason="malformed", detail="no amount")
            for name in names
        ]
        await bookings.write(connection, "acme", NOON, "webhook", outcomes=outcomes)


async def test_unreadable_webhooks_come_in_pages_with_their_bodies(database: Database) -> None:
    await unread(database, "evt_b", "evt_a")
    await unread(database, "evt_c", at=NOON + HOUR)
    await unread(database, "evt_d", outcome="ignored")
    async with database.reading() as connection:
        first = await replays.unreadable(connection, "acme", after=EARLY, limit=2)
        assert first.after is not None
        last = await replays.unreadable(connection, "acme", after=first.after, limit=2)
        named = await replays.unreadable_at(connection, "acme", [("example", "evt_c"), ("example", "evt_d")])
    assert [row.webhook.event_key for row in (*first.rows, *last.rows)] == ["evt_a", "evt_b", "evt_c"]
    assert last.after is None
    assert [(row.webhook.event_key, row.webhook.body, row.purged, row.reason, row.detail) for row in named] == [
        ("evt_c", b"{}", False, "malformed", "no amount")
    ]


async def test_reading_again_starts_from_nothing_and_only_once(database: Database) -> None:
    await unread(database, "evt_1", "evt_2", "evt_3")
    await unread(database, "evt_4", outcome="ignored")
    async with database.transaction() as connection:
        await connection.execute("UPDATE inbox SET attempts = 7, lost = 2")
        await connection.execute("UPDATE inbox SET body = NULL WHERE event_key = 'evt_3'")
    places = [("example", name) for name in ("evt_1", "evt_2", "evt_3", "evt_4", "evt_9")]
    async with database.transaction() as connection:
        assert await replays.read_again(connection, "globex", places, NOON) == set()
        assert await replays.read_again(connection, "acme", places, NOON) == set(places[:2])
        assert await replays.read_again(connection, "acme", places, NOON) == set()
    assert await rows(
        database, "SELECT event_key, outcome, reason, attempts, lost, due_at FROM inbox ORDER BY event_key"
    ) == [
        ("evt_1", "received", None, 0, 0, NOON),
        ("evt_2", "received", None, 0, 0, NOON),
        ("evt_3", "unreadable", "malformed", 7, 2, None),
        ("evt_4", "ignored", "malformed", 7, 2, None),
    ]


@pytest.mark.parametrize(
    ("sql", "arguments", "index"),
    [
        (replays.STUCK, ("acme", DESTINATION, list(STATUSES), *EARLY, 200), "outbox_stuck"),
        (replays.UNREADABLE, ("acme", *EARLY, 64), "inbox_unreadable"),
    ],
)
async def test_what_is_stuck_is_found_without_reading_the_rest(
    database: Database, sql: str, arguments: tuple[Any, ...], index: str
) -> None:
    await ended_as(database, Status.RECORDED, *(f"payment:{number}" for number in range(300)))
    await unread(database, *(f"evt_{number}" for number in range(300)), outcome="ignored")
    async with database.reading() as connection:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *arguments))
    assert f"using {index}" in plan, plan


async def test_a_trial_leaves_nothing_and_lets_errors_out(database: Database) -> None:
    await ended_as(database, Status.DEAD, "payment:p1")
    async with database.trial() as connection:
        await connection.execute("DELETE FROM outbox")
    assert await rows(database, "SELECT count(*) FROM outbox") == [(1,)]
    with pytest.raises(RuntimeError, match="mine"):
        async with database.trial():
            raise RuntimeError("mine")


async def test_every_hold_and_every_place_is_reported(database: Database) -> None:
    await ended_as(database, Status.PENDING, "payment:p1", "payment:p2")
    async with database.transaction() as connection:
        await connection.execute("UPDATE outbox SET reason = 'waiting_for_sale', due_at = NULL WHERE payment_id = 'p2'")
        await connection.execute(
            "INSERT INTO holds (site, destination, since, until, reason, probes, probe_until, note)"
            " VALUES ('acme', 'faurya', $1, $1, 'quota', 3, $1, NULL),"
            " ('oldco', 'faurya', $1, NULL, 'operator', 0, NULL, 'x')",
            NOON,
        )
        held = await reports.held(connection)
        assert await reports.places(connection) == [("acme", "example")]
    assert [(row.site, row.reason, row.probes, row.waiting, row.note) for row in held] == [
        ("acme", "quota", 3, 1, None),
        ("oldco", "operator", 0, 0, "x"),
    ]
    assert (held[0].until, held[0].probe_until, held[1].until) == (NOON, NOON, None)
