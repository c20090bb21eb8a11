"""The session that plugins get keeps its limits without their help."""

import pytest
from aiohttp import ClientPayloadError, ClientResponseError, web

from gateway import outbound


@pytest.fixture
async def server(aiohttp_server):
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/me"})

    async def me(request: web.Request) -> web.Response:
        answer = web.json_response({"cookie": request.headers.get("Cookie"), "cookies": len(request.cookies)})
        answer.set_cookie("seen", "1")
        return answer

    async def big(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(b"x" * 1024)
        return answer

    app = web.Application()
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/me", me)
    app.router.add_get("/big", big)
    return await aiohttp_server(app)


async def test_a_redirect_is_an_error_by_itself(server, session):
    with pytest.raises(ClientResponseError, match="redirects are not followed") as caught:
        await session.get(server.make_url("/redirect"))
    assert caught.value.status == 302


async def test_a_call_that_says_so_gets_the_redirect_as_an_answer(server, session):
    async with session.get(server.make_url("/redirect"), allow_redirects=False) as answer:
        assert answer.status == 302


async def test_cookies_are_not_kept(server, session):
    for _ in range(2):
        async with session.get(server.make_url("/me")) as answer:
            assert await answer.json() == {"cookie": None, "cookies": 0}


async def test_an_answer_can_be_read_twice(server, session):
    async with session.get(server.make_url("/me")) as answer:
        assert await answer.read() == await answer.read()
    assert await answer.text()


async def test_an_answer_without_end_is_an_error(server, session, monkeypatch):
    monkeypatch.setattr(outbound, "LARGEST_ANSWER", 10_000)
    async with session.get(server.make_url("/big")) as answer:
        with pytest.raises(ClientPayloadError, match="larger than 10000 bytes"):
            await answer.read()


async def test_a_body_that_breaks_off_is_an_error(raw_server, session):
    async def half(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async with session.post(await raw_server(half), data=b"{}") as answer:
        with pytest.raises(ClientPayloadError):
            await answer.text()


async def test_proxies_of_the_environment_are_ignored(server, session, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with session.get(server.make_url("/me")) as answer:
        assert answer.status == 200


async def test_the_timeout_is_ten_seconds(session):
    assert session.timeout.total == 10
