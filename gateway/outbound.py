"""
The only HTTP client: calls to Faurya, and the session that provider plugins get.

Every call made here has a total timeout, follows no redirect (a redirected POST of money is a configuration fault,
and a redirect could carry a key to another host), keeps no cookies, ignores proxy variables of the environment, and
reads no answer without end.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import aiohttp

from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.domain.text import printable

TIMEOUT = timedelta(seconds=10)
"""For a whole call, the answer's body included."""

CONNECT_TIMEOUT = timedelta(seconds=5)
"""For name look-up, connection and TLS. Shorter than `TIMEOUT`, so that "never sent" can be told from "unclear"."""

KEPT_ANSWER = 4096
"""Bytes of a destination's answer that are read and kept."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes, decompressed, of an answer to a plugin. 200 Paddle events, a full page of its list, are about 2 MiB."""

LONGEST_RETRY_AFTER = timedelta(days=30)
"""More is cut, so that no date overflows."""

NEVER_SENT = (
    aiohttp.ClientConnectorError,  # refused, unreachable, unknown name, TLS not agreed
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    ValueError,  # a line break in a header, a host name that cannot be encoded
)


class CappedResponse(aiohttp.ClientResponse):
    """An answer whose `read()`, and so `text()` and `json()`, ends with `ClientPayloadError` past `LARGEST_ANSWER`."""

    async def read(self) -> bytes:
        """Return the body."""
        if self._body is None:
            body = bytearray()
            try:
                await _fill(body, self.content, LARGEST_ANSWER)
            except BaseException:
                self.close()
                raise
            if len(body) > LARGEST_ANSWER:
                self.close()
                raise aiohttp.ClientPayloadError(f"the answer is larger than {LARGEST_ANSWER} bytes")
            self._body = bytes(body)
        return await super().read()


def client_session(timeout: timedelta = TIMEOUT) -> aiohttp.ClientSession:
    """
    Return a session for one event loop; the caller closes it.

    A redirect raises `aiohttp.ClientResponseError` with the redirect's status unless the call itself says
    `allow_redirects=False`, which returns it as an answer.
    """
    refuse_redirects = aiohttp.TraceConfig()
    refuse_redirects.on_request_redirect.append(_refuse_redirect)
    return _session(timeout, [refuse_redirects])


def posting_session(timeout: timedelta = TIMEOUT) -> aiohttp.ClientSession:
    """
    Return a session for `post` and nothing else, for one event loop; the caller closes it.

    `post` itself follows no redirect, so nothing has to look for one at every step of a call: a sixth of its CPU time.
    """
    return _session(timeout, [])


def _session(timeout: timedelta, traces: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    seconds = timeout.total_seconds()
    connect = min(seconds / 2, CONNECT_TIMEOUT.total_seconds())
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=seconds, connect=connect),
        # No limit of its own: the worker's concurrency per site is one, and waiting here would look like a dead host.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        response_class=CappedResponse,
        trace_configs=traces,
        headers={"User-Agent": "faurya-gateway"},
    )


async def post(session: aiohttp.ClientSession, request: OutgoingRequest, now: Callable[[], datetime]) -> Answer:
    """
    Send one request and return what came back; trouble of the network is an `Answer` without a status, never an error.

    An answer that breaks off after its status line keeps the status and as much of the body as came.
    """
    headers = [*request.headers, *request.secret_headers, ("Accept-Encoding", "identity")]
    try:
        async with session.post(request.url, data=request.body, headers=headers, allow_redirects=False) as response:
            return await _answer(response, now)
    except NEVER_SENT as error:
        return Answer(status=None, sent=False, error=_described(error))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(status=None, error=_described(error))


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header names, in seconds or as an HTTP date; None if it names none."""
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta(0)), LONGEST_RETRY_AFTER)


async def _answer(response: aiohttp.ClientResponse, now: Callable[[], datetime]) -> Answer:
    body = bytearray()
    error = None
    try:
        await _fill(body, response.content, KEPT_ANSWER)
    except (aiohttp.ClientError, TimeoutError, OSError) as broken:
        error = f"the answer broke off: {_described(broken)}"
    if error or len(body) > KEPT_ANSWER:
        response.close()  # what is left unread would otherwise be read as the next answer's beginning
    wait = retry_after(response.headers.get("Retry-After"), now())
    return Answer(status=response.status, body=_storable(body), retry_after=wait, error=error)


async def _fill(body: bytearray, content: aiohttp.StreamReader, limit: int) -> None:
    """Read until the end or until `body` is longer than `limit`; on an error, `body` has what came before it."""
    while len(body) <= limit and not content.at_eof() and (chunk := await content.read(limit + 1 - len(body))):
        body += chunk


def _storable(body: bytearray) -> str:
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\t", " ")
    return printable(text, KEPT_ANSWER)


def _described(error: BaseException) -> str:
    """Name an error. Only texts of the operating system's errors are added: others may quote an address or a header."""
    name = type(error).__name__
    return f"{name}: {printable(str(error), 200)}" if isinstance(error, OSError) and str(error) else name


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    answer = params.response
    raise aiohttp.ClientResponseError(
        answer.request_info, (answer,), status=answer.status, message="redirects are not followed"
    )
