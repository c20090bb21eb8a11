"""A Faurya that is not there costs no delivery its schedule: the circuit opens, and one at a time finds it again."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import Harness, harness
from holding import book_sales, hold_of, to_the_probe, wait_of
from sending import OK, UNCLEAR, Calls, attempts, book_all_of, deliver
from structlog.testing import capture_logs

from gateway.domain.delivery import Answer
from gateway.domain.holds import FAILURES_IN_A_ROW
from gateway.flows.deliver import Deliverer
from gateway.sdk import Attribution, RevenueKind

PURCHASE = RevenueKind.PURCHASE
REFUSED = Answer(status=None, sent=False, error="ConnectionRefusedError")
DOWN = Answer(status=503)


class OneByOne:
    """Delivers with one deliverer, as a process does: what it learned about a site stays."""

    def __init__(self, gateway: Harness, *answers: Answer) -> None:
        self.gateway, self.calls = gateway, Calls(answers)
        self.deliverer = Deliverer(gateway.gateway.context, self.calls)

    async def __call__(self, site: str = "acme") -> None:
        await self.deliverer.deliver(lambda: self.gateway.gateway.live, site, asyncio.Event())

    def answer(self, *answers: Answer) -> None:
        self.calls.answers, self.calls.asked = answers, []


@pytest.mark.parametrize("answer", [DOWN, UNCLEAR, REFUSED])
async def test_repeated_failures_stop_all_deliveries_of_the_site_but_a_probe(
    database_url: str, tmp_path: Path, answer: Answer
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 20)
        send = OneByOne(gateway, answer)
        with capture_logs() as logs:
            await send()
        assert [line["reason"] for line in logs if line["event"] == "site.held"] == ["unavailable"]
        assert len(send.calls.asked) == 8, "what was under way when it became clear"
        assert (await hold_of(gateway) or {})["reason"] == "unavailable"
        untouched = await gateway.rows("SELECT count(*) FROM outbox WHERE attempts = 0 AND status = 'pending'")
        assert untouched == [{"count": 12}]
        waits = []
        for _ in range(5):
            waits.append(await wait_of(gateway))
            await to_the_probe(gateway)
            send.answer(answer)
            await send()
            assert len(send.calls.asked) == 1
        for wait, middle in zip(waits, [1, 2, 4, 8, 8], strict=True):
            assert middle * 0.79 <= wait <= middle * 1.21
        await to_the_probe(gateway)
        send.answer(OK)
        with capture_logs() as logs:
            await send()
        assert [line["event"] for line in logs if line["event"] == "site.lifted"] == ["site.lifted"]
        assert await hold_of(gateway) is None
        gateway.clock.forward(timedelta(hours=1))
        await send()
        assert {status for status, _ in (await gateway.deliveries()).values()} == {"recorded"}


@pytest.mark.parametrize("between", [OK, Answer(status=400), Answer(status=404)])
async def test_any_answer_about_a_payment_shows_that_faurya_is_there(
    database_url: str, tmp_path: Path, between: Answer
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        send = OneByOne(gateway, *[*[DOWN] * (FAILURES_IN_A_ROW - 1), between] * 2)
        for number in range(2 * FAILURES_IN_A_ROW):
            await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
            await book_all_of(gateway)
            await send()
        assert await hold_of(gateway) is None
        assert len(send.calls.asked) == 2 * FAILURES_IN_A_ROW


async def test_what_was_never_sent_for_our_own_reasons_counts_for_nothing(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 2 * FAILURES_IN_A_ROW, "globex")
        await gateway.database.execute("UPDATE outbox SET amount_minor = 2 * 10::bigint ^ 15")
        await OneByOne(gateway, OK)("globex")
        assert {status for status, _ in (await gateway.deliveries()).values()} == {"rejected"}
        assert await hold_of(gateway) is None


async def test_an_open_circuit_waits_as_long_as_faurya_asks(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, FAILURES_IN_A_ROW)
        send = OneByOne(gateway, Answer(status=503, retry_after=timedelta(minutes=3)))
        await send()
        assert 180 <= await wait_of(gateway) <= 216
        rows = await gateway.rows("SELECT min(due_at) AS due_at, min(spent) AS spent FROM outbox")
        assert rows == [{"due_at": gateway.clock() + timedelta(minutes=3), "spent": 1}]


@pytest.mark.parametrize(
    ("answer", "reason"), [(Answer(status=401), "bad_key"), (Answer(status=429), "quota"), (OK, None)]
)
async def test_a_probe_tells_what_is_the_matter_now(
    database_url: str, tmp_path: Path, answer: Answer, reason: str | None
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, FAILURES_IN_A_ROW + 5)
        send = OneByOne(gateway, DOWN)
        await send()
        await to_the_probe(gateway)
        send.answer(answer)
        await send()
        hold = await hold_of(gateway)
        assert (hold and hold["reason"]) == reason


async def test_a_hold_of_another_kind_is_not_turned_into_a_circuit_by_its_probe(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 2)
        send = OneByOne(gateway, Answer(status=401))
        await send()
        for _ in range(FAILURES_IN_A_ROW + 1):
            await to_the_probe(gateway)
            send.answer(DOWN)
            await send()
        assert (await hold_of(gateway) or {})["reason"] == "bad_key"


async def test_a_dead_faurya_of_one_site_leaves_another_alone(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 10)
        for number in range(10):
            await gateway.happen(
                PURCHASE,
                site="globex",
                payment_id=f"q{number}",
                attribution=Attribution(visitor_id="bert"),
                settle=False,
            )
        await book_all_of(gateway, "globex")

        async def send(request: Any) -> Answer:
            return DOWN if b"orderId" in request.body else OK

        deliverer = Deliverer(gateway.gateway.context, send)
        for site in ("acme", "globex"):
            await deliverer.deliver(lambda: gateway.gateway.live, site, asyncio.Event())
        rows = await gateway.rows("SELECT status, count(*) FROM outbox WHERE site = 'globex' GROUP BY status")
        assert rows == [{"status": "recorded", "count": 10}]
        assert await gateway.rows("SELECT site FROM holds") == [{"site": "acme"}]


async def test_a_retry_after_of_a_5xx_lengthens_the_schedule_and_never_shortens_it(
    database_url: str, tmp_path: Path
) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await book_sales(gateway, 1)
        for asked, seconds in ((timedelta(seconds=90), 90), (timedelta(seconds=1), 30)):
            await deliver(gateway, Calls([Answer(status=503, retry_after=asked)]))
            (row,) = await gateway.rows("SELECT due_at FROM outbox")
            assert seconds * 0.79 <= (row["due_at"] - gateway.clock()).total_seconds() <= seconds * 1.21
            gateway.clock.moment = row["due_at"]
        assert [verdict for _, _, verdict in await attempts(gateway)] == ["unclear", "unclear"]
