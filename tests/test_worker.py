"""The worker goes round: everything due is done, nobody starves, and nothing spins."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
import structlog
from harness import CONFIG, Harness, harness
from line import line_to
from sending import OK, Calls, attempts, book_all_of
from structlog.testing import capture_logs

from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.flows.deliver import Deliverer
from gateway.plugins import Live
from gateway.sdk import Attribution, RevenueKind
from gateway.store import agenda
from gateway.store.agenda import SiteAgenda
from gateway.worker import Worker

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND
BERT = Attribution(visitor_id="bert")
SCRIPTED = CONFIG.replace("    plans:\n      pro:", "      scripted: {{environment: live}}\n    plans:\n      pro:")


async def test_a_site_whose_faurya_hangs_does_not_hold_up_another(gateway: Harness) -> None:
    goes_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway.rewrite_config(CONFIG.replace('revenue, url: "{faurya}"', f'revenue, url: "http://127.0.0.1:{port}"'))
    assert await gateway.gateway.reload()
    for number in range(20):
        await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
    await gateway.until("SELECT count(*) FROM outbox WHERE lease IS NOT NULL", equals=8)
    await gateway.happen(PURCHASE, site="globex", payment_id="q1", attribution=BERT, settle=False)
    async with asyncio.timeout(5):
        await gateway.until("SELECT status FROM outbox WHERE site = 'globex'", equals="recorded")
    assert await gateway.rows("SELECT count(*) FROM outbox WHERE lease IS NOT NULL") == [{"count": 8}]
    goes_on.set()
    await gateway.settled()
    server.close()


async def test_a_plugin_that_hangs_does_not_hold_up_another_site(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        goes_on = asyncio.Event()
        plugin.readings["e1"] = goes_on.wait
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
        await gateway.until("SELECT lease IS NOT NULL FROM inbox")
        await gateway.happen(PURCHASE, site="globex", payment_id="q1", attribution=BERT, settle=False)
        async with asyncio.timeout(5):
            await gateway.until("SELECT status FROM outbox", equals="recorded")
        goes_on.set()


class Counting:
    """Counts the rounds of a worker by the looks at its configuration."""

    def __init__(self, gateway: Harness) -> None:
        self.gateway, self.looks = gateway, 0

    def __call__(self) -> Live:
        self.looks += 1
        return self.gateway.gateway.live


async def rounds_in(gateway: Harness, seconds: float) -> int:
    """How often a worker of its own looks for work within some seconds."""
    live = Counting(gateway)
    worker = Worker(gateway.gateway.context, live, Deliverer(gateway.gateway.context, Calls()))
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(seconds)
    worker.stop()
    await task
    return live.looks


async def test_a_worker_with_nothing_to_do_looks_once_a_second(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        assert await rounds_in(gateway, 1.3) <= 5


async def test_what_this_process_keeps_is_booked_and_delivered_without_a_look(
    gateway: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> list[SiteAgenda]:
        return []

    monkeypatch.setattr(agenda, "read", nothing)
    for number in range(30):
        await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
    async with asyncio.timeout(10):
        await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=30)


async def test_what_is_done_for_a_site_does_not_carry_the_id_of_the_request_that_began_it(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        carried: list[dict[str, Any]] = []

        async def looking() -> list[Any]:
            carried.append(structlog.contextvars.get_contextvars())
            return []

        plugin.readings["e1"] = looking
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1", "X-Request-Id": "of-this-one"})
        await gateway.settled()
        assert carried == [{}]


async def test_a_worker_that_does_not_know_the_time_yet_claims_nothing(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        worker = Worker(
            gateway.gateway.context, lambda: gateway.gateway.live, Deliverer(gateway.gateway.context, Calls())
        )
        worker.wake("acme", "book")
        await asyncio.sleep(0.1)
        assert await gateway.inbox() == [("received", None)]
        task = asyncio.create_task(worker.run())
        await gateway.settled()
        worker.stop()
        worker.wake("acme", "book")
        await task
        assert await gateway.inbox() == [("booked", None)]


async def test_a_worker_without_a_web_looks_more_often_also_in_quiet_times(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        live = Counting(gateway)
        worker = Worker(gateway.gateway.context, live, Deliverer(gateway.gateway.context, Calls()), apart=True)
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(5):
            while live.looks < 10:
                await asyncio.sleep(0.01)
        worker.stop()
        await task
        assert worker.beat == gateway.clock()


async def test_while_another_process_keeps_webhooks_coming_they_are_looked_for_more_often(
    database_url: str, tmp_path: Path
) -> None:
    """With one look a second these would take ten seconds and more."""
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        worker = Worker(
            gateway.gateway.context, lambda: gateway.gateway.live, Deliverer(gateway.gateway.context, Calls())
        )
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(8):
            for number in range(20):
                await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
                await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=number + 1)
        worker.stop()
        await task


async def test_rows_of_a_removed_connection_are_left_alone_and_nothing_spins(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", connection="sandbox", settle=False)
        await gateway.happen(PURCHASE, payment_id="q1", site="globex", attribution=BERT, settle=False)
        await gateway.happen(PURCHASE, payment_id="q2", site="globex", attribution=BERT, settle=False)
        await book_all_of(gateway, "globex")
        await gateway.happen(PURCHASE, payment_id="q3", site="globex", attribution=BERT, settle=False)
        start, end = CONFIG.index("      sandbox:"), CONFIG.index("    plans:\n      pro:")
        text = CONFIG[:start] + CONFIG[end : CONFIG.index("  globex:")]
        gateway.rewrite_config(text)
        assert await gateway.gateway.reload()
        assert await rounds_in(gateway, 0.8) <= 4
        assert await gateway.inbox() == [("received", None), ("booked", None), ("booked", None), ("received", None)]
        assert set((await gateway.deliveries()).values()) == {("pending", None)}
        assert await gateway.rows("SELECT * FROM attempts") == []
        gateway.rewrite_config()
        assert await gateway.gateway.reload()
        await rounds_in(gateway, 0.6)
        assert {outcome for outcome, _ in await gateway.inbox()} == {"booked"}


@pytest.mark.parametrize("until", ["now() + interval '1 day'", "NULL"])
async def test_a_held_site_does_not_make_the_worker_spin(database_url: str, tmp_path: Path, until: str) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        gateway.clock.moment = gateway.clock.moment.now(gateway.clock.moment.tzinfo)
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await book_all_of(gateway)
        await gateway.database.execute(
            "INSERT INTO holds (site, destination, since, until, reason) "
            f"VALUES ('acme', 'faurya', now(), {until}, 'quota')"
        )
        assert await rounds_in(gateway, 0.5) <= 4
        assert await gateway.rows("SELECT * FROM attempts") == []


async def test_the_database_may_go_away_and_come_back_at_any_time(database_url: str, tmp_path: Path) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, through=line.url, with_worker=False) as gateway,
    ):
        for number in range(30):
            await gateway.happen(PURCHASE, payment_id=f"p{number}", settle=False)
        context, calls = gateway.gateway.context, Calls()

        async def send(request: OutgoingRequest) -> Answer:
            await asyncio.sleep(0.05)
            return await calls(request)

        worker = Worker(context, lambda: gateway.gateway.live, Deliverer(context, send))
        with capture_logs() as logs:
            task = asyncio.create_task(worker.run())
            for cut in (1, 2, 3):
                await asyncio.sleep(0.1)
                await line.cut()
                while [one["event"] for one in logs].count("worker.database_away") < cut:
                    await asyncio.sleep(0.01)
                await line.mend()
                gateway.clock.forward(timedelta(seconds=31))
            await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=30)
            worker.stop()
            await task
        assert [line for line in logs if line["event"] in ("worker.failed", "delivery.failed")] == []
        assert len({dict(request.headers)["Idempotency-Key"] for request in calls.asked}) == 30


async def test_a_database_that_is_away_at_the_start_is_waited_for(database_url: str, tmp_path: Path) -> None:
    async with (
        line_to(database_url) as line,
        harness(database_url, tmp_path, through=line.url, with_worker=False) as gateway,
    ):
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await line.cut()
        context = gateway.gateway.context
        worker = Worker(context, lambda: gateway.gateway.live, Deliverer(context, Calls()))
        with capture_logs() as logs:
            task = asyncio.create_task(worker.run())
            await asyncio.sleep(0.1)
            assert worker.beat is None
            await line.mend()
            await gateway.settled()
            assert worker.beat == gateway.clock()
            worker.stop()
            await task
        assert [line["event"] for line in logs].count("worker.database_away") >= 2


async def test_a_fault_of_one_site_or_of_a_round_does_not_end_the_worker(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        faults: list[Exception] = []
        of_sites: list[Exception] = []

        def live() -> Live:
            where = faults if asyncio.current_task() is task else of_sites
            if where:
                raise where.pop()
            return gateway.gateway.live

        context = gateway.gateway.context
        worker = Worker(context, live, Deliverer(context, Calls()))
        with capture_logs() as logs:
            task = asyncio.create_task(worker.run())
            while worker.beat is None:
                await asyncio.sleep(0.01)
            faults.append(RuntimeError("a bug in the round"))
            worker.look()
            while faults:
                await asyncio.sleep(0.01)
            await gateway.database.execute(
                "ALTER TABLE ledger ADD CHECK (site <> 'acme'); ALTER TABLE inbox ADD CHECK (reason <> 'malformed')"
            )
            await gateway.happen(PURCHASE, payment_id="p1", settle=False)
            await gateway.happen(PURCHASE, site="globex", payment_id="q1", attribution=BERT, settle=False)
            await gateway.until("SELECT status FROM outbox WHERE site = 'globex'", equals="recorded")
            of_sites.append(RuntimeError("a bug in reading"))
            await gateway.happen(PURCHASE, site="globex", payment_id="q2", attribution=BERT, settle=False)
            worker.look()
            await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=2)
            worker.stop()
            await task
        failed = [(line["event"], line.get("site"), line.get("work")) for line in logs if line["log_level"] != "info"]
        assert failed[:2] == [("worker.failed", None, None), ("worker.database_away", "acme", "book")]
        assert [(event, site) for event, site, _ in failed[2:]] == [("worker.failed", "globex")]


async def test_two_workers_on_one_database_share_the_work(database_url: str, tmp_path: Path) -> None:
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    async with (
        harness(database_url, tmp_path, with_worker=False) as first,
        harness(database_url, second_folder, with_worker=False, clock=first.clock) as second,
    ):
        for number in range(150):
            site = ("acme", "globex")[number % 2]
            kind, what = (REFUND, {"refund_id": f"r{number}"}) if number % 5 == 0 else (PURCHASE, {})
            await first.happen(kind, site=site, payment_id=f"p{number // 10}", attribution=BERT, settle=False, **what)
        calls = {"first": Calls(), "second": Calls()}
        context = {"first": first.gateway.context, "second": second.gateway.context}
        workers = [
            Worker(context[name], lambda: first.gateway.live, Deliverer(context[name], calls[name])) for name in calls
        ]
        with capture_logs() as logs:
            tasks = [asyncio.create_task(worker.run()) for worker in workers]

            async def again(number: int) -> None:
                gateway, name = (first, second)[number % 2], f"evt_{number}"
                # patient, because repeats that meet a booking may have to wait for longer than a webhook does
                await gateway.happen(
                    PURCHASE, event_id=name, payment_id=f"p{number}", settle=False, patient=True, attribution=BERT
                )

            await asyncio.gather(*(again(number) for number in [*range(500, 700)] * 2))
            await first.settled()
            for worker in workers:
                worker.stop()
            await asyncio.gather(*tasks)
        assert not [line for line in logs if line["event"] in ("worker.failed", "worker.database_away")]
        outcomes = await first.rows("SELECT outcome, reason, count(*) FROM inbox GROUP BY 1, 2 ORDER BY 1, 2")
        assert sum(row["count"] for row in outcomes) == 350
        assert {row["outcome"] for row in outcomes} == {"booked", "ignored"}
        asked = [request for one in calls.values() for request in one.asked]
        keys = [dict(request.headers)["Idempotency-Key"] for request in asked]
        assert len(keys) == len(set(keys))
        recorded = await first.rows("SELECT count(*) FROM outbox WHERE status = 'recorded'")
        assert recorded == [{"count": len(keys)}]


async def test_raw_bytes_are_forgotten_after_their_time_in_the_background(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1")
        await gateway.happen(REFUND, payment_id="p9", refund_id="r9")
        gateway.clock.forward(timedelta(days=89))
        await gateway.settled()
        assert await gateway.rows("SELECT count(*) FROM inbox WHERE body IS NULL") == [{"count": 0}]
        gateway.clock.forward(timedelta(days=1, hours=1))
        gateway.wake()
        await gateway.until("SELECT count(*) FROM inbox WHERE body IS NULL", equals=2)
        await gateway.happen(PURCHASE, event_id="evt_0", payment_id="p1")
        rows = await gateway.rows("SELECT event_key, seen FROM inbox ORDER BY event_key")
        assert rows == [{"event_key": "evt_0", "seen": 2}, {"event_key": "evt_1", "seen": 1}]


async def test_a_stop_finishes_what_is_being_read(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, **live) as gateway:
        goes_on = asyncio.Event()

        async def slow() -> list[Any]:
            await goes_on.wait()
            return []

        plugin.readings["e1"] = slow
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
        context = gateway.gateway.context
        worker = Worker(context, lambda: gateway.gateway.live, Deliverer(context, Calls([OK])))
        task = asyncio.create_task(worker.run())
        await gateway.until("SELECT lease IS NOT NULL FROM inbox")
        worker.stop()
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        goes_on.set()
        await task
        assert sorted(await gateway.inbox(), key=str) == [("ignored", "not_revenue"), ("received", None)]


async def test_what_waits_is_looked_for_when_it_is_due(gateway: Harness) -> None:
    await gateway.switch(next_status=500, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    (row,) = await gateway.rows("SELECT due_at FROM outbox")
    gateway.clock.moment = row["due_at"] - timedelta(milliseconds=200)
    gateway.wake()
    await asyncio.sleep(0.05)
    assert len(await attempts(gateway)) == 1
    async with asyncio.timeout(5):
        gateway.clock.moment = row["due_at"]
        await gateway.until("SELECT status FROM outbox", equals="recorded")
    async with gateway.gateway.context.database.reading() as connection:
        (acme, globex) = await agenda.read(connection, sorted(gateway.gateway.live.connections))
    assert (acme.deliver_at, acme.read_at, globex.deliver_at) == (None, None, None)
