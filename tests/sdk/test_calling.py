import asyncio
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from gateway.sdk import (
    Answer,
    Caller,
    Rejected,
    Unavailable,
    headers_of,
    json_object,
    server_time,
    shown,
)


def rejected(answer):
    return Rejected("Acme said no", code=json_object(answer.body).get("code"), request_id=answer.headers.get("Id"))


ACME = Caller(title="Acme", rejected=rejected, max_answer=1000)
HEADERS = {"Authorization": "Bearer hidden"}


def answer(status=200, body=b"{}", **headers):
    return Answer(status=status, headers=headers_of(list(headers.items())), body=body)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as session:
        yield session


@pytest.fixture
async def serve(aiohttp_server):
    async def start(handler):
        app = web.Application()
        app.router.add_route("*", "/v1/things", handler)
        server = await aiohttp_server(app)
        return URL(str(server.make_url("/v1/things"))).with_query(secret="hidden")

    return start


async def test_a_request_goes_out_as_given_and_the_answer_comes_back_whole(http, serve):
    seen = []

    async def handler(request):
        seen.append((request.method, request.query_string, request.headers["Authorization"], await request.read()))
        return web.Response(status=201, body=b"x" * 1000, headers={"Id": "req_1"})

    got = await ACME.send(http, "POST", await serve(handler), HEADERS, b"body")
    assert seen == [("POST", "secret=hidden", "Bearer hidden", b"body")]
    assert (got.status, got.body, got.headers["id"]) == (201, b"x" * 1000, "req_1")


async def test_a_redirect_is_not_followed(http, serve):
    async def handler(_):
        return web.Response(status=302, headers={"Location": "https://elsewhere.example.com"})

    assert (await ACME.send(http, "GET", await serve(handler), {})).status == 302


async def test_an_answer_that_does_not_end_is_cut(http, serve):
    async def handler(_):
        return web.Response(body=b"x" * 1001)

    with pytest.raises(Unavailable, match="Acme's answer to GET /v1/things is longer than 1000 bytes"):
        await ACME.send(http, "GET", await serve(handler), {})


async def test_trouble_of_the_network_is_unavailable_and_shows_no_secret(http, serve):
    async def silent(request):
        request.transport.close()
        return web.Response()

    gone = URL("http://127.0.0.1:1/v1/things").with_query(secret="hidden")
    for address in (await serve(silent), gone):
        with pytest.raises(Unavailable, match="the connection to Acme failed for GET /v1/things: ") as caught:
            await ACME.send(http, "GET", address, HEADERS)
        assert "hidden" not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_no_answer_in_time_is_unavailable(http, serve):
    async def slow(_):
        await asyncio.sleep(0.6)
        return web.Response()

    with pytest.raises(Unavailable, match="Acme did not answer GET /v1/things in time"):
        await ACME.send(http, "GET", await serve(slow), {})


def test_a_success_is_its_json_object():
    assert ACME.content(answer(201, b'{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7"])
def test_a_success_without_an_object_is_unavailable(body):
    with pytest.raises(Unavailable, match="Acme answered 200 without a JSON object"):
        ACME.content(answer(200, body))


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": " 42 "}, timedelta(seconds=42)),
        (429, {"Retry-After": "999999999999"}, timedelta(days=1)),
        (429, {"Retry-After": "soon"}, None),
        (503, {"Retry-After": "3"}, timedelta(seconds=3)),
        (408, {}, None),
        (425, {}, None),
        (500, {}, None),
        (599, {}, None),
    ],
)
def test_trouble_that_passes_says_when_to_come_back(status, headers, wait):
    with pytest.raises(Unavailable, match=f"Acme answered {status}") as caught:
        ACME.content(answer(status, **headers))
    assert caught.value.retry_after == wait


def test_a_company_may_have_more_statuses_that_pass():
    acme = Caller(title="Acme", rejected=rejected, passing=frozenset({409}))
    assert isinstance(acme.failure(answer(409)), Unavailable)
    assert isinstance(ACME.failure(answer(409)), Rejected)


@pytest.mark.parametrize(("status", "says"), [(400, "Acme said no"), (302, "redirect \\(302\\): check base_url")])
def test_a_refusal_is_the_companys_own_and_a_redirect_keeps_its_names(status, says):
    with pytest.raises(Rejected, match=says) as caught:
        ACME.content(answer(status, b'{"code": "no"}', Id="req_1"))
    assert (caught.value.code, caught.value.request_id) == ("no", "req_1")


@pytest.mark.parametrize(
    ("date", "hour"),
    [
        ("Mon, 02 Mar 2026 09:30:15 GMT", 9),
        ("Mon, 02 Mar 2026 09:30:15 -0000", 9),
        ("Mon, 02 Mar 2026 11:30:15 +0200", 9),
        ("yesterday", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_the_servers_clock(date, hour):
    time = server_time(answer(Date=date))
    assert (time.hour if time else None) == hour
    assert time is None or time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("value", "text"), [("plain", "plain"), ("a\nb\x00", "a b "), ("x" * 300, "x" * 200), ("", None), (7, None)]
)
def test_words_of_a_company_are_one_line_of_bounded_length(value, text):
    assert shown(value) == text


def test_an_answer_shows_neither_headers_nor_body():
    assert repr(answer(200, b"hidden", Cookie="hidden")) == "Answer(status=200)"
