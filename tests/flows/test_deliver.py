"""Every booked movement of money reaches Faurya once, or ends with a reason why not."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import CONFIG, START, Harness, free_port, harness
from line import line_to
from sending import OK, UNCLEAR, Answering, Calls, Slow, attempts, book_all_of, deliver
from structlog.testing import capture_logs

from gateway.domain.delivery import JITTER, Answer, OutgoingRequest
from gateway.flows.deliver import Deliverer
from gateway.sdk import Attribution, Money, RevenueKind

PURCHASE, RENEWAL = RevenueKind.PURCHASE, RevenueKind.RENEWAL
REFUND, REVERSAL = RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL
BERT = Attribution(visitor_id="bert")
HOURS = 3600

PAYMENTS = CONFIG.replace(
    """{{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_test: false,
             forward_refunds: true}}""",
    """{{api: payments, url: "{faurya}", api_key: acme-api-key, currencies: any}}""",
)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


@pytest.mark.parametrize(
    ("status", "message", "ends", "verdict"),
    [
        (200, "", ("recorded", None), "recorded"),
        (204, "", ("recorded", None), "recorded"),
        (409, "", ("already_recorded", "not_by_this_gateway"), "already_recorded"),
        (400, "Duplicate transaction", ("already_recorded", "not_by_this_gateway"), "already_recorded"),
        (400, "amount: wrong", ("rejected", "refused"), "rejected"),
        (404, "", ("rejected", "refused"), "rejected"),
        (422, "", ("rejected", "refused"), "rejected"),
        (500, "", ("pending", None), "unclear"),
        (503, "", ("pending", None), "unclear"),
        (408, "", ("pending", None), "unclear"),
        (425, "", ("pending", None), "unclear"),
    ],
)
async def test_the_first_answer_decides(
    gateway: Harness, status: int, message: str, ends: tuple[str, str | None], verdict: str
) -> None:
    if status != 200:
        await gateway.switch(next_status=status, next_times=1, next_message=message)
    await gateway.happen(PURCHASE, payment_id="p1")
    assert await gateway.deliveries() == {"payment:p1": ends}
    assert await attempts(gateway) == [(1, status, verdict)]
    (row,) = await gateway.rows("SELECT recorded_at, spent, due_at FROM outbox")
    assert row["recorded_at"] == (START if "recorded" in ends[0] else None)
    assert row["spent"] == (ends[0] == "pending")
    assert (row["due_at"] is not None) == (ends[0] == "pending")


@pytest.mark.parametrize(
    ("then", "message", "ends"),
    [
        (200, "", ("recorded", None)),
        (409, "", ("already_recorded", None)),
        (400, "Duplicate transaction", ("already_recorded", None)),
        (400, "Bad request", ("recorded_assumed", None)),
        (404, "", ("rejected", "refused")),
    ],
)
async def test_after_an_unclear_attempt_a_refusal_may_mean_recorded(
    gateway: Harness, then: int, message: str, ends: tuple[str, str | None]
) -> None:
    await gateway.switch(next_status=500, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    if then != 200:
        await gateway.switch(next_status=then, next_times=1, next_message=message)
    await gateway.forward(timedelta(seconds=7))
    assert await gateway.deliveries() == {"payment:p1": ends}


@pytest.mark.parametrize("message", ["Duplicate transaction", "Bad request"])
async def test_money_that_was_recorded_before_the_connection_broke_is_counted_once(
    gateway: Harness, message: str
) -> None:
    await gateway.switch(drop="after_recording", drop_times=1, duplicate="bad_request", duplicate_message=message)
    await gateway.happen(PURCHASE, payment_id="p1")
    assert await attempts(gateway) == [(1, None, "unclear")]
    await gateway.forward(timedelta(seconds=7))
    (status, _), _ = *(await gateway.deliveries()).values(), None
    assert status in ("already_recorded", "recorded_assumed")
    assert len(await gateway.recorded()) == 1


async def test_the_idempotency_key_is_the_same_on_every_attempt(gateway: Harness) -> None:
    await gateway.switch(drop="after_recording", drop_times=2, duplicate="counted_twice")
    await gateway.happen(PURCHASE, payment_id="p1")
    await gateway.forward(timedelta(seconds=7))
    await gateway.forward(timedelta(seconds=40))
    await gateway.happen(PURCHASE, payment_id="p2")
    keys = [record["idempotency_key"] for record in await gateway.recorded()]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


async def test_what_was_never_sent_cannot_have_been_recorded(gateway: Harness) -> None:
    gateway.rewrite_config(faurya=f"http://127.0.0.1:{free_port()}")
    assert await gateway.gateway.reload()
    await gateway.happen(PURCHASE, payment_id="p1")
    assert await attempts(gateway) == [(1, None, "not_sent")]
    gateway.rewrite_config()
    assert await gateway.gateway.reload()
    await gateway.switch(next_status=400, next_times=1, next_message="Bad request")
    await gateway.forward(timedelta(seconds=7))
    assert await gateway.deliveries() == {"payment:p1": ("rejected", "refused")}


async def test_the_schedule_is_followed_with_jitter_until_the_delivery_is_dead(gateway: Harness) -> None:
    schedule = [5, 30, 120, 600, 1800, HOURS, 2 * HOURS, 5 * HOURS, 10 * HOURS, 14 * HOURS, 20 * HOURS, 24 * HOURS]
    await gateway.switch(next_status=500, next_times=100)
    await gateway.happen(PURCHASE, payment_id="p1")
    for number, wait in enumerate(schedule, 1):
        (row,) = await gateway.rows("SELECT status, spent, due_at FROM outbox")
        assert (row["status"], row["spent"]) == ("pending", number)
        left = (row["due_at"] - gateway.clock()).total_seconds()
        assert wait * (1 - JITTER) <= left <= wait * (1 + JITTER)
        await gateway.forward(timedelta(seconds=left))
    assert await gateway.deliveries() == {"payment:p1": ("dead", "schedule_exhausted")}
    assert len(await attempts(gateway)) == 13
    await gateway.forward(timedelta(days=30))
    assert len(await attempts(gateway)) == 13


async def test_an_unknown_visitor_is_looked_for_again_and_then_given_up(gateway: Harness) -> None:
    await gateway.switch(unknown_visitors="bert")
    await gateway.happen(PURCHASE, site="globex", payment_id="p1", attribution=BERT)
    for wait in (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24)):
        (row,) = await gateway.rows("SELECT status, spent, due_at FROM outbox")
        assert row == {"status": "pending", "spent": 0, "due_at": gateway.clock() + wait}
        await gateway.forward(wait)
    assert await gateway.deliveries() == {"payment:p1": ("rejected", "visitor_not_found")}
    assert await attempts(gateway) == [(number, 404, "not_found") for number in range(1, 6)]


async def test_a_visitor_that_appears_late_gets_its_sale(gateway: Harness) -> None:
    await gateway.switch(not_found_first=2)
    await gateway.happen(PURCHASE, site="globex", payment_id="p1", attribution=BERT)
    await gateway.forward(timedelta(minutes=10))
    await gateway.forward(timedelta(hours=1))
    assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}
    assert [code for _, code, _ in await attempts(gateway)] == [404, 404, 200]


@pytest.mark.parametrize(
    ("site", "connection", "what", "config", "reason"),
    [
        ("acme", "sandbox", {}, {}, "test_mode"),
        ("acme", "example", {"live": False}, {}, "test_mode"),
        ("acme", "example", {"amount": usd(0)}, {}, "zero_amount"),
        ("acme", "example", {"amount": usd(-5)}, {}, "zero_amount"),
        ("acme", "example", {"amount": usd(5), "tax": 5}, {"forward_test:": "amount: net_of_tax, forward_test:"},
         "zero_amount"),
        ("acme", "example", {}, {"forward_test:": "currencies: [EUR], forward_test:"}, "currency_not_accepted"),
        ("acme", "example", {}, {"environment: live, api_key: example-key-acme":
                                 "forward: false, environment: live, api_key: example-key-acme"}, "forwarding_off"),
        ("acme", "example", {"kind": REFUND, "payment_id": "p0", "refund_id": "p1"},
         {"forward_refunds: true": "forward_refunds: false"}, "refund_not_forwarded"),
        ("globex", "example", {"kind": REFUND, "payment_id": "p0", "refund_id": "p1"}, {},
         "unsupported_by_destination"),
    ],
)  # fmt: skip
async def test_what_a_site_does_not_want_is_booked_and_skipped(
    database_url: str,
    tmp_path: Path,
    site: str,
    connection: str,
    what: dict[str, Any],
    config: dict[str, str],
    reason: str,
) -> None:
    text = CONFIG
    for old, new in config.items():
        text = text.replace(old, new)
    async with harness(database_url, tmp_path, text=text) as gateway:
        await gateway.happen(PURCHASE, site=site, payment_id="p0", attribution=BERT)
        await gateway.happen(**{"kind": PURCHASE, "payment_id": "p1", **what}, site=site, connection=connection)
        deliveries = await gateway.deliveries()
        assert deliveries.get("payment:p1", deliveries.get("refund:p1")) == ("skipped", reason)


async def test_test_money_goes_out_where_the_site_asks_for_it(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("forward_test: false", "forward_test: true")
    async with harness(database_url, tmp_path, text=text) as gateway:
        await gateway.happen(PURCHASE, connection="sandbox", payment_id="p1")
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_refund_waits_for_its_sale_to_be_recorded(gateway: Harness) -> None:
    await gateway.switch(next_status=500, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(100))
    assert await gateway.deliveries() == {
        "payment:p1": ("pending", None),
        "refund:r1": ("pending", "waiting_for_sale"),
    }
    await gateway.forward(timedelta(seconds=7))
    assert await gateway.deliveries() == {"payment:p1": ("recorded", None), "refund:r1": ("recorded", None)}
    assert [record["sent"] for record in await gateway.recorded()] == ["4900", "-100"]


@pytest.mark.parametrize("sale", ["rejected", "dead", "skipped"])
async def test_a_refund_of_a_sale_that_was_not_recorded_is_not_sent(
    database_url: str, tmp_path: Path, sale: str
) -> None:
    text = CONFIG.replace("sites:", "retry: {{schedule: [1s]}}\nsites:", 1)
    text = text.replace("forward_test:", "currencies: [USD], forward_test:")
    async with harness(database_url, tmp_path, text=text) as gateway:
        await gateway.switch(next_status=422 if sale == "rejected" else 500, next_times=2)
        currency = "EUR" if sale == "skipped" else "USD"
        await gateway.happen(PURCHASE, payment_id="p1", amount=Money(100, currency), settle=False)
        await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(100))
        await gateway.forward(timedelta(seconds=2))
        await gateway.happen(REFUND, payment_id="p1", refund_id="r2", amount=usd(100))
        deliveries = await gateway.deliveries()
        assert deliveries.pop("payment:p1")[0] == sale
        assert deliveries == dict.fromkeys(("refund:r1", "refund:r2"), ("skipped", "sale_not_recorded"))
        assert await gateway.recorded() == []


async def test_a_refund_that_was_given_up_goes_out_when_its_sale_is_recorded_after_all(gateway: Harness) -> None:
    await gateway.happen(REFUND, payment_id="p1", refund_id="r1", amount=usd(100))
    await gateway.forward(timedelta(hours=24))
    assert await gateway.deliveries() == {"refund:r1": ("skipped", "sale_not_recorded")}
    await gateway.happen(PURCHASE, payment_id="p1")
    assert await gateway.deliveries() == {"payment:p1": ("recorded", None), "refund:r1": ("recorded", None)}


async def booked_sale(gateway: Harness, payment: str = "p1", **what: Any) -> None:
    await gateway.happen(PURCHASE, payment_id=payment, settle=False, **what)
    await book_all_of(gateway, what.get("site", "acme"))


@pytest.mark.parametrize(
    ("late", "second", "ends", "noted"),
    [
        (OK, UNCLEAR, "recorded", ["recorded", "unclear"]),
        (OK, Answer(status=422), "recorded", ["recorded", "rejected"]),
        (Answer(status=422), OK, "recorded", ["rejected", "recorded"]),
        (Answer(status=500), OK, "recorded", ["unclear", "recorded"]),
        (OK, OK, "recorded", ["recorded", "recorded"]),
    ],
)
@pytest.mark.parametrize("order", ["late first", "late last"])
async def test_after_a_lost_lease_only_a_success_still_settles(
    database_url: str, tmp_path: Path, late: Answer, second: Answer, ends: str, noted: list[str], order: str
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway)
        first_call, second_call = Slow(late), Slow(second)
        first = asyncio.create_task(deliver(gateway, first_call))
        await first_call.under_way.wait()
        gateway.clock.forward(timedelta(seconds=30))
        again = asyncio.create_task(deliver(gateway, second_call))
        await second_call.under_way.wait()
        in_order = [(first_call, first), (second_call, again)]
        for call, task in in_order if order == "late first" else reversed(in_order):
            gateway.clock.forward(timedelta(seconds=1))
            call.goes_on.set()
            await task
        (row,) = await gateway.rows("SELECT status, recorded_at FROM outbox")
        assert row["status"] == ends
        assert [verdict for _, _, verdict in await attempts(gateway)] == noted
        earliest = START + timedelta(seconds=31)
        if late == second == OK:
            assert row["recorded_at"] == earliest


async def test_a_late_failure_after_a_lost_lease_is_only_noted(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway)
        late = Slow(Answer(status=422))
        first = asyncio.create_task(deliver(gateway, late))
        await late.under_way.wait()
        gateway.clock.forward(timedelta(seconds=30))
        await deliver(gateway, Calls([UNCLEAR]))
        late.goes_on.set()
        with capture_logs() as logs:
            await first
        assert await gateway.deliveries() == {"payment:p1": ("pending", None)}
        assert await attempts(gateway) == [(1, 422, "rejected"), (2, None, "unclear")]
        assert [line["key"] for line in logs if line["event"] == "delivery.lease_lost"] == ["payment:p1"]


async def test_nothing_is_sent_with_less_lease_left_than_a_call_may_take(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway)
        delays, calls = [timedelta(seconds=21)], Calls()

        def entropy(count: int) -> bytes:  # drawn in the middle of a claim: a database that takes its time
            gateway.clock.forward(delays.pop() if delays else timedelta(0))
            return os.urandom(count)

        await deliver(gateway, calls, entropy=entropy)
        assert await attempts(gateway) == [(1, None, "not_sent"), (2, 200, "recorded")]
        assert len(calls.asked) == 1
        assert await gateway.rows("SELECT spent FROM outbox") == [{"spent": 0}]


async def test_a_site_that_changed_its_dialect_sends_only_what_the_new_one_can_carry(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway, "p0")
        await deliver(gateway, Calls())
        await booked_sale(gateway, "p1", attribution=BERT, amount=usd(6500))
        await booked_sale(gateway, "p2")
        await gateway.happen(REFUND, payment_id="p0", refund_id="r1", settle=False)
        await book_all_of(gateway)
        gateway.rewrite_config(PAYMENTS)
        assert await gateway.gateway.reload()
        calls = Calls()
        await deliver(gateway, calls)
        assert await gateway.deliveries() == {
            "payment:p0": ("recorded", None),
            "payment:p1": ("recorded", None),
            "payment:p2": ("unattributed", "no_visitor_id"),
            "refund:r1": ("skipped", "unsupported_by_destination"),
        }
        assert [request.url.rpartition("/api/")[2] for request in calls.asked] == ["v1/payments"]
        assert b'"amount":65.00' in calls.asked[0].body


async def test_an_amount_that_the_dialect_has_no_form_for_is_rejected_and_says_so(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway, site="globex", attribution=BERT)
        await gateway.database.execute("UPDATE outbox SET amount_minor = 2 * 10::bigint ^ 15")
        calls = Calls()
        await deliver(gateway, calls, "globex")
        assert calls.asked == []
        assert await gateway.deliveries() == {"payment:p1": ("rejected", "refused")}
        (row,) = await gateway.rows("SELECT verdict, answer FROM attempts")
        assert row == {"verdict": "not_sent", "answer": "an amount beyond 10^15 minor units is not believable"}


async def test_an_answer_is_kept_without_secrets_and_cut(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway)
        await deliver(gateway, Calls([Answer(status=422, body="bad key acme-write-key " + "x" * 9000)]))
        (row,) = await gateway.rows("SELECT answer FROM attempts")
        assert row["answer"].startswith("bad key *** xxx")
        assert len(row["answer"]) == 4096


async def test_no_more_than_the_configured_number_of_calls_is_under_way(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("sites:", "worker: {{concurrency_per_site: 3}}\nsites:", 1)
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        for number in range(7):
            await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
        await book_all_of(gateway)
        now, most = 0, 0

        async def send(request: OutgoingRequest) -> Answer:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0.01)
            now -= 1
            return OK

        await deliver(gateway, send)
        assert most == 3
        assert set((await gateway.deliveries()).values()) == {("recorded", None)}


async def test_news_of_more_work_starts_nothing_while_all_calls_are_under_way(
    database_url: str, tmp_path: Path
) -> None:
    text = CONFIG.replace("sites:", "worker: {{concurrency_per_site: 1}}\nsites:", 1)
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        for number in (1, 2):
            await booked_sale(gateway, f"p{number}")
        call = Slow()
        deliverer, more = Deliverer(gateway.gateway.context, call), asyncio.Event()
        task = asyncio.create_task(deliverer.deliver(lambda: gateway.gateway.live, "acme", asyncio.Event(), more))
        await call.under_way.wait()
        more.set()
        await asyncio.sleep(0.05)
        assert call.asked == 1
        call.goes_on.set()
        await task
        assert call.asked == 2


async def test_a_stop_claims_nothing_more_and_waits_for_the_calls_under_way(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("sites:", "worker: {{concurrency_per_site: 1}}\nsites:", 1)
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        for number in (1, 2):
            await booked_sale(gateway, f"p{number}")
        call, stopping, more = Slow(), asyncio.Event(), asyncio.Event()
        deliverer = Deliverer(gateway.gateway.context, call)
        task = asyncio.create_task(deliverer.deliver(lambda: gateway.gateway.live, "acme", stopping, more))
        await call.under_way.wait()
        stopping.set()
        more.set()
        await asyncio.sleep(0.05)
        assert not task.done()
        call.goes_on.set()
        await task
        assert sorted(status for status, _ in (await gateway.deliveries()).values()) == ["pending", "recorded"]


async def test_one_call_that_goes_wrong_inside_does_not_stop_the_others(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in (1, 2, 3):
            await booked_sale(gateway, f"p{number}")

        async def send(request: OutgoingRequest) -> Answer:
            if b'"p2"' in request.body:
                raise RuntimeError("a bug")
            return OK

        with capture_logs() as logs:
            await deliver(gateway, send)
        assert [line["log_level"] for line in logs if line["event"] == "delivery.failed"] == ["error"]
        assert sorted(status for status, _ in (await gateway.deliveries()).values()) == [
            "pending", "recorded", "recorded",
        ]  # fmt: skip
        assert await attempts(gateway, "payment:p2") == [(1, None, None)]


async def test_an_answer_is_not_forgotten_while_the_database_is_away(database_url: str, tmp_path: Path) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, through=line.url, with_worker=False) as gateway,
    ):
        await booked_sale(gateway)
        call = Slow()
        task = asyncio.create_task(deliver(gateway, call))
        await call.under_way.wait()
        await line.cut()
        gateway.clock.forward(timedelta(days=1))
        call.goes_on.set()
        await asyncio.sleep(0.7)
        assert not task.done()
        await line.mend()
        await task
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}
        assert call.asked == 1


@pytest.mark.parametrize(("answer", "stops"), [(Answer(status=500), False), (OK, True)])
async def test_an_answer_is_given_up_when_it_no_longer_matters_or_the_process_stops(
    database_url: str, tmp_path: Path, answer: Answer, stops: bool
) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, through=line.url, with_worker=False) as gateway,
    ):
        await booked_sale(gateway)
        call, stopping = Slow(answer), asyncio.Event()
        task = asyncio.create_task(deliver(gateway, call, stopping=stopping))
        await call.under_way.wait()
        await line.cut()
        call.goes_on.set()
        with capture_logs() as logs:
            await asyncio.sleep(0.6)
            if stops:
                stopping.set()
            gateway.clock.forward(timedelta(seconds=60))
            await asyncio.wait([task], timeout=5)
        assert task.done()
        assert "delivery.not_settled" in [line["event"] for line in logs]
        await asyncio.gather(task, return_exceptions=True)
        await line.mend()
        assert await attempts(gateway) == [(1, None, None)]


async def test_every_attempt_is_one_log_line(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway)
        with capture_logs() as logs:
            await deliver(gateway, Calls([Answer(status=422, body="no")]))
        (line,) = [line for line in logs if line["event"] == "delivery.settled"]
        assert (line["log_level"], line["status"], line["reason"], line["status_code"], line["attempt"]) == (
            "warning", "rejected", "refused", 422, 1,
        )  # fmt: skip


async def test_a_reload_reaches_a_site_that_is_never_idle(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway, "p1")
        seen: list[bytes] = []

        async def send(request: OutgoingRequest) -> Answer:
            seen.append(dict(request.secret_headers)["x-faurya-write-key"].encode())
            if len(seen) == 1:
                await booked_sale(gateway, "p2")
                gateway.rewrite_config(CONFIG.replace("acme-write-key", "new-key"))
                assert await gateway.gateway.reload()
            return OK

        await deliver(gateway, send)
        assert seen == [b"acme-write-key", b"new-key"]


async def test_a_site_that_a_reload_removed_is_left_alone(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await booked_sale(gateway, site="globex", attribution=BERT)
        gateway.rewrite_config(CONFIG[: CONFIG.index("  globex:")])
        assert await gateway.gateway.reload()
        calls: Answering = Calls()
        await deliver(gateway, calls, "globex")
        assert await gateway.deliveries() == {"payment:p1": ("pending", None)}
        assert await attempts(gateway) == []


async def test_the_next_call_begins_while_a_recorded_one_is_written_down(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("sites:", "worker: {{concurrency_per_site: 1}}\nsites:", 1)
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        for number in (1, 2):
            await booked_sale(gateway, f"p{number}")
        call = Slow()
        task = asyncio.create_task(deliver(gateway, call))
        await call.under_way.wait()
        async with gateway.database.acquire() as other, other.transaction():
            await other.execute("SELECT 1 FROM outbox WHERE lease IS NOT NULL FOR UPDATE")
            call.goes_on.set()
            async with asyncio.timeout(10):
                while call.asked < 2:
                    await asyncio.sleep(0.01)
            assert await gateway.rows("SELECT verdict FROM attempts") == [{"verdict": None}] * 2
        await task
        assert {status for status, _ in (await gateway.deliveries()).values()} == {"recorded"}
