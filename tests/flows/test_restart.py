"""A gateway that stops, or dies between any two writes, loses nothing and counts nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import scripted
from harness import CONFIG, Harness, harness
from sending import Died, attempts, book_all_of, deliver, really
from structlog.testing import capture_logs

from gateway.app.serving import listening
from gateway.dev.faurya_stand_in import StandInSite, faurya_stand_in
from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.flows.book import book
from gateway.sdk import Attribution, RevenueKind

PURCHASE, RENEWAL, REFUND = RevenueKind.PURCHASE, RevenueKind.RENEWAL, RevenueKind.REFUND
ANNA = Attribution(visitor_id="anna")
LEASE = timedelta(seconds=30)
SCRIPTED = CONFIG.replace("    plans:\n      pro:", "      scripted: {{environment: live}}\n    plans:\n      pro:")


@pytest.fixture(name="faurya")
async def _faurya() -> AsyncIterator[str]:
    """A Faurya that outlives the gateways."""
    site = StandInSite(name="acme", site_id="acme-site", write_key="acme-write-key", api_key="acme-api-key")
    async with listening(faurya_stand_in([site]), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def restarted(
    database: str, folder: Path, faurya: str, before: Harness, after: timedelta = timedelta(0)
) -> AsyncIterator[Harness]:
    """The next gateway on the same database, some time later."""
    clock = before.clock
    clock.forward(after)
    async with harness(database, folder, faurya_url=faurya, clock=clock) as gateway:
        gateway.numbers = before.numbers
        await gateway.settled()
        yield gateway


async def test_a_restart_between_every_step_changes_nothing(database_url: str, tmp_path: Path, faurya: str) -> None:
    async with harness(database_url, tmp_path, faurya_url=faurya) as gateway:
        for _ in range(3):
            await gateway.happen(PURCHASE, event_id="evt_1", payment_id="p1", subscription_id="sub", attribution=ANNA)
        await gateway.happen(REFUND, event_id="evt_early", payment_id="p2", refund_id="r1")
    async with restarted(database_url, tmp_path, faurya, gateway) as gateway:
        for _ in range(3):
            await gateway.happen(PURCHASE, event_id="evt_1", payment_id="p1", subscription_id="sub", attribution=ANNA)
        await gateway.happen(PURCHASE, payment_id="p1", subscription_id="sub")
        await gateway.happen(RENEWAL, payment_id="p2", subscription_id="sub")
    async with restarted(database_url, tmp_path, faurya, gateway) as gateway:
        seen = await gateway.rows("SELECT event_id, seen, outcome FROM inbox ORDER BY seen DESC, event_id")
        assert [row["seen"] for row in seen] == [6, 1, 1, 1]
        assert sorted(row["outcome"] for row in seen) == ["booked", "booked", "booked", "ignored"]
        lines = await gateway.rows("SELECT revenue_key, visitor_id FROM ledger ORDER BY revenue_key")
        assert [tuple(line.values()) for line in lines] == [
            ("payment:p1", "anna"), ("payment:p2", "anna"), ("refund:r1", "anna"),
        ]  # fmt: skip
        assert [record["sent"] for record in await gateway.recorded()] == ["4900", "4900", "-4900"]


async def test_what_was_kept_and_never_read_is_read_by_the_next_gateway(
    database_url: str, tmp_path: Path, faurya: str
) -> None:
    async with harness(database_url, tmp_path, faurya_url=faurya, with_worker=False) as gateway:
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
    async with restarted(database_url, tmp_path, faurya, gateway) as gateway:
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_gateway_that_died_while_reading_leaves_the_webhook_to_the_next(
    database_url: str, tmp_path: Path, faurya: str
) -> None:
    plugin = scripted.Scripted()
    live = {"text": SCRIPTED, "registry": scripted.registry(plugin), "with_worker": False}
    async with harness(database_url, tmp_path, faurya_url=faurya, **live) as gateway:
        plugin.readings["e1"] = lambda: asyncio.sleep(3600)
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        task = asyncio.create_task(book(gateway.gateway.context, gateway.gateway.live, "acme"))
        await gateway.until("SELECT count(*) FROM inbox WHERE outcome = 'booked'", equals=1)
        task.cancel()
        await asyncio.wait([task])
        assert await book(gateway.gateway.context, gateway.gateway.live, "acme") == 0
        gateway.clock.forward(LEASE)
        plugin.readings["e1"] = []
        await book_all_of(gateway)
        assert await gateway.rows("SELECT outcome, attempts FROM inbox WHERE event_key = 'e1'") == [
            {"outcome": "ignored", "attempts": 2}
        ]


@pytest.mark.parametrize("message", ["Duplicate transaction", "Bad request"])
@pytest.mark.parametrize("sent", [False, True])
async def test_a_gateway_that_died_around_a_call_is_followed_by_one_that_asks_again(
    database_url: str, tmp_path: Path, faurya: str, sent: bool, message: str
) -> None:
    async with harness(database_url, tmp_path, faurya_url=faurya, with_worker=False) as gateway:
        await gateway.switch(duplicate="bad_request", duplicate_message=message)
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await book_all_of(gateway)

        async def send(request: OutgoingRequest) -> Answer:
            if sent:
                assert (await really(request, gateway)).status == 200
            raise Died

        with capture_logs():
            await deliver(gateway, send)
        assert await attempts(gateway) == [(1, None, None)]
    async with harness(database_url, tmp_path, faurya_url=faurya, clock=gateway.clock) as gateway:
        gateway.clock.forward(timedelta(seconds=29))
        await gateway.read()
        assert len(await attempts(gateway)) == 1
        await gateway.forward(timedelta(seconds=1))
        ends = {False: "recorded", True: "already_recorded" if "Dup" in message else "recorded_assumed"}[sent]
        assert await gateway.deliveries() == {"payment:p1": (ends, None)}
        assert len(await gateway.recorded()) == 1


async def test_a_batch_is_booked_whole_or_not_at_all(database_url: str, tmp_path: Path, faurya: str) -> None:
    statements = (
        """
        CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$
        """,
        "CREATE TRIGGER dies BEFORE UPDATE ON inbox FOR EACH ROW WHEN (NEW.outcome = 'booked') EXECUTE FUNCTION dies()",
    )
    async with harness(database_url, tmp_path, faurya_url=faurya, with_worker=False) as gateway:
        for statement in statements:
            await gateway.database.execute(statement)
        for payment in ("p1", "p2", "p3"):
            await gateway.happen(PURCHASE, payment_id=payment, settle=False)
        with capture_logs() as logs:
            task = asyncio.create_task(book_all_of(gateway))
            while not [line for line in logs if line["event"] == "webhook.not_written"]:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
        assert await gateway.rows("SELECT * FROM ledger") == await gateway.rows("SELECT * FROM outbox") == []
        await gateway.database.execute("DROP TRIGGER dies ON inbox")
    async with restarted(database_url, tmp_path, faurya, gateway, LEASE) as gateway:
        assert set((await gateway.deliveries()).values()) == {("recorded", None)}
        assert len(await gateway.recorded()) == 3


async def test_an_orderly_stop_finishes_the_call_under_way(database_url: str, tmp_path: Path, faurya: str) -> None:
    async with harness(database_url, tmp_path, faurya_url=faurya) as gateway:
        await gateway.switch(delay_seconds=0.4)
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await gateway.until("SELECT count(*) FROM attempts", equals=1)
    async with harness(database_url, tmp_path, faurya_url=faurya, with_worker=False, clock=gateway.clock) as gateway:
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}
        assert await attempts(gateway) == [(1, 200, "recorded")]
