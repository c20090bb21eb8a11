"""Reading a request's body: capped in size, in time, and in what all requests together may hold."""

import asyncio
from datetime import timedelta

from aiohttp import StreamReader, web

from gateway.web.errors import Problem

MIN_IN_FLIGHT = 64 * 1024 * 1024
"""Bytes of bodies in memory at once, all requests together: 64 requests of the default largest size."""


class BytesInFlight:
    """Counts the bytes of all bodies being handled, so that many large ones at once cannot take the process down."""

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, MIN_IN_FLIGHT)
        self._used = 0

    def take(self, count: int) -> None:
        """Reserve bytes; raise a 503 where there is no room."""
        if self._used + count > self._limit:
            raise Problem(503, "not_ready", "too much is arriving at once; send it again")
        self._used += count

    def give_back(self, count: int) -> None:
        """Release bytes."""
        self._used -= count


class Body:
    """
    An `async with` that yields a request's body as received; its bytes count as in flight until the end of the block.

    Nearly every webhook is here as a whole when its handler starts: then there is nothing to wait for, and no clock.
    """

    __slots__ = ("_deadline", "_in_flight", "_limit", "_request", "_taken")

    def __init__(self, request: web.Request, in_flight: BytesInFlight, limit: int, deadline: timedelta) -> None:
        self._request = request
        self._in_flight = in_flight
        self._limit = limit
        self._deadline = deadline
        self._taken = 0

    async def __aenter__(self) -> bytes:
        length = self._request.content_length
        if length is not None and length > self._limit:
            raise _too_large(self._limit)
        content = self._request.content
        try:
            return self._complete(content) if content.is_eof() else await self._arriving(content)
        except (ConnectionError, web.RequestPayloadError) as error:
            self._in_flight.give_back(self._taken)
            raise Problem(400, "body_incomplete", "the body broke off or is not what its headers announce") from error
        except BaseException:
            self._in_flight.give_back(self._taken)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._in_flight.give_back(self._taken)

    def _complete(self, content: StreamReader) -> bytes:
        body = content.read_nowait()
        self._take(len(body))
        return body

    async def _arriving(self, content: StreamReader) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                async for chunk in content.iter_any():
                    self._take(len(chunk))
                    body += chunk
        except TimeoutError:
            seconds = f"{self._deadline.total_seconds():g}"
            raise Problem(408, "body_timeout", f"the body did not arrive within {seconds} seconds") from None
        return bytes(body)

    def _take(self, count: int) -> None:
        self._in_flight.take(count)
        self._taken += count
        if self._taken > self._limit:
            raise _too_large(self._limit)


def _too_large(limit: int) -> Problem:
    return Problem(413, "payload_too_large", f"at most {limit} bytes are accepted", headers={"Connection": "close"})
