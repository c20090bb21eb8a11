"""What a delivery's call makes of every answer, and of none."""

import gzip
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web

from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.outbound import KEPT_ANSWER, post, posting_session

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "wk-not-to-be-seen"


def now() -> datetime:
    return NOON


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with posting_session() as opened:
        yield opened


def request_to(url: str, secret: str = SECRET) -> OutgoingRequest:
    return OutgoingRequest(
        url=url,
        body=b"{}",
        headers=(("content-type", "application/json"), ("Idempotency-Key", "k")),
        secret_headers=(("x-faurya-write-key", secret),),
    )


async def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/"


async def test_the_request_arrives_as_it_was_built(aiohttp_server, session):
    seen: dict[str, object] = {}

    async def take(request: web.Request) -> web.Response:
        seen.update(body=await request.read(), headers=request.headers.copy(), method=request.method)
        return web.Response(status=201, text="fine")

    app = web.Application()
    app.router.add_post("/api/revenue", take)
    server = await aiohttp_server(app)
    answer = await post(session, request_to(str(server.make_url("/api/revenue"))), now)
    assert answer == Answer(status=201, body="fine")
    assert (seen["method"], seen["body"]) == ("POST", b"{}")
    headers = seen["headers"]
    assert headers["x-faurya-write-key"] == SECRET
    assert headers["Idempotency-Key"] == "k"
    assert headers["User-Agent"] == "faurya-gateway"
    assert headers["Content-Length"] == "2"


async def test_no_answer_in_time_is_unclear(raw_server):
    async def sleep(reader, writer):
        await reader.read()

    url = await raw_server(sleep)
    async with posting_session(timedelta(seconds=0.2)) as impatient:
        answer = await post(impatient, request_to(url), now)
    assert (answer.status, answer.sent, answer.error) == (None, True, "TimeoutError")


async def test_an_answer_that_trickles_past_the_deadline_keeps_its_status(raw_server):
    async def trickle(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()

    url = await raw_server(trickle)
    async with posting_session(timedelta(seconds=0.2)) as impatient:
        answer = await post(impatient, request_to(url), now)
    assert (answer.status, answer.body, answer.error) == (200, "half", "the answer broke off: TimeoutError")


async def test_half_an_answer_keeps_its_status_and_what_came(raw_server, session):
    async def half(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nDuplicate transact")

    answer = await post(session, request_to(await raw_server(half)), now)
    assert (answer.status, answer.body) == (400, "Duplicate transact")
    assert answer.error == "the answer broke off: ClientPayloadError"


async def test_a_server_that_hangs_up_after_the_request_is_unclear(raw_server, session):
    async def hang_up(reader, writer):
        return

    answer = await post(session, request_to(await raw_server(hang_up)), now)
    assert (answer.status, answer.sent, answer.error) == (None, True, "ServerDisconnectedError")


@pytest.mark.parametrize(
    "noise", [b"nonsense\r\n\r\n", b"HTTP/1.1 2oo OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 99999]
)
async def test_an_answer_that_is_not_http_is_unclear(raw_server, session, noise):
    async def babble(reader, writer):
        writer.write(noise)
        await writer.drain()

    answer = await post(session, request_to(await raw_server(babble)), now)
    assert (answer.status, answer.sent) == (None, True)
    assert answer.error


async def test_a_refused_connection_was_never_sent(session):
    answer = await post(session, request_to(await closed_port()), now)
    assert (answer.status, answer.sent) == (None, False)
    assert answer.error.startswith("ClientConnectorError: Cannot connect to host 127.0.0.1")


async def test_an_unknown_host_was_never_sent(session):
    answer = await post(session, request_to("http://no-such-host.invalid/"), now)
    assert (answer.status, answer.sent) == (None, False)


async def test_a_failed_tls_handshake_was_never_sent(raw_server, session):
    async def plain(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 this is plain http\r\n\r\n")

    url = await raw_server(plain, after_request=False)
    answer = await post(session, request_to(url.replace("http:", "https:")), now)
    assert (answer.status, answer.sent) == (None, False)


async def test_a_handshake_that_never_ends_was_never_sent(raw_server):
    async def silent(reader, writer):
        await reader.read()

    url = await raw_server(silent, after_request=False)
    async with posting_session(timedelta(seconds=0.4)) as impatient:
        answer = await post(impatient, request_to(url.replace("http:", "https:")), now)
    assert (answer.status, answer.sent) == (None, False)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "not an address", "http://" + "a" * 70 + ".invalid/"])
async def test_an_address_that_cannot_be_called_was_never_sent(session, url):
    answer = await post(session, request_to(url), now)
    assert (answer.status, answer.sent) == (None, False)


async def test_a_key_with_a_line_break_is_an_answer_that_does_not_quote_it(session):
    answer = await post(session, request_to("http://127.0.0.1:9/", secret=f"{SECRET}\r\nx: y"), now)
    assert (answer.status, answer.sent) == (None, False)
    assert SECRET not in repr(answer)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(aiohttp_server, session, status):
    followed: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def elsewhere(request: web.Request) -> web.Response:
        followed.append(request.method)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", redirect)
    app.router.add_route("*", "/elsewhere", elsewhere)
    server = await aiohttp_server(app)
    answer = await post(session, request_to(str(server.make_url("/"))), now)
    assert (answer.status, followed) == (status, [])


async def test_a_huge_answer_is_cut_and_its_connection_closed(raw_server, session):
    written = 0

    async def flood(reader, writer):
        nonlocal written
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    answer = await post(session, request_to(await raw_server(flood)), now)
    assert answer.status == 500
    assert answer.body == "x" * (KEPT_ANSWER - 1) + "…"
    assert written < 100_000_000


async def test_an_answer_of_just_the_kept_size_is_whole(raw_server, session):
    async def exact(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % KEPT_ANSWER + b"x" * KEPT_ANSWER)

    answer = await post(session, request_to(await raw_server(exact)), now)
    assert answer == Answer(status=200, body="x" * KEPT_ANSWER)


async def test_a_compressed_bomb_is_cut_too(raw_server, session):
    bomb = gzip.compress(b"0" * 50_000_000)

    async def explode(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        await writer.drain()

    answer = await post(session, request_to(await raw_server(explode)), now)
    assert (answer.status, len(answer.body)) == (200, KEPT_ANSWER)


async def test_an_encoding_that_lies_keeps_the_status(raw_server, session):
    async def lie(reader, writer):
        writer.write(b"HTTP/1.1 409 Conflict\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain")

    answer = await post(session, request_to(await raw_server(lie)), now)
    assert (answer.status, answer.body) == (409, "")
    assert answer.error.startswith("the answer broke off")


async def test_a_body_is_made_storable(raw_server, session):
    body = b"a\0b\xff\x1b[31m\ttab\r\nline \xed\xa0\x80"

    async def dirty(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    answer = await post(session, request_to(await raw_server(dirty)), now)
    assert answer.body.replace("\N{REPLACEMENT CHARACTER}", "?") == "a?b??[31m tab\nline ???"


@pytest.mark.parametrize(
    ("header", "wait"),
    [("120", timedelta(minutes=2)), ("Mon, 23 Nov 2026 12:05:00 GMT", timedelta(minutes=5)), ("soon", None)],
)
async def test_retry_after_is_read(raw_server, session, header, wait):
    async def limited(reader, writer):
        head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())

    answer = await post(session, request_to(await raw_server(limited)), now)
    assert (answer.status, answer.retry_after) == (429, wait)


async def test_a_connection_is_used_again(aiohttp_server, session):
    peers: set[object] = set()

    async def note(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", note)
    server = await aiohttp_server(app)
    for _ in range(3):
        await post(session, request_to(str(server.make_url("/"))), now)
    assert len(peers) == 1
