"""The webhook address: bodies of every size, speed and encoding, and addresses that are not there."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from accepting import WITH_SCRIPTED, Tuned, accepting, events, inside, log_lines, metric, problem, raw
from harness import Harness
from scripted import registry

from gateway.web.errors import Problem

BODY = b'{"id": "evt_1"}'
SMALL = WITH_SCRIPTED.replace(
    "server: {{", "server: {{max_body_bytes: 1024, body_deadline: 1s, ", 1
)  # the smallest that the configuration allows
HEAD = "POST /webhooks/acme/example HTTP/1.1\r\nHost: x\r\n"


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def nothing_kept(here: Harness) -> bool:
    return await here.rows("SELECT 1 FROM inbox") == []


async def test_a_body_of_exactly_the_limit_is_kept_and_one_byte_more_is_not(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=SMALL) as (here, _):
        assert (await here.send(b"x" * 1024)).status == 200
        content = await problem(await here.send(b"x" * 1025), 413, "payload_too_large")
        assert "1024 bytes" in content["detail"]
        assert len(await here.rows("SELECT 1 FROM inbox")) == 1
        assert await metric(here, "gateway_refused_total", connection="example", reason="payload_too_large") == 1


async def test_a_length_over_the_limit_is_refused_before_any_of_the_body_is_read(
    database_url: str, tmp_path: Path
) -> None:
    async with accepting(database_url, tmp_path, text=SMALL) as (here, _):
        started = time.monotonic()
        answer = await raw(here, f"{HEAD}Content-Length: 999999999999\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"payload_too_large"' in body_of(answer)
        assert b"connection: close" in answer.lower()
        assert time.monotonic() - started < 5


async def test_a_chunked_body_is_refused_as_soon_as_it_is_over_the_limit(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=SMALL) as (here, _):
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 50_000_000:
                sent += 1000
                yield b"x" * 1000
                await asyncio.sleep(0)

        async with here.http.post(f"{here.url}/webhooks/acme/example", data=endless()) as answer:
            await problem(answer, 413, "payload_too_large")
        assert sent < 10_000_000
        assert await nothing_kept(here)
        assert inside(here).in_flight._used == 0


async def test_a_chunked_body_within_the_limit_is_kept(here: Harness) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes([byte])

    headers = here.provider().sign(BODY, here.clock())
    async with here.http.post(f"{here.url}/webhooks/acme/example", data=chunks(), headers=headers) as answer:
        assert answer.status == 200
    assert [row["body"] for row in await here.rows("SELECT body FROM inbox")] == [BODY]


async def test_a_body_that_does_not_arrive_in_time_is_given_up(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=SMALL) as (here, _):
        started = time.monotonic()
        answer = await raw(here, f"{HEAD}Content-Length: 100\r\n\r\n".encode() + b"slow")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"within 1 seconds" in body_of(answer)
        assert 0.9 < time.monotonic() - started < 8
        assert await nothing_kept(here)
        assert inside(here).in_flight._used == 0
        assert await metric(here, "gateway_refused_total", reason="body_timeout") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"{HEAD}Content-Length: 100\r\n\r\n".encode() + b"half",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + b"5\r\nhalf",
        HEAD.encode(),
        b"PO",
    ],
    ids=["body", "chunk", "head", "method"],
)
async def test_half_a_request_and_a_disconnect_leave_nothing_behind(here: Harness, request_bytes: bytes) -> None:
    with log_lines() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(here.url.rpartition(":")[2]))
        writer.write(request_bytes)
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.sleep(0.1)
    assert reader
    assert await nothing_kept(here)
    assert inside(here).in_flight._used == 0
    assert [line for line in lines if line["log_level"] in ("error", "warning")] == []
    assert (await here.send(BODY)).status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + b"nonsense\r\n",
        f"{HEAD}Content-Length: abc\r\n\r\n".encode(),
        f"{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
        b"BREW /webhooks/acme/example HTTP/1.1\r\n\r\n",
        HEAD.encode() + b"Bad Header: 1\r\n\r\n",
        HEAD.encode() + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["chunks", "length", "smuggling", "method", "header", "huge header"],
)
async def test_what_is_not_http_is_a_400_and_no_error_of_ours(here: Harness, request_bytes: bytes) -> None:
    with log_lines() as lines:
        answer = await raw(here, request_bytes)
    assert answer.split(b" ", 2)[1] == b"400", answer
    assert [line for line in lines if line["log_level"] == "error"] == []
    assert await nothing_kept(here)
    assert (await here.send(BODY)).status == 200


async def test_a_compressed_body_is_proven_and_kept_as_received(here: Harness) -> None:
    packed = gzip.compress(BODY * 100)
    headers = {**here.provider().sign(packed, here.clock()), "Content-Encoding": "gzip"}
    async with here.http.post(f"{here.url}/webhooks/acme/example", data=packed, headers=headers) as answer:
        assert answer.status == 200
    (row,) = await here.rows("SELECT body, headers FROM inbox")
    assert row["body"] == packed
    assert b"Content-Encoding: gzip" in row["headers"]


async def test_a_compressed_bomb_weighs_what_was_sent(database_url: str, tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * 500_000, 9)
    assert len(bomb) < 1024
    async with accepting(database_url, tmp_path, text=SMALL) as (here, _):
        headers = {**here.provider().sign(bomb, here.clock()), "Content-Encoding": "gzip"}
        async with here.http.post(f"{here.url}/webhooks/acme/example", data=bomb, headers=headers) as answer:
            assert answer.status == 200
        assert [row["body"] for row in await here.rows("SELECT body FROM inbox")] == [bomb]


async def test_when_too_much_arrives_at_once_the_rest_is_sent_away(here: Harness) -> None:
    in_flight = inside(here).in_flight
    in_flight._limit = len(BODY) - 1
    answer = await here.send(BODY)
    await problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"] == "5"
    assert in_flight._used == 0
    in_flight._limit = len(BODY)
    assert (await here.send(BODY)).status == 200
    assert in_flight._used == 0


async def test_bytes_count_as_in_flight_until_the_webhook_is_kept(here: Harness) -> None:
    async with here.database.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE inbox")
        sending = asyncio.create_task(here.send(BODY))
        async with asyncio.timeout(10):
            while inside(here).in_flight._used != len(BODY):
                await asyncio.sleep(0.01)
    assert (await sending).status == 200
    assert inside(here).in_flight._used == 0


def test_giving_back_makes_room() -> None:
    from gateway.web.bodies import MIN_IN_FLIGHT, BytesInFlight

    room = BytesInFlight(10)
    room.take(MIN_IN_FLIGHT)
    with pytest.raises(Problem, match="too much"):
        room.take(1)
    room.give_back(1)
    room.take(1)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/webhooks/nobody/example", "unknown_site"),
        ("/webhooks/Acme/example", "unknown_site"),
        ("/webhooks/acme/nothing", "unknown_connection"),
        ("/webhooks/globex/sandbox", "unknown_connection"),
        ("/webhooks/ac%2Fme/example", "unknown_site"),
        ("/webhooks/%00/%ff", "unknown_site"),
        ("/webhooks/acme", "not_found"),
        ("/webhooks/acme/example/more", "not_found"),
        ("/webhooks", "not_found"),
        ("/", "not_found"),
    ],
)
async def test_an_address_that_is_not_there_is_a_404_and_a_line_in_the_log(here: Harness, path: str, code: str) -> None:
    from yarl import URL

    with log_lines() as lines:
        async with here.http.post(URL(here.url + path + "?token=hush", encoded=True), data=BODY) as answer:
            await problem(answer, 404, code)
    (line,) = events(lines, "request.rejected")
    assert (line["status"], line["code"], line["method"]) == (404, code, "POST")
    assert "hush" not in str(line)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_told_which_there_are(here: Harness, method: str) -> None:
    async with here.http.request(method, f"{here.url}/webhooks/acme/example", data=BODY) as answer:
        assert answer.headers["Allow"] == "GET,POST"
        if method == "HEAD":
            assert answer.status == 405
        else:
            await problem(answer, 405, "method_not_allowed")


async def test_a_connection_whose_plugin_was_skipped_asks_to_send_again(database_url: str, tmp_path: Path) -> None:
    class Broken(Tuned):
        def open(self, config: Any, runtime: Any) -> Any:
            raise RuntimeError("no")

    text = WITH_SCRIPTED.replace("sites:\n", "plugins: {{on_failure: skip}}\nsites:\n", 1)
    async with accepting(database_url, tmp_path, text=text, registry=registry(Broken())) as (here, _):
        async with here.http.post(f"{here.url}/webhooks/acme/scripted", data=BODY) as answer:
            content = await problem(answer, 503, "not_ready")
        assert "not loaded" in content["detail"]
        assert answer.headers["Retry-After"] == "5"


async def test_https_is_demanded_of_webhooks_where_the_public_address_has_it(database_url: str, tmp_path: Path) -> None:
    text = WITH_SCRIPTED.replace(
        '"http://127.0.0.1:{port}"', '"https://pay.example.com", trusted_proxies: [127.0.0.0/8]', 1
    )
    async with accepting(database_url, tmp_path, text=text) as (here, plugin):
        content = await problem(await here.send(BODY), 403, "https_required")
        assert "trusted_proxies" in content["detail"]
        async with here.http.post(f"{here.url}/checkouts/acme", json={"plan": "pro"}) as answer:
            await problem(answer, 403, "https_required")
        signed = here.provider().sign(BODY, here.clock())
        forwarded = {**signed, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9, 192.0.2.7"}
        assert (await here.send(BODY, headers=forwarded)).status == 200
        (row,) = await here.rows("SELECT remote_ip FROM inbox")
        assert row["remote_ip"] == "192.0.2.7"
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 200)):
            async with here.http.get(here.url + path) as answer:
                assert answer.status == status, path
        seen = []
        plugin.verdict = lambda request: seen.append(request.url)
        async with here.http.post(
            f"{here.url}/webhooks/acme/scripted?a=1", data=BODY, headers={"X-Forwarded-Proto": "https"}
        ):
            assert seen == ["https://pay.example.com/webhooks/acme/scripted?a=1"]


async def test_a_client_that_goes_away_while_its_webhook_is_being_kept_changes_nothing(here: Harness) -> None:
    headers = here.provider().sign(BODY, here.clock())
    async with here.database.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE inbox")
        with pytest.raises(TimeoutError):
            await here.http.post(
                f"{here.url}/webhooks/acme/example", data=BODY, headers=headers, timeout=aiohttp.ClientTimeout(0.2)
            )
    await here.until("SELECT count(*) FROM inbox", equals=1)
    assert (await here.send(BODY)).status == 200
    assert await here.rows("SELECT seen FROM inbox") == [{"seen": 2}]
