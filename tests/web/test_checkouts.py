"""Who may create a checkout, and what the request may say."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from accepting import WITH_SCRIPTED, Tuned, accepting, metric, problem
from harness import Harness

from gateway.web.checkouts import parse_order
from gateway.web.errors import Problem

ORIGIN = {"Origin": "https://www.acme.example"}
GUIDE = "/api/checkout/create"
PRO = {"plan": "pro"}
BACKEND = {"Authorization": "Bearer globex-backend-key"}


async def ask(here: Harness, path: str, content: Any = None, *, method: str = "POST", **headers: str) -> Any:
    body = content if isinstance(content, bytes) else orjson.dumps(PRO if content is None else content)
    headers = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await here.http.request(method, here.url + path, data=body, headers=headers)
    await answer.read()
    return answer


async def test_a_page_of_the_site_gets_an_address_to_send_its_buyer_to(here: Harness) -> None:
    for path, status in ((GUIDE, 200), ("/checkouts/acme", 201)):
        answer = await ask(here, path, **ORIGIN)
        content = orjson.loads(await answer.read())
        assert (answer.status, answer.content_type) == (status, "application/json"), content
        assert sorted(content) == ["checkoutId", "orderId", "url"]
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
        assert answer.headers["Vary"] == "Origin"
        assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]


async def test_the_guides_browser_snippet_works_unchanged(here: Harness) -> None:
    order = {"planId": "pro", "faVisitorId": "site_123:visitor_456", "faSessionId": None, "faAttributionToken": None}
    answer = await ask(here, GUIDE, order, **ORIGIN)
    assert answer.status == 200
    (row,) = await here.rows("SELECT plan, visitor_id, session_id, dropped FROM checkouts")
    assert row == {"plan": "pro", "visitor_id": "site_123:visitor_456", "session_id": None, "dropped": []}


@pytest.mark.parametrize(
    ("content", "plan"),
    [
        ({"plan": "pro"}, "pro"),
        ({"planId": "pro"}, "pro"),
        ({"plan": "team", "planId": "pro"}, "team"),
        ({"plan": None, "planId": "pro"}, "pro"),
        ({"priceId": "price_pro"}, "pro"),
        ({"plan": "pro", "priceId": "price_seat"}, "pro"),
        ({"plan": "pro", "quantity": None, "customerEmail": "", "something": {"else": 1}}, "pro"),
        ({"plan": "team", "quantity": 7}, "team"),
    ],
)
async def test_a_plan_is_named_in_several_ways(here: Harness, content: dict[str, Any], plan: str) -> None:
    assert (await ask(here, "/checkouts/acme", content)).status == 201
    assert [row["plan"] for row in await here.rows("SELECT plan FROM checkouts")] == [plan]


WRONG: list[tuple[Any, list[str]]] = [
    ({}, ["plan"]),
    ({"plan": None, "planId": None, "priceId": None}, ["plan"]),
    ({"plan": ""}, ["plan"]),
    ({"plan": 1}, ["plan"]),
    ({"plan": ["pro"]}, ["plan"]),
    ({"plan": False}, ["plan"]),
    ({"planId": 1}, ["planId"]),
    ({"planId": {}}, ["planId"]),
    ({"priceId": 1}, ["priceId"]),
    ({"priceId": ""}, ["priceId"]),
    ({"plan": "pro", "quantity": "1"}, ["quantity"]),
    ({"plan": "pro", "quantity": 0}, ["quantity"]),
    ({"plan": "pro", "quantity": -1}, ["quantity"]),
    ({"plan": "pro", "quantity": 1.0}, ["quantity"]),
    ({"plan": "pro", "quantity": True}, ["quantity"]),
    ({"plan": "pro", "quantity": 2}, ["quantity"]),
    ({"plan": "team", "quantity": 1}, ["quantity"]),
    ({"plan": "team", "quantity": 51}, ["quantity"]),
    ({"plan": "pro", "customerEmail": "nobody"}, ["customerEmail"]),
    ({"plan": "pro", "customerEmail": 5}, ["customerEmail"]),
    ({"plan": "pro", "customerEmail": "a@b\n"}, ["customerEmail"]),
    ({"plan": "pro", "customerEmail": "a" * 65 + "@example.com"}, ["customerEmail"]),
    (b'{"plan": "pro", "customerEmail": "a\\ud800@example.com"}', ["customerEmail"]),
    (b'{"plan": "pro", "quantity": NaN}', ["quantity"]),
    (b'{"plan": "pro", "quantity": 1e2}', ["quantity"]),
    (b'{"plan": "pro", "quantity": 123456789012345678901234567890}', ["quantity"]),
    (
        {"plan": 1, "priceId": 2, "quantity": "x", "customerEmail": "y"},
        ["plan", "priceId", "quantity", "customerEmail"],
    ),
    (b"", ["body"]),
    (b"not JSON", ["body"]),
    (b"{'plan': 'pro'}", ["body"]),
    (b'{"plan": "pro"', ["body"]),
    (b'\xff{"plan": "pro"}', ["body"]),
    (b'{"plan": "\xff"}', ["body"]),
    (b"[" * 60_000, ["body"]),
    (b"1" * 10_000, ["body"]),
    (b"[]", ["body"]),
    (b'"pro"', ["body"]),
    (b"null", ["body"]),
]


async def test_every_field_that_is_not_right_is_named(database_url: str, tmp_path: Path) -> None:
    text = WITH_SCRIPTED.replace("sites:\n", "limits: {{checkouts_per_minute_per_ip: 1000}}\nsites:\n", 1)
    text = text.replace("per_ip: 1000", "per_ip: 1000, checkouts_per_minute: 1000", 1)
    async with accepting(database_url, tmp_path, text=text) as (here, _):
        for content, fields in WRONG:
            answer = await ask(here, "/checkouts/acme", content)
            found = await problem(answer, 400, "invalid_request")
            assert [error["field"] for error in found["errors"]] == fields, content
            assert all(error["message"] for error in found["errors"]), content
        assert await here.rows("SELECT 1 FROM checkouts") == []


@pytest.mark.parametrize("key", ["", " ", "caf\xe9", "a b", "k" * 256])
async def test_a_key_must_be_printable_ascii(here: Harness, key: str) -> None:
    answer = await ask(here, "/checkouts/acme", Idempotency_Key=key)
    found = await problem(answer, 400, "invalid_request")
    assert [error["field"] for error in found["errors"]] == ["Idempotency-Key"]


def test_a_key_with_a_raw_byte_is_refused_and_a_long_one_is_not() -> None:
    with pytest.raises(Problem):
        parse_order(b'{"plan": "pro"}', "caf\udce9", None)
    assert parse_order(b'{"plan": "pro"}', "k" * 255, None).idempotency_key == "k" * 255


@pytest.mark.parametrize(
    "content", [{"plan": "Pro"}, {"plan": "../pro"}, {"priceId": "price_unknown"}, {"plan": "x" * 9999}]
)
async def test_a_browser_can_only_order_what_the_site_lists(here: Harness, content: dict[str, str]) -> None:
    await problem(await ask(here, "/checkouts/acme", content), 422, "unknown_plan")


@pytest.mark.parametrize(
    "sent",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "nonsense"],
)
async def test_only_json_is_accepted_so_that_no_page_can_send_it_without_asking(
    here: Harness, sent: str | None
) -> None:
    headers = {"Content-Type": sent} if sent else {}
    async with here.http.post(
        f"{here.url}/checkouts/acme", data=orjson.dumps(PRO), headers=headers, skip_auto_headers=["Content-Type"]
    ) as answer:
        await problem(answer, 415, "unsupported_media_type")


async def test_a_charset_beside_json_is_fine(here: Harness) -> None:
    answer = await ask(here, "/checkouts/acme", **{"Content-Type": "Application/JSON; charset=utf-8"})
    assert answer.status == 201


async def test_a_checkout_is_small(here: Harness) -> None:
    await problem(await ask(here, "/checkouts/acme", b" " * 65_537), 413, "payload_too_large")


@pytest.mark.parametrize("path", [GUIDE, "/checkouts/acme"])
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://www.acme.example", "https://www.acme.example:8443",
     "https://www.acme.example.evil.example", "https://WWW.acme.example/"],
)  # fmt: skip
async def test_another_origin_is_not_allowed_and_cannot_even_read_that(here: Harness, path: str, origin: str) -> None:
    answer = await ask(here, path, Origin=origin)
    content = await problem(answer, 403, "origin_not_allowed")
    assert "origins" in content["detail"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


async def test_the_origin_of_another_site_of_ours_is_told_so_readably(here: Harness) -> None:
    answer = await ask(here, "/checkouts/acme", Origin="https://globex.example")
    await problem(answer, 403, "origin_not_allowed")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://globex.example"


async def test_the_site_is_found_by_origin_then_by_host(here: Harness) -> None:
    assert (await ask(here, GUIDE, {"plan": "basic"}, Origin="https://globex.example")).status == 200
    assert (await ask(here, GUIDE, Host="www.ACME.example")).status == 200
    assert (
        await ask(here, GUIDE, {"plan": "basic"}, Host="www.acme.example", Origin="https://globex.example")
    ).status == 200
    await problem(await ask(here, GUIDE, Host="globex.example"), 401, "unauthorized")
    await problem(await ask(here, GUIDE, Host="elsewhere.example"), 403, "origin_not_allowed")
    rows = await here.rows("SELECT site, count(*) FROM checkouts GROUP BY site ORDER BY site")
    assert [tuple(row.values()) for row in rows] == [("acme", 1), ("globex", 2)]


async def test_an_unknown_site_is_a_404(here: Harness) -> None:
    await problem(await ask(here, "/checkouts/nobody"), 404, "unknown_site")


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic globex-backend-key", "globex-backend-key",
             "Bearer globex-backend-key ", "Bearer caf\udce9"]
)  # fmt: skip
async def test_without_an_origin_the_backend_key_is_needed(here: Harness, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    answer = await ask(here, "/checkouts/globex", {"plan": "basic"}, **headers)
    if sent == "Bearer globex-backend-key ":  # white space at the end of a header is not part of it
        assert answer.status == 201
        return
    content = await problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "globex-backend-key" not in str(content)


async def test_a_backend_with_the_key_needs_no_origin_and_a_page_with_its_origin_no_key(here: Harness) -> None:
    assert (await ask(here, "/checkouts/globex", {"plan": "basic"}, **BACKEND)).status == 201
    assert (await ask(here, "/checkouts/globex", {"plan": "basic"}, Origin="https://globex.example")).status == 201


async def test_the_key_does_not_make_up_for_a_wrong_origin(here: Harness) -> None:
    answer = await ask(here, "/checkouts/globex", {"plan": "basic"}, Origin="https://evil.example", **BACKEND)
    await problem(answer, 403, "origin_not_allowed")


async def test_where_no_key_is_set_a_backend_needs_none(here: Harness) -> None:
    assert (await ask(here, "/checkouts/acme")).status == 201


@pytest.mark.parametrize("path", [GUIDE, "/checkouts/acme"])
async def test_a_browser_that_asks_first_is_told_what_it_may_send(here: Harness, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,idempotency-key"}
    async with here.http.options(here.url + path, headers={**ORIGIN, **asked}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, idempotency-key"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "X-Request-Id" in answer.headers
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (GUIDE, {"Origin": "https://evil.example"}),
        (GUIDE, {}),
        ("/checkouts/acme", {"Origin": "https://globex.example"}),
        ("/checkouts/acme", {}),
        ("/checkouts/nobody", ORIGIN),
    ],
)
async def test_a_browser_of_elsewhere_is_told_no(here: Harness, path: str, headers: dict[str, str]) -> None:
    async with here.http.options(here.url + path, headers=headers) as answer:
        await problem(answer, 403, "origin_not_allowed")
    assert "Access-Control-Allow-Methods" not in answer.headers


async def test_a_page_can_read_every_error(here: Harness, plugin: Tuned) -> None:
    plugin.checkout = lambda request: 1 / 0
    cases = [
        (400, {"content": {}}),
        (422, {"content": {"plan": "none"}}),
        (502, {"content": {"plan": "tuned"}}),
        (415, {"Content_Type": "text/plain"}),
        (413, {"content": b" " * 70_000}),
        (405, {"method": "PUT"}),
    ]
    for status, what in cases:
        options = {name.replace("_", "-") if name == "Content_Type" else name: value for name, value in what.items()}
        content, method = options.pop("content", None), options.pop("method", "POST")
        answer = await ask(here, "/checkouts/acme", content, method=method, **ORIGIN, **options)
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"], status
    async with here.http.get(f"{here.url}/checkouts/acme/more", headers=ORIGIN) as answer:
        await problem(answer, 404, "not_found")
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]


async def test_nobody_else_gets_cors_headers(here: Harness) -> None:
    async with here.http.get(f"{here.url}/healthz", headers=ORIGIN) as answer:
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


LIMITED = WITH_SCRIPTED.replace(
    "sites:\n", "limits: {{checkouts_per_minute_per_ip: 2, checkouts_per_minute: 3}}\nsites:\n", 1
)
TRUSTING = LIMITED.replace("server: {{", "server: {{trusted_proxies: [127.0.0.1], ", 1)


async def test_too_many_checkouts_of_one_address_wait(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=TRUSTING) as (here, plugin):
        answers = await asyncio.gather(*(ask(here, "/checkouts/acme", {"plan": "tuned"}, **ORIGIN) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [201, 201, 429]
        (late,) = [answer for answer in answers if answer.status == 429]
        await problem(late, 429, "rate_limited")
        assert 1 <= int(late.headers["Retry-After"]) <= 60
        assert late.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
        other = {"X-Forwarded-For": "192.0.2.9"}
        assert (await ask(here, "/checkouts/acme", **other)).status == 201, "another address may"
        assert (await ask(here, "/checkouts/globex", {"plan": "basic"}, **BACKEND)).status == 201, "another site may"
        third = {"X-Forwarded-For": "192.0.2.10"}
        await problem(await ask(here, "/checkouts/acme", **third), 429, "rate_limited")
        assert len(plugin.ordered) == 2
        assert await metric(here, "gateway_checkouts_total", site="acme", outcome="created") == 3


async def test_without_a_trusted_proxy_a_forwarded_address_does_not_help(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=LIMITED) as (here, _):
        found = [(await ask(here, "/checkouts/acme", **{"X-Forwarded-For": f"192.0.2.{n}"})).status for n in range(3)]
        assert found == [201, 201, 429]


async def test_a_webhook_has_no_rate_limit(database_url: str, tmp_path: Path) -> None:
    async with accepting(database_url, tmp_path, text=LIMITED) as (here, _):
        answers = await asyncio.gather(*(here.send(orjson.dumps({"id": f"e{n}"})) for n in range(20)))
        assert {answer.status for answer in answers} == {200}


async def test_a_slow_order_is_given_up(database_url: str, tmp_path: Path) -> None:
    text = WITH_SCRIPTED.replace("server: {{", "server: {{body_deadline: 1s, ", 1)

    async def slowly() -> Any:
        yield b"{"
        await asyncio.sleep(3)
        yield b"}"

    async with accepting(database_url, tmp_path, text=text) as (here, _):
        headers = {"Content-Type": "application/json"}
        async with here.http.post(
            f"{here.url}/checkouts/acme", data=slowly(), headers=headers, timeout=aiohttp.ClientTimeout(5)
        ) as answer:
            await problem(answer, 408, "body_timeout")
