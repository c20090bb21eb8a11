"""A backend that dies at any statement of the worker loses nothing, doubles nothing and leaves nothing half-written."""

import asyncio
from pathlib import Path

import pytest
from harness import Harness, harness
from proxy import database_proxy
from whole import halves

from gateway.sdk import Attribution, RevenueKind

PURCHASE, REFUND = RevenueKind.PURCHASE, RevenueKind.REFUND
ANNA = Attribution(visitor_id="anna")
TIMES = 2
PATIENCE_SECONDS = 3.0

STRIKES = f"""
CREATE SEQUENCE strikes;
CREATE FUNCTION strikes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('strikes') <= {TIMES} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NEW;
END $$
"""

MOMENTS = {
    "claiming webhooks": ("UPDATE ON inbox", "OLD.lease IS NULL AND NEW.lease IS NOT NULL"),
    "booking a line": ("INSERT ON ledger", "true"),
    "booking a delivery": ("INSERT ON outbox", "true"),
    "noting an outcome": ("UPDATE ON inbox", "NEW.outcome = 'booked'"),
    "claiming deliveries": ("INSERT ON attempts", "true"),
    "noting an answer": ("UPDATE ON attempts", "true"),
    "settling": ("UPDATE ON outbox", "NEW.status = 'recorded'"),
}


async def worked_off(gateway: Harness, count: int) -> None:
    """Wait until so many deliveries are recorded; leases that a dead backend left behind run out meanwhile."""
    for _ in range(20):
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await gateway.until("SELECT count(*) FROM outbox WHERE status = 'recorded'", equals=count)
        except TimeoutError:
            gateway.clock.forward(gateway.gateway.live.config.worker.lease)
            gateway.wake()
        else:
            return
    raise AssertionError(await gateway.overview())


@pytest.mark.parametrize("at_commit", [False, True], ids=["at the statement", "at its commit"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_backend_killed_by(database_url: str, tmp_path: Path, moment: str, at_commit: bool) -> None:
    event, condition = MOMENTS[moment]
    kind, deferred = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED") if at_commit else ("TRIGGER", "")
    async with harness(database_url, tmp_path) as gateway:
        await gateway.database.execute(STRIKES)
        await gateway.database.execute(
            f"CREATE {kind} strikes AFTER {event} {deferred} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION strikes()"
        )
        for number in range(3):
            await gateway.happen(PURCHASE, payment_id=f"p{number}", attribution=ANNA, settle=False)
        await gateway.happen(REFUND, payment_id="p0", refund_id="r0", settle=False)
        await worked_off(gateway, 4)
        await gateway.settled()
        assert await gateway.database.fetchval("SELECT last_value FROM strikes") > TIMES, "it struck"
        assert sorted(one["sent"] for one in await gateway.recorded()) == ["-4900", "4900", "4900", "4900"]
        assert await halves(gateway.database) == {}
        async with gateway.http.get(f"{gateway.url}/readyz") as answer:
            assert answer.status == 200


async def test_commits_whose_answers_are_lost_on_every_path(database_url: str, tmp_path: Path) -> None:
    async with (
        database_proxy(database_url) as proxy,
        harness(database_url, tmp_path, through=proxy.url) as gateway,
    ):
        for number in range(12):
            proxy.commits_to_lose = number % 3
            what = {"event_id": f"e{number}", "simulated": False, "occurred_at": gateway.clock(), "attribution": ANNA}
            body = gateway.provider().sample(PURCHASE, payment_id=f"p{number}", **what)
            while (await gateway.send(body)).status != 200:
                await asyncio.sleep(0.02)
        proxy.commits_to_lose = 0
        await worked_off(gateway, 12)
        await gateway.settled()
        assert sorted(one["payment_id"] for one in await gateway.recorded()) == sorted(f"p{n}" for n in range(12))
        assert await halves(gateway.database) == {}
