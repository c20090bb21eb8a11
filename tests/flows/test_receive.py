"""A webhook arrives: proven, kept, answered, or told why not."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from accepting import WEBHOOKS, Tuned, accepting, events, inside, log_lines, metric, noted, problem, raw
from harness import SECRET, START, Harness
from proxy import DatabaseProxy, database_proxy

from gateway.flows import receive
from gateway.flows.receive import masked
from gateway.sdk import Accepted, Answered, RefusalReason, Refused, Reply
from gateway.store import batches, embedded
from gateway.store.schema import migrate
from providers.example.signature import sign

BODY = b'{"id": "evt_1", "type": "payment.pending"}'
OTHER_BODY = b'{"id": "evt_1", "type": "payment.failed"}'
HEADER = "X-Example-Signature"
GOOD = sign(BODY, START, SECRET.encode())[HEADER]


@pytest_asyncio.fixture(name="site")
async def _site(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Tuned]]:
    async with accepting(database_url, tmp_path) as site:
        yield site


@pytest.fixture(name="here")
def _here(site: tuple[Harness, Tuned]) -> Harness:
    return site[0]


@pytest.fixture(name="plugin")
def _plugin(site: tuple[Harness, Tuned]) -> Tuned:
    return site[1]


async def send_scripted(here: Harness, body: bytes = BODY, query: str = "", **headers: str) -> Any:
    address = f"{here.url}{WEBHOOKS}{query and '?' + query}"
    answer = await here.http.post(address, data=body, headers={"X-Event": "evt_1", **headers})
    await answer.read()
    return answer


# What the header says, and what the sender is told.
BAD_SIGNATURES: list[tuple[str, dict[str, str], str, str, int | None]] = [
    ("none", {}, "header_missing", "there is no X-Example-Signature header", None),
    ("empty", {HEADER: ""}, "header_missing", "there is no X-Example-Signature header", None),
    ("garbage", {HEADER: "garbage"}, "header_malformed", "the header is not t=<seconds>,v1=<hex>", None),
    ("no time", {HEADER: "v1=00"}, "header_malformed", "the header is not t=<seconds>,v1=<hex>", None),
    ("a word as time", {HEADER: "t=soon,v1=00"}, "header_malformed", "the header is not t=<seconds>,v1=<hex>", None),
    ("raw bytes", {HEADER: "t=\udce9,v1=\udcff"}, "header_malformed", "the header is not t=<seconds>,v1=<hex>", None),
    ("stale", sign(BODY, START - timedelta(seconds=301), SECRET.encode()), "timestamp_too_old",
     "signed 301 seconds ago; 300 are accepted: compare the clocks", 301),
    ("future", sign(BODY, START + timedelta(seconds=400), SECRET.encode()), "timestamp_in_future",
     "signed 400 seconds in the future; 300 are accepted: compare the clocks", 400),
    ("far future", {HEADER: "t=999999999999,v1=00"}, "timestamp_in_future",
     "signed 998211735999 seconds in the future; 300 are accepted: compare the clocks", 998211735999),
    ("of another secret", sign(BODY, START, b"another"), "signature_mismatch",
     "no secret of this connection matches", None),
    ("of another body", sign(b"{}", START, SECRET.encode()), "signature_mismatch",
     "no secret of this connection matches", None),
    ("tampered", {HEADER: GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1")}, "signature_mismatch",
     "no secret of this connection matches", None),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "reason", "detail", "off"), [case[1:] for case in BAD_SIGNATURES],
                         ids=[case[0] for case in BAD_SIGNATURES])  # fmt: skip
async def test_a_bad_signature_is_told_which_step_failed_and_by_how_much(
    here: Harness, headers: dict[str, str], reason: str, detail: str, off: int | None
) -> None:
    with log_lines() as lines:
        content = await problem(await here.send(BODY, headers=headers), 401, "webhook_refused")
    assert (content["reason"], content["detail"], content.get("seconds_off")) == (reason, detail, off)
    (line,) = events(lines, "webhook.refused")
    assert (line["site"], line["connection"], line["reason"], line["seconds_off"]) == ("acme", "example", reason, off)
    assert line["request_id"] == content["request_id"]
    await noted(here)
    assert await here.rows("SELECT site, connection, count, reason, detail, seconds_off, remote_ip FROM refusals") == [
        {"site": "acme", "connection": "example", "count": 1, "reason": reason, "detail": detail,
         "seconds_off": off and min(off, 2**31 - 1), "remote_ip": "127.0.0.1"}
    ]  # fmt: skip
    assert await here.rows("SELECT * FROM inbox") == []
    assert await metric(here, "gateway_refused_total", site="acme", connection="example", reason=reason) == 1


async def test_refusals_of_a_connection_add_up_and_the_last_one_is_described(here: Harness) -> None:
    await asyncio.gather(*(here.send(BODY, headers={}) for _ in range(20)))
    here.clock.forward(timedelta(minutes=1))
    await here.send(BODY, headers={HEADER: "garbage"})
    await noted(here)
    (row,) = await here.rows("SELECT count, reason, first_at, last_at FROM refusals")
    assert row == {
        "count": 21, "reason": "header_malformed", "first_at": START, "last_at": START + timedelta(minutes=1),
    }  # fmt: skip


async def test_any_of_several_secrets_is_accepted_and_so_is_the_edge_of_the_tolerance(here: Harness) -> None:
    for secret, at in ((b"whsec_made_up_1_old", START), (SECRET.encode(), START - timedelta(seconds=300))):
        answer = await here.send(BODY, headers=sign(BODY, at, secret))
        assert answer.status == 200


async def test_the_plugins_own_words_of_refusal_are_passed_on(here: Harness, plugin: Tuned) -> None:
    reply = Reply(403, b'{"ok": false}', "application/json")
    plugin.verdict = lambda request: Refused(reason=RefusalReason.SECRET_MISMATCH, detail="no", reply=reply)
    answer = await send_scripted(here)
    assert (answer.status, await answer.read(), answer.content_type) == (403, b'{"ok": false}', "application/json")
    plugin.verdict = lambda request: Refused(reason=RefusalReason.SECRET_MISMATCH, reply=Reply(400))
    content = await problem(await send_scripted(here), 400, "webhook_refused")
    assert content["detail"] == "secret_mismatch"


async def test_a_plugin_that_tells_a_secret_is_silenced(here: Harness, plugin: Tuned) -> None:
    detail = f"expected {SECRET}, got \udcff\0" + "x" * 500
    plugin.verdict = lambda request: Refused(reason=RefusalReason.SECRET_MISMATCH, detail=detail)
    with log_lines() as lines:
        content = await problem(await send_scripted(here), 401, "webhook_refused")
        await noted(here)
    assert content["detail"].startswith("expected ***, got \N{REPLACEMENT CHARACTER}" * 1)
    (row,) = await here.rows("SELECT detail FROM refusals")
    assert row["detail"] == content["detail"]
    assert SECRET not in str(lines)


NONSENSE = [
    b"",
    b"not JSON",
    b"\xff\xfe\x00",
    b"\0",
    b"[]",
    b"null",
    b'{"id": "a\\u0000b", "type": "c\\u0000d"}',
    b'{"id": "\\ud800", "type": "\\udfff"}',
    b'{"id": 5, "type": {}}',
    b'{"id": "", "type": ""}',
    orjson.dumps({"id": "i" * 10_000, "type": "t" * 10_000}),
    b'{"id": "caf\xc3\xa9 \xf0\x9f\x98\x80\\n", "type": "\\u001b[31m"}',
    b"[" * 5000,
    b'{"id": "evt_1", "id": "evt_2"}',
]


async def test_signed_nonsense_is_kept(here: Harness) -> None:
    for body in NONSENSE:
        answer = await here.send(body)
        assert (answer.status, await answer.read()) == (200, b""), body
    rows = await here.rows("SELECT body, seen, outcome, event_id FROM inbox")
    assert sorted(row["body"] for row in rows) == sorted(NONSENSE)
    assert {(row["seen"], row["outcome"]) for row in rows} == {(1, "received")}
    assert max(len(row["event_id"] or "") for row in rows) == 512


async def test_signed_nonsense_ends_unreadable_and_harms_nobody(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, with_worker=True) as (here, _):
        for body in NONSENSE:
            assert (await here.send(body)).status == 200
        assert (await here.send(BODY)).status == 200
        await here.read()
        rows = await here.rows("SELECT outcome, count(*) FROM inbox GROUP BY outcome")
        assert {row["outcome"]: row["count"] for row in rows} == {"unreadable": 10, "ignored": 5}


async def test_a_webhook_is_kept_as_it_came_with_what_is_known_of_it(here: Harness) -> None:
    head = f"POST /webhooks/acme/example?a=%00&b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n"
    proof = f"x-example-SIGNATURE: {GOOD}\r\nX-Raw: caf\xe9\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n"
    assert (await raw(here, (head + proof).encode("latin-1") + BODY)).startswith(b"HTTP/1.1 200 OK\r\n")
    (row,) = await here.rows("SELECT * FROM inbox")
    assert row["headers"].split(b"\r\n") == [
        b"Host: x", b"Content-Length: 42", b"x-example-SIGNATURE: " + GOOD.encode(), b"X-Raw: caf\xe9", b"X-Twice: 1",
        b"X-Twice: 2",
    ]  # fmt: skip
    expected = {
        "site": "acme", "connection": "example", "event_key": "evt_1", "event_id": "evt_1",
        "event_type": "payment.pending", "method": "POST", "query": "a=%00&b=1", "body": BODY, "received_at": START,
        "last_seen_at": START, "remote_ip": "127.0.0.1", "proof": "signature", "seen": 1, "outcome": "received",
        "reason": None, "due_at": START, "attempts": 0, "lease": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


async def test_a_kept_webhook_and_its_repeats_are_counted_once_each(here: Harness) -> None:
    with log_lines() as lines:
        for _ in range(3):
            await here.send(BODY)
    assert [line["outcome"] for line in events(lines, "webhook.received")] == ["received", "repeat", "repeat"]
    (first, *_) = events(lines, "webhook.received")
    assert first == {
        "event": "webhook.received", "log_level": "info", "site": "acme", "connection": "example",
        "event_id": "evt_1", "event_type": "payment.pending", "bytes": len(BODY), "outcome": "received",
        "proof": "signature", "request_id": first["request_id"],
    }  # fmt: skip
    for outcome, count in (("received", 1), ("repeat", 2), ("not_kept", 0)):
        assert await metric(here, "gateway_webhooks_total", site="acme", outcome=outcome) == count
    assert await metric(here, "gateway_webhook_seconds_count") == 3


async def test_the_same_webhook_many_times_at_once_is_one_row(here: Harness) -> None:
    answers = await asyncio.gather(*(here.send(BODY) for _ in range(60)))
    assert {answer.status for answer in answers} == {200}
    assert await here.rows("SELECT event_id, seen FROM inbox") == [{"event_id": "evt_1", "seen": 60}]
    assert await metric(here, "gateway_webhooks_total", outcome="received") == 1
    assert await metric(here, "gateway_webhooks_total", outcome="repeat") == 59


async def test_the_same_event_with_another_body_counts_until_it_is_booked(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, with_worker=True) as (here, _):
        paid = here.provider().sample("purchase", simulated=False, event_id="evt_1")
        for body, expected in (
            (BODY, ("ignored", "not_final")),
            (paid, ("booked", None)),
            (OTHER_BODY, ("booked", None)),
        ):
            await here.send(body)
            await here.read()
            assert await here.inbox() == [expected]
        assert await here.rows("SELECT body, seen FROM inbox") == [{"body": paid, "seen": 3}]


async def test_without_a_proven_event_id_the_body_is_the_webhook_and_a_repeat_is_read_again(
    database_url: str, tmp_path: Path
) -> None:
    async with accepting(database_url, tmp_path, with_worker=True) as (here, plugin):
        plugin.verdict = lambda request: Accepted(proof="signature")
        plugin.readings["evt_1"] = []
        for times in (1, 2, 3):
            assert (await send_scripted(here)).status == 200
            await here.read()
            assert plugin.asked == ["evt_1"] * times
        assert (await send_scripted(here, b"other")).status == 200
        await here.read()
        rows = await here.rows("SELECT event_key, event_id, seen FROM inbox ORDER BY seen")
        assert [(row["event_key"][:7], row["event_id"], row["seen"]) for row in rows] == [
            ("sha256:", None, 1),
            ("sha256:", None, 3),
        ]


async def test_an_unproven_event_id_cannot_replace_the_webhook_of_that_name(here: Harness, plugin: Tuned) -> None:
    plugin.verdict = lambda request: Accepted(proof="none", event_id="evt_1")
    await send_scripted(here, b"the provider's")
    await send_scripted(here, b"somebody else's")
    rows = await here.rows("SELECT body, seen, event_id FROM inbox ORDER BY body")
    assert [(row["body"], row["seen"], row["event_id"]) for row in rows] == [
        (b"somebody else's", 1, None),
        (b"the provider's", 1, None),
    ]


@pytest.mark.parametrize("verdict", [lambda request: 1 / 0, lambda request: True, lambda request: None])
async def test_a_plugin_that_fails_to_verify_keeps_nothing_and_is_counted(
    here: Harness, plugin: Tuned, verdict: Any
) -> None:
    plugin.verdict = verdict
    with log_lines() as lines:
        answer = await send_scripted(here)
    await problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"] == "5"
    assert "scripted" in events(lines, "webhook.not_kept")[0]["error"]
    assert await here.rows("SELECT * FROM inbox") == []
    assert await metric(here, "gateway_plugin_failures_total", plugin="scripted", call="verify") == 1
    assert await metric(here, "gateway_webhooks_total", connection="scripted", outcome="not_kept") == 1


@pytest.mark.parametrize(
    "reply", [Reply(), Reply(202, b"[accepted]"), Reply(200, b'{"received": true}', "application/json; charset=utf-8")]
)
async def test_the_plugins_own_reply_is_what_the_provider_gets(here: Harness, plugin: Tuned, reply: Reply) -> None:
    plugin.verdict = lambda request: Accepted(proof="secret", event_id="evt_1", reply=reply)
    for _ in range(2):  # a repeat too
        answer = await send_scripted(here)
        assert (answer.status, await answer.read()) == (reply.status, reply.body)
        assert answer.headers["Content-Type"] == reply.content_type
    assert await here.rows("SELECT seen, proof FROM inbox") == [{"seen": 2, "proof": "secret"}]


async def test_a_challenge_is_answered_and_nothing_is_kept(here: Harness, plugin: Tuned) -> None:
    plugin.verdict = lambda request: Answered(Reply(200, request.url.partition("challenge=")[2].encode()))
    with log_lines() as lines:
        async with here.http.get(f"{here.url}{WEBHOOKS}?challenge=abc") as answer:
            assert (answer.status, await answer.read()) == (200, b"abc")
    assert events(lines, "webhook.answered")
    assert await here.rows("SELECT * FROM inbox") == []


async def test_a_get_is_a_webhook_too(here: Harness, plugin: Tuned) -> None:
    plugin.verdict = lambda request: Accepted(proof="secret")
    for query in ("sale=1", "sale=2", "sale=1"):
        async with here.http.get(f"{here.url}{WEBHOOKS}?{query}") as answer:
            assert answer.status == 200
    rows = await here.rows("SELECT method, query, seen, body FROM inbox ORDER BY query")
    assert [tuple(row.values()) for row in rows] == [("GET", "sale=1", 2, b""), ("GET", "sale=2", 1, b"")]


async def test_the_plugin_sees_the_public_address_and_the_secrets_that_are_never_kept(
    here: Harness, plugin: Tuned
) -> None:
    seen: list[Any] = []

    def verdict(request: Any) -> Accepted:
        seen.append(request)
        return Accepted(proof="secret", event_id="evt_1")

    plugin.verdict = verdict
    answer = await send_scripted(here, query="token=hush&a=1", Host="evil.example", **{"X-Token": "hush"})
    assert answer.status == 200
    assert seen[0].url == f"{here.url}{WEBHOOKS}?token=hush&a=1"
    assert seen[0].headers["x-token"] == "hush"
    (row,) = await here.rows("SELECT headers, query FROM inbox")
    assert row["query"] == "token=%2A%2A%2A&a=1"
    assert b"hush" not in row["headers"]
    assert b"X-Event: evt_1" in row["headers"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("a=1&b", "a=1&b"),
        ("a=%zz&&", "a=%zz&&"),
        ("token=s3", "token=%2A%2A%2A"),
        ("a=1&token=s3&token=s4&b=", "a=1&token=%2A%2A%2A&token=%2A%2A%2A&b="),
        ("%74oken=s3", "token=%2A%2A%2A"),
        ("token", "token=%2A%2A%2A"),
        ("a=\udcff", "a=\N{REPLACEMENT CHARACTER}"),
        ("token=s3&a=\udcff", "token=%2A%2A%2A&a=%3F"),
    ],
)
def test_secret_parameters_are_masked_and_the_rest_is_left_as_it_came(query: str, expected: str) -> None:
    assert masked(query, frozenset({"token"})) == expected


@pytest.mark.parametrize("query", ["token=s3", "a=%74"])
def test_without_secret_parameters_a_query_is_left_alone(query: str) -> None:
    assert masked(query, frozenset()) == query


async def test_what_arrives_during_a_write_shares_one_commit(here: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FEW", 1)
    async with here.database.acquire() as holder:
        held = holder.transaction()
        await held.start()
        await holder.execute(
            """
            INSERT INTO inbox (site, connection, event_key, id, method, received_at, last_seen_at, proof, seen, outcome,
                               due_at)
            VALUES ('acme', 'example', 'evt_0', gen_random_uuid(), 'POST', now(), now(), 'none', 1, 'received', now())
            """
        )
        bodies = [orjson.dumps({"id": f"evt_{n}"}) for n in range(12)]
        first = asyncio.create_task(here.send(bodies[0]))  # waits for the row that is being written
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(here.send(body)) for body in bodies[1:]]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in (first, *rest))
        await held.rollback()
    assert {answer.status for answer in await asyncio.gather(first, *rest)} == {200}
    (row,) = await here.rows("SELECT count(*) AS kept, count(DISTINCT xmin::text) AS commits FROM inbox")
    assert row == {"kept": 12, "commits": 2}


async def test_a_row_that_the_database_refuses_fails_alone(here: Harness, plugin: Tuned) -> None:
    plugin.verdict = lambda request: Accepted(proof="\0", event_id="evt_bad")  # type: ignore[arg-type]
    answers = await asyncio.gather(
        send_scripted(here), *(here.send(orjson.dumps({"id": f"evt_{n}"})) for n in range(20))
    )
    assert [answer.status for answer in answers] == [503] + [200] * 20
    assert len(await here.rows("SELECT 1 FROM inbox")) == 20


async def test_a_deadlock_with_a_booking_costs_a_second_and_nothing_else(
    here: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking holds the row of a sale and wakes the refund that waits for it; a batch repeats both the other way."""
    monkeypatch.setattr(batches, "FEW", 1)  # both in one batch
    sale, refund = b'{"id": "b_sale"}', b'{"id": "a_refund"}'
    await asyncio.gather(here.send(sale), here.send(refund))
    touch = "UPDATE inbox SET detail = 'x' WHERE event_key = $1"
    async with here.database.acquire() as booking, booking.transaction():
        await booking.execute(touch, "b_sale")
        repeats = asyncio.gather(here.send(sale), here.send(refund), here.send(sale), here.send(refund))
        await asyncio.sleep(0.2)
        await booking.execute(touch, "a_refund")
    assert [answer.status for answer in await repeats] == [200] * 4
    assert [row["seen"] for row in await here.rows("SELECT seen FROM inbox")] == [3, 3]


async def test_two_gateways_on_one_database_keep_the_same_webhooks_without_deadlock(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        accepting(database_url, tmp_path / "one") as (one, _),
        accepting(database_url, tmp_path / "two") as (two, _),
    ):
        bodies = [orjson.dumps({"id": f"evt_{n}"}) for n in range(30)]
        sent = [gateway.send(body) for body in bodies for gateway in (one, two)]
        again = [gateway.send(body) for body in reversed(bodies) for gateway in (two, one)]
        answers = await asyncio.gather(*sent, *again)
        assert {answer.status for answer in answers} == {200}
        rows = await one.rows("SELECT seen, count(*) FROM inbox GROUP BY seen")
        assert [tuple(row.values()) for row in rows] == [(4, 30)]
        received = [await metric(gateway, "gateway_webhooks_total", outcome="received") for gateway in (one, two)]
        assert sum(received) == 30


@pytest_asyncio.fixture(name="proxied")
async def _proxied(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, DatabaseProxy]]:
    async with database_proxy(database_url) as proxy, accepting(database_url, tmp_path, through=proxy.url) as (here, _):
        yield here, proxy


async def refused_for_now(here: Harness, body: bytes = BODY) -> float:
    """Send a webhook that cannot be kept; return how long the answer took."""
    started = time.monotonic()
    answer = await here.send(body)
    seconds = time.monotonic() - started
    await problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"] == "5"
    return seconds


async def kept_again(here: Harness, body: bytes = BODY, within: float = 30.0) -> None:
    """Send until it is kept."""
    async with asyncio.timeout(within):
        while (await here.send(body)).status != 200:
            await asyncio.sleep(0.05)


async def test_while_the_database_is_down_webhooks_are_sent_away_at_once(
    proxied: tuple[Harness, DatabaseProxy],
) -> None:
    here, proxy = proxied
    assert (await here.send(b'{"id": "before"}')).status == 200
    await proxy.cut()
    with log_lines() as lines:
        assert await refused_for_now(here) < 5
    assert "cannot be used now" in events(lines, "webhook.not_kept")[0]["error"]
    assert events(lines, "webhook.not_kept")[0]["event_id"] == "evt_1"
    await proxy.open()
    await kept_again(here)
    assert len(await here.rows("SELECT 1 FROM inbox")) == 2
    assert await metric(here, "gateway_webhooks_total", outcome="not_kept") == 1


async def test_while_the_database_is_frozen_the_answer_comes_within_two_seconds(
    proxied: tuple[Harness, DatabaseProxy],
) -> None:
    here, proxy = proxied
    assert (await here.send(b'{"id": "before"}')).status == 200
    proxy.freeze()
    with log_lines() as lines:
        took = await asyncio.gather(*(refused_for_now(here, orjson.dumps({"id": f"evt_{n}"})) for n in range(10)))
    assert max(took) < 6, "1.8 and a slow machine"
    assert events(lines, "webhook.not_kept")[0]["error"] == "the database did not answer in time"
    proxy.thaw()
    await kept_again(here)


async def test_connections_that_were_killed_are_replaced_without_a_lost_webhook(here: Harness) -> None:
    assert (await here.send(b'{"id": "before"}')).status == 200
    await here.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    )
    await kept_again(here, within=1)


async def test_a_server_that_is_killed_comes_back_and_nothing_that_was_answered_200_is_gone(tmp_path: Path) -> None:
    async with await embedded.start(tmp_path / "data") as server:
        await migrate(server.url)
        async with accepting(server.url, tmp_path) as (here, _):
            assert (await here.send(b'{"id": "before"}')).status == 200
            pid = int((tmp_path / "data" / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, signal.SIGKILL)
            for n in range(3):
                await kept_again(here, orjson.dumps({"id": f"evt_{n}"}), within=15)
            connection = await asyncpg.connect(server.url)
            found = await connection.fetch("SELECT event_id FROM inbox ORDER BY event_id")
            await connection.close()
            assert {"before", "evt_0", "evt_1", "evt_2"} == {row["event_id"] for row in found}


async def test_a_refusal_needs_no_database(proxied: tuple[Harness, DatabaseProxy]) -> None:
    here, proxy = proxied
    await proxy.cut()
    with log_lines() as lines:
        started = time.monotonic()
        await problem(await here.send(BODY, headers={}), 401, "webhook_refused")
        assert time.monotonic() - started < 5
        await noted(here)
    assert [line["site"] for line in events(lines, "refusal.not_noted")] == ["acme"]
    await proxy.open()


async def test_of_a_flood_while_the_database_is_away_only_so_many_refusals_wait_to_be_counted(
    proxied: tuple[Harness, DatabaseProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "NOTES_PENDING", 3)
    here, proxy = proxied
    proxy.freeze()
    for _ in range(5):
        assert (await here.send(BODY, headers={})).status == 401
    assert len(inside(here).receiver._background) == 3
    proxy.thaw()
    await noted(here)
    (row,) = await here.rows("SELECT count FROM refusals")
    assert row["count"] == 3


async def test_closing_finishes_what_is_being_written(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path) as (here, _):
        receiver = inside(here).receiver
        assert (await here.send(BODY, headers={})).status == 401
        await receiver.close()
        assert await here.rows("SELECT count FROM refusals") == [{"count": 1}]
        await receiver.close()
