"""Reading a request's body: capped in size, in time, and in what all requests together may hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web

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


@asynccontextmanager
async def body_of(
    request: web.Request, in_flight: BytesInFlight, limit: int, deadline: timedelta
) -> AsyncIterator[bytes]:
    """Yield the body as received; its bytes count as in flight until the end of the block."""
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    taken = 0
    try:
        body = bytearray()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                async for chunk in request.content.iter_any():
                    in_flight.take(len(chunk))
                    taken += len(chunk)
                    if taken > limit:
                        raise _too_large(limit)
                    body += chunk
        except TimeoutError:
            seconds = f"{deadline.total_seconds():g}"
            raise Problem(408, "body_timeout", f"the body did not arrive within {seconds} seconds") from None
        except (ConnectionError, web.RequestPayloadError) as error:
            raise Problem(400, "body_incomplete", "the body broke off or is not what its headers announce") from error
        yield bytes(body)
    finally:
        in_flight.give_back(taken)


def _too_large(limit: int) -> Problem:
    return Problem(413, "payload_too_large", f"at most {limit} bytes are accepted", headers={"Connection": "close"})
