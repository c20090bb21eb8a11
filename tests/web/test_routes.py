"""What every answer has: a request id, and problem details when something is wrong."""

import asyncio
from typing import Any

import aiohttp
import pytest
from accepting import Tuned, events, inside, log_lines, problem, raw
from harness import Harness
from yarl import URL

from gateway.web.errors import TITLES

BODY = b'{"id": "evt_1"}'


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 64, "0"])
async def test_a_request_id_that_is_harmless_is_kept_in_the_answer_and_the_log(here: Harness, sent: str) -> None:
    with log_lines() as lines:
        signed = here.provider().sign(BODY, here.clock())
        answer = await here.send(BODY, headers={**signed, "X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == sent
    assert events(lines, "webhook.received")[0]["request_id"] == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 65, "a b", "a/b", "caf\xe9", "<script>", 'a"b', "a\tb"])
async def test_any_other_is_replaced(here: Harness, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-Id": sent}
    found = []
    for _ in range(2):
        async with here.http.get(f"{here.url}/healthz", headers=headers) as answer:
            found.append(answer.headers["X-Request-Id"])
    assert all(len(one) == 16 and one != sent for one in found)
    assert found[0] != found[1]


async def test_every_answer_has_one(here: Harness) -> None:
    for method, path in (
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/nothing"), ("PUT", "/healthz"),
        ("OPTIONS", "/checkouts/acme"), ("POST", "/webhooks/acme/example"),
    ):  # fmt: skip
        async with here.http.request(method, here.url + path) as answer:
            assert answer.headers["X-Request-Id"], path


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "//", "/webhooks/a/b/c", "/%00", "/caf%C3%A9", "/..%2f.."])
async def test_an_unknown_path_is_a_problem_with_details(here: Harness, path: str) -> None:
    async with here.http.get(URL(here.url + path, encoded=True)) as answer:
        await problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/healthz", "GET,HEAD"),
        ("DELETE", "/metrics", "GET,HEAD"),
        ("GET", "/checkouts/acme", "OPTIONS,POST"),
        ("PUT", "/api/checkout/create", "OPTIONS,POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(here: Harness, method: str, path: str, allowed: str) -> None:
    async with here.http.request(method, here.url + path) as answer:
        await problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_get_without_a_body(here: Harness, path: str) -> None:
    async with here.http.head(here.url + path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_a_mistake_of_ours_is_a_500_that_tells_only_the_log(here: Harness) -> None:
    inside(here).receiver._doctor = None  # type: ignore[assignment]
    with log_lines() as lines:
        answer = await here.send(BODY, headers={})
        content = await problem(answer, 500, "internal_error")
    assert "NoneType" not in str(content)
    (line,) = events(lines, "request.failed")
    assert isinstance(line["exc_info"], AttributeError)
    assert line["request_id"] == content["request_id"]


async def test_an_expectation_that_nobody_can_meet_is_refused(here: Harness) -> None:
    head = b"POST /webhooks/acme/example HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n"
    answer = await raw(here, head)
    assert answer.split(b" ", 2)[1] == b"417"
    assert b"X-Request-Id: " in answer


async def test_a_client_that_waits_for_permission_gets_it(here: Harness) -> None:
    headers = {**here.provider().sign(BODY, here.clock())}
    async with here.http.post(
        f"{here.url}/webhooks/acme/example", data=BODY, headers=headers, expect100=True
    ) as answer:
        assert answer.status == 200


async def test_one_connection_carries_many_requests(here: Harness) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as one:
        for n in range(5):
            body = b'{"id": "evt_%d"}' % n
            signed = here.provider().sign(body, here.clock())
            async with one.post(f"{here.url}/webhooks/acme/example", data=body, headers=signed) as answer:
                assert answer.status == 200
        assert len(connector._conns) == 1


async def test_log_lines_of_requests_at_the_same_time_keep_their_own_ids(here: Harness, plugin: Tuned) -> None:
    def signed(n: int) -> dict[str, Any]:
        body = b'{"id": "evt_%d"}' % n
        return {**here.provider().sign(body, here.clock()), "X-Request-Id": f"r{n}"}

    with log_lines() as lines:
        await asyncio.gather(*(here.send(b'{"id": "evt_%d"}' % n, headers=signed(n)) for n in range(20)))
    assert {(line["event_id"], line["request_id"]) for line in events(lines, "webhook.received")} == {
        (f"evt_{n}", f"r{n}") for n in range(20)
    }


def test_every_status_in_use_has_a_title() -> None:
    assert set(TITLES) >= {400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503}
