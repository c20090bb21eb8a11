"""Probes and metrics, with and without a database."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from accepting import WITH_SCRIPTED, accepting, metric, problem
from harness import START, Harness, free_port
from prometheus_client.parser import text_string_to_metric_families
from proxy import DatabaseProxy, database_proxy

from gateway.app.assembly import BEAT
from gateway.app.serving import listening
from gateway.sdk import RevenueKind

CONTRACT = {
    "gateway_webhooks_total": {"site", "connection", "outcome"},
    "gateway_webhook_seconds_count": set(),
    "gateway_refused_total": {"site", "connection", "reason"},
    "gateway_deliveries_total": {"site", "status"},
    "gateway_delivery_seconds_count": set(),
    "gateway_oldest_due_seconds": {"site"},
    "gateway_outbox_due": {"site"},
    "gateway_checkouts_total": {"site", "outcome"},
    "gateway_site_held": {"site"},
    "gateway_last_webhook_timestamp_seconds": {"site", "connection"},
}


@pytest_asyncio.fixture(name="proxied")
async def _proxied(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, DatabaseProxy]]:
    async with database_proxy(database_url) as proxy, accepting(database_url, tmp_path, through=proxy.url) as (here, _):
        yield here, proxy


async def get(here: Harness, path: str) -> aiohttp.ClientResponse:
    answer = await here.http.get(here.url + path)
    await answer.read()
    return answer


async def test_a_gateway_that_can_keep_webhooks_is_ready(here: Harness) -> None:
    for path, text in (("/healthz", "alive\n"), ("/readyz", "ready\n")):
        answer = await get(here, path)
        assert (answer.status, await answer.text()) == (200, text)
    assert await here.rows("SELECT * FROM sites WHERE site = ''") == []


@pytest.mark.parametrize("how", ["cut", "freeze"])
async def test_without_a_database_it_is_alive_and_not_ready_and_says_so_soon(
    proxied: tuple[Harness, DatabaseProxy], how: str
) -> None:
    here, proxy = proxied
    assert (await get(here, "/readyz")).status == 200
    if how == "cut":
        await proxy.cut()
    else:
        proxy.freeze()
    started = time.monotonic()
    answer = await get(here, "/readyz")
    assert time.monotonic() - started < 6
    await problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"] == "5"
    assert (await get(here, "/healthz")).status == 200
    if how == "cut":
        await proxy.open()
    else:
        proxy.thaw()
    assert (await get(here, "/readyz")).status == 200


async def test_with_an_older_schema_it_is_not_ready(here: Harness) -> None:
    await here.rows("DELETE FROM alembic_version")
    await here.rows("DROP TABLE alembic_version")
    content = await problem(await get(here, "/readyz"), 503, "not_ready")
    assert "faurya-gateway migrate" in content["detail"]


async def test_a_worker_that_stopped_going_round_makes_it_unready(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, with_worker=True) as (here, _):
        await here.happen(RevenueKind.PURCHASE)
        assert (await get(here, "/readyz")).status == 200
        worker = here.gateway.worker
        assert worker is not None
        worker.beat = here.clock() - BEAT
        answer = await get(here, "/readyz")
        if worker.beat < here.clock():  # it has not gone round meanwhile
            content = await problem(answer, 503, "not_ready")
            assert "worker" in content["detail"]


async def test_the_metrics_are_those_of_the_contract(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, with_worker=True) as (here, _):
        await here.happen(RevenueKind.PURCHASE)
        await here.send(b"{}", headers={})
        async with here.http.post(f"{here.url}/checkouts/acme", json={"plan": "pro"}) as answer:
            assert answer.status == 201
        answer = await get(here, "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        samples = [
            sample for family in text_string_to_metric_families(await answer.text()) for sample in family.samples
        ]
        found = {sample.name: set(sample.labels) for sample in samples}
        assert {name: found.get(name) for name in CONTRACT} == CONTRACT
        assert not [name for name in found if name.endswith("_created")]
        assert await metric(here, "gateway_webhooks_total", connection="example", outcome="received") == 1
        assert await metric(here, "gateway_webhooks_total", connection="example", outcome="booked") == 1
        assert await metric(here, "gateway_deliveries_total", site="acme", status="recorded") == 1


async def test_the_backlog_is_read_from_the_database_at_the_scrape(here: Harness) -> None:
    await here.send(b'{"id": "evt_1"}')
    here.clock.forward(timedelta(seconds=90))
    assert await metric(here, "gateway_oldest_due_seconds", site="acme") == 90
    assert await metric(here, "gateway_oldest_due_seconds", site="globex") == 0
    assert await metric(here, "gateway_last_webhook_timestamp_seconds", site="acme") == START.timestamp()
    await here.rows(
        "INSERT INTO holds (site, destination, since, reason) VALUES ('globex', 'faurya', now(), 'bad_key')"
    )
    assert await metric(here, "gateway_site_held", site="globex") == 1
    assert await metric(here, "gateway_site_held", site="acme") == 0
    await here.rows("UPDATE inbox SET due_at = due_at + interval '1 hour'")
    assert await metric(here, "gateway_oldest_due_seconds", site="acme") == 0, "not due yet"


async def test_without_a_database_the_metrics_of_the_process_remain(proxied: tuple[Harness, DatabaseProxy]) -> None:
    here, proxy = proxied
    await here.send(b'{"id": "evt_1"}')
    await proxy.cut()
    answer = await get(here, "/metrics")
    assert answer.status == 200
    text = await answer.text()
    assert 'outcome="received"' in text
    assert "gateway_oldest_due_seconds{" not in text
    await proxy.open()


async def test_the_metrics_may_have_a_port_of_their_own(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    text = WITH_SCRIPTED.replace("server: {{", f"server: {{{{metrics_port: {port}, ", 1)
    async with (
        accepting(database_url, tmp_path, text=text) as (here, _),
        listening(here.gateway.metrics_application, "127.0.0.1", port),
    ):
        await problem(await get(here, "/metrics"), 404, "not_found")
        async with here.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
            assert "X-Request-Id" in answer.headers
        async with here.http.get(f"http://127.0.0.1:{port}/healthz") as answer:
            await problem(answer, 404, "not_found")
