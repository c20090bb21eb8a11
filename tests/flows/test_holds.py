"""A site that Faurya refuses is paused: nothing is lost, and one real delivery at a time finds out when it works."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from harness import CONFIG, START, Harness, harness
from holding import book_sales, hold_of, to_the_probe, wait_of
from sending import OK, UNCLEAR, Calls, Slow, attempts, book_all_of, deliver
from structlog.testing import capture_logs

from gateway.domain.delivery import JITTER, Answer, OutgoingRequest
from gateway.sdk import Attribution, RevenueKind

PURCHASE = RevenueKind.PURCHASE
REFUSED = Answer(status=401)
QUOTA = Answer(status=429)
MINUTES = 60


@pytest.mark.parametrize(
    ("status", "reason", "seconds"),
    [
        (401, "bad_key", 5 * MINUTES),
        (403, "bad_key", 5 * MINUTES),
        (501, "not_implemented", 5 * MINUTES),
        (302, "redirected", 5 * MINUTES),
        (308, "redirected", 5 * MINUTES),
        (429, "quota", 15 * MINUTES),
    ],
)
async def test_some_answers_hold_the_site_and_spend_no_attempt(
    gateway: Harness, status: int, reason: str, seconds: int
) -> None:
    await gateway.switch(next_status=status, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    hold = await hold_of(gateway)
    assert hold is not None
    assert hold["reason"] == reason
    assert seconds * (1 - JITTER) <= await wait_of(gateway) <= seconds * (1 + JITTER)
    assert await gateway.rows("SELECT status, spent FROM outbox") == [{"status": "pending", "spent": 0}]
    assert await attempts(gateway) == [(1, status, "hold")]
    await gateway.happen(PURCHASE, payment_id="p2")
    await gateway.happen(PURCHASE, site="globex", payment_id="p3", attribution=Attribution(visitor_id="bert"))
    assert await attempts(gateway, "payment:p2") == []
    assert await attempts(gateway, "payment:p3") == [(1, 200, "recorded")]
    await gateway.forward(timedelta(seconds=await wait_of(gateway)))
    await gateway.until("SELECT count(*) FROM holds", equals=0)
    await gateway.settled()
    assert {status for status, _ in (await gateway.deliveries()).values()} == {"recorded"}


@pytest.mark.parametrize(
    ("how", "asked", "least", "most"),
    [("seconds", 60, 60, 72), ("date", 600, 600, 720), ("seconds", 0, 10, 12), ("seconds", 10**6, 86400, 86400 * 1.2)],
)
async def test_a_429_says_itself_when_to_come_again(
    gateway: Harness, how: str, asked: int, least: float, most: float
) -> None:
    if how == "date":  # the stand-in's clock is the real one
        gateway.clock.moment = START.__class__.now(START.tzinfo)
    await gateway.switch(next_status=429, next_times=1, retry_after=how, retry_after_seconds=asked)
    await gateway.happen(PURCHASE, payment_id="p1")
    assert least - 2 <= await wait_of(gateway) <= most


async def test_one_delivery_at_a_time_probes_and_the_wait_grows(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 5)
        calls = Calls([REFUSED])
        waits = []
        for _ in range(6):
            await deliver(gateway, calls)
            waits.append(round(await wait_of(gateway) / MINUTES))
            await deliver(gateway, calls)
            await to_the_probe(gateway)
        assert len(calls.asked) == 5 + 5  # all five found out at once, then one by one
        for wait, middle in zip(waits, [5, 10, 20, 40, 60, 60], strict=True):
            assert middle * 0.79 <= wait <= middle * 1.21
        rows = await gateway.rows("SELECT attempts FROM outbox ORDER BY attempts")
        assert [row["attempts"] for row in rows] == [2] * 5


async def test_calls_under_way_when_the_key_goes_bad_hold_the_site_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 8)
        call = Slow(REFUSED)
        task = asyncio.create_task(deliver(gateway, call))
        while call.asked < 8:
            await asyncio.sleep(0.01)
        call.goes_on.set()
        with capture_logs() as logs:
            await task
        hold = await hold_of(gateway)
        assert hold is not None
        assert hold["probes"] == 0
        assert await wait_of(gateway) <= 6 * MINUTES
        assert [line["event"] for line in logs].count("site.held") == 1


async def test_a_hold_that_begins_in_the_middle_of_a_claim_stops_it(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 1)
        calls = Calls()
        async with gateway.database.acquire() as other:
            trial = other.transaction()
            await trial.start()  # the claim waits for it when it notes its attempt: it has looked for a hold by then
            await other.execute(
                "INSERT INTO attempts (site, connection, revenue_key, destination, number, started_at) "
                "SELECT site, connection, revenue_key, destination, 1, created_at FROM outbox"
            )
            task = asyncio.create_task(deliver(gateway, calls))
            await asyncio.sleep(0.3)
            await gateway.database.execute(
                "INSERT INTO holds (site, destination, since, until, reason) "
                "VALUES ('acme', 'faurya', $1, $2, 'quota')",
                START,
                START + timedelta(hours=1),
            )
            assert not task.done()
            await trial.rollback()
        await task
        assert calls.asked == []
        assert await attempts(gateway) == []
        assert await gateway.deliveries() == {"payment:p1": ("pending", None)}


async def test_an_old_success_does_not_lift_a_hold(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 2)
        answers: dict[str, Slow] = {"p1": Slow(OK), "p2": Slow(QUOTA)}

        async def send(request: OutgoingRequest) -> Answer:
            return await answers["p1" if b'"p1"' in request.body else "p2"](request)

        task = asyncio.create_task(deliver(gateway, send))
        await asyncio.gather(*(answer.under_way.wait() for answer in answers.values()))
        answers["p2"].goes_on.set()
        await gateway.until("SELECT count(*) FROM holds", equals=1)
        answers["p1"].goes_on.set()
        await task
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None), "payment:p2": ("pending", None)}
        assert (await hold_of(gateway) or {})["reason"] == "quota"


async def test_two_gateways_on_one_database_probe_one_at_a_time(database_url: str, tmp_path: Path) -> None:
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    async with (
        harness(database_url, tmp_path, with_worker=False) as first,
        harness(database_url, second_folder, with_worker=False, clock=first.clock) as second,
    ):
        await book_sales(first, 3)
        await deliver(first, Calls([REFUSED]))
        await to_the_probe(first)
        probe, nothing = Slow(), Calls()
        task = asyncio.create_task(deliver(first, probe))
        await probe.under_way.wait()
        await deliver(second, nothing)
        assert (probe.asked, len(nothing.asked)) == (1, 0)
        probe.goes_on.set()
        await task
        assert await hold_of(first) is None
        assert probe.asked == 3


async def test_a_probe_whose_gateway_died_is_followed_by_another(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 2)
        await deliver(gateway, Calls([REFUSED]))
        await to_the_probe(gateway)
        lost = Slow()
        task = asyncio.create_task(deliver(gateway, lost))
        await lost.under_way.wait()
        gateway.clock.forward(timedelta(seconds=30))
        calls = Calls()
        await deliver(gateway, calls)
        assert await hold_of(gateway) is None
        assert len(calls.asked) == 2
        lost.goes_on.set()
        await task


@pytest.mark.parametrize("answer", [UNCLEAR, Answer(status=503), Answer(status=None, sent=False, error="refused")])
async def test_a_probe_that_tells_nothing_is_repeated_soon(database_url: str, tmp_path: Path, answer: Answer) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 3)
        await deliver(gateway, Calls([REFUSED]))
        await to_the_probe(gateway)
        calls = Calls([answer])
        await deliver(gateway, calls)
        assert len(calls.asked) == 1
        hold = await hold_of(gateway)
        assert hold is not None
        assert (hold["reason"], hold["probe_until"], await wait_of(gateway)) == ("bad_key", None, 30.0)


@pytest.mark.parametrize("answer", [Answer(status=422), Answer(status=409), Answer(status=404)])
async def test_any_answer_about_the_payment_itself_lifts_the_hold(
    database_url: str, tmp_path: Path, answer: Answer
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 1)
        await deliver(gateway, Calls([REFUSED]))
        await to_the_probe(gateway)
        await deliver(gateway, Calls([answer]))
        assert await hold_of(gateway) is None


async def test_the_right_to_probe_is_given_back_when_nothing_is_due(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 1)
        await deliver(gateway, Calls([REFUSED]))
        await to_the_probe(gateway)
        await gateway.database.execute("UPDATE outbox SET due_at = $1", gateway.clock() + timedelta(seconds=5))
        await deliver(gateway, Calls())
        gateway.clock.forward(timedelta(seconds=5))
        await deliver(gateway, Calls())
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_probe_that_was_not_worth_a_call_is_followed_by_the_next_at_once(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 2, "globex")
        await deliver(gateway, Calls([REFUSED]), "globex")
        await gateway.database.execute("UPDATE outbox SET amount_minor = 0, due_at = due_at - interval '1 s' "
                                       "WHERE revenue_key = 'payment:p1'")  # fmt: skip
        await to_the_probe(gateway)
        await deliver(gateway, Calls(), "globex")
        assert await gateway.deliveries() == {"payment:p1": ("rejected", "refused"), "payment:p2": ("recorded", None)}
        assert await hold_of(gateway) is None


async def test_a_corrected_key_is_tried_right_after_the_reload(gateway: Harness) -> None:
    gateway.rewrite_config(CONFIG.replace("write_key: acme-write-key", "write_key: wrong"))
    assert await gateway.gateway.reload()
    await gateway.happen(PURCHASE, payment_id="p1")
    await gateway.happen(PURCHASE, payment_id="p2")
    assert (await hold_of(gateway) or {})["reason"] == "bad_key"
    gateway.rewrite_config()
    assert await gateway.gateway.reload()
    await gateway.until("SELECT count(*) FROM holds", equals=0)
    await gateway.settled()
    assert set((await gateway.deliveries()).values()) == {("recorded", None)}


@pytest.mark.parametrize(("status", "lifted"), [(401, True), (429, False)])
async def test_a_restart_probes_what_a_person_may_have_mended(
    database_url: str, tmp_path: Path, status: int, lifted: bool
) -> None:
    async with harness(database_url, tmp_path) as gateway:
        await gateway.switch(next_status=status, next_times=1)
        await gateway.happen(PURCHASE, payment_id="p1")
        clock = gateway.clock
    async with harness(database_url, tmp_path, clock=clock) as gateway:
        if lifted:
            await gateway.until("SELECT count(*) FROM holds", equals=0)
        await gateway.settled()
        assert (await hold_of(gateway) is None) is lifted


async def test_ten_unknown_visitors_in_a_row_hold_the_site(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        missing = Answer(status=404)
        await book_sales(gateway, 9, "globex")
        await deliver(gateway, Calls([missing]), "globex")
        assert await hold_of(gateway) is None
        await gateway.happen(PURCHASE, site="globex", payment_id="p10", attribution=Attribution(visitor_id="x"),
                             settle=False)  # fmt: skip
        await book_all_of(gateway, "globex")
        await deliver(gateway, Calls([missing]), "globex")
        hold = await hold_of(gateway)
        assert hold is not None
        assert hold["reason"] == "visitors_not_found"
        gateway.clock.forward(timedelta(minutes=10))
        calls = Calls([missing])
        await deliver(gateway, calls, "globex")
        assert len(calls.asked) == 1
        assert (await hold_of(gateway) or {})["probes"] == 1
        gateway.clock.forward(timedelta(minutes=20))
        await deliver(gateway, Calls(), "globex")
        assert await hold_of(gateway) is None
        gateway.clock.forward(timedelta(hours=1))
        await deliver(gateway, Calls(), "globex")
        assert set((await gateway.deliveries()).values()) == {("recorded", None)}


async def test_a_success_in_between_breaks_the_row_of_unknown_visitors(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 12, "globex")
        calls = 0

        async def send(request: OutgoingRequest) -> Answer:
            nonlocal calls
            calls += 1
            return OK if calls % 6 == 0 else Answer(status=404)

        await deliver(gateway, send, "globex")
        assert await hold_of(gateway) is None


async def test_an_operators_hold_is_never_probed_and_nothing_lifts_it(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path) as gateway:
        await gateway.database.execute(
            "INSERT INTO holds (site, destination, since, reason) VALUES ('acme', 'faurya', now(), 'operator')"
        )
        await gateway.happen(PURCHASE, payment_id="p1")
        await gateway.forward(timedelta(days=30))
        assert await attempts(gateway) == []
        assert (await hold_of(gateway) or {})["reason"] == "operator"
        await gateway.database.execute("DELETE FROM holds")
        await gateway.settled()
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}


@pytest.mark.parametrize("answer", [REFUSED, OK])
async def test_a_hold_that_cannot_be_noted_loses_no_answer(database_url: str, tmp_path: Path, answer: Answer) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 1)
        await deliver(gateway, Calls([REFUSED]))
        await to_the_probe(gateway)
        stopping = asyncio.Event()

        async def send(request: OutgoingRequest) -> Answer:
            await gateway.database.execute("ALTER TABLE holds RENAME TO elsewhere")
            stopping.set()
            return answer

        with capture_logs() as logs:
            await deliver(gateway, send, stopping=stopping)
        assert "site.hold_not_noted" in [line["event"] for line in logs]
        assert [code for _, code, _ in await attempts(gateway)] == [401, answer.status]
