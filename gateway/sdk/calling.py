"""
One call to a payment company's API, and what its answer means.

    no whole answer            Unavailable
    408, 425, 429, 500 to 599  Unavailable, with the Retry-After
    300 to 399                 Rejected: nothing is followed, a key could travel to another host
    other than 2xx             what the plugin's `rejected` makes of the error's body
    2xx without JSON object    Unavailable

Nothing is ever sent twice from here. Addresses in messages are without their query.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession
from yarl import URL

from gateway.domain.errors import ProviderError, Rejected, Unavailable
from gateway.domain.messages import Headers, headers_of
from gateway.sdk.signature import unix_seconds

CHUNK = 65_536
"""Bytes that are read at a time."""

MAX_RETRY_AFTER = 86_400
"""Seconds; limits are per second or per minute, so a day is already a mistake of somebody between us."""

MAX_SHOWN = 200
"""Characters of a company's own words in a message."""

PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that a later try may not meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, read to its end. Header names are case-insensitive."""

    status: int
    headers: Headers = field(default_factory=headers_of, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    How one company is called.

    `title` is its name in messages; `rejected` makes the error of a refusal out of the answer; `max_answer` is in
    bytes; `passing` are the statuses below 500 that a later try may not meet.
    """

    title: str
    rejected: Callable[[Answer], Rejected]
    max_answer: int = 16 * 1024 * 1024
    passing: frozenset[int] = PASSING

    async def send(
        self,
        http: ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        """Send one request, once; raise `Unavailable` when no whole answer came back."""
        what = f"{method} {url.path}"
        try:
            async with http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
                answer = bytearray()
                async for chunk in response.content.iter_chunked(CHUNK):
                    answer += chunk
                    if len(answer) > self.max_answer:
                        raise Unavailable(f"{self.title}'s answer to {what} is longer than {self.max_answer} bytes")
                found = headers_of(list(response.headers.items()))
                return Answer(status=response.status, headers=found, body=bytes(answer))
        except TimeoutError:
            raise Unavailable(f"{self.title} did not answer {what} in time") from None
        except (ClientError, OSError) as error:
            raise Unavailable(f"the connection to {self.title} failed for {what}: {type(error).__name__}") from None

    def content(self, answer: Answer) -> dict[str, Any]:
        """Return the JSON object of a success; raise `Rejected` or `Unavailable` for everything else."""
        if not 200 <= answer.status < 300:
            raise self.failure(answer)
        try:
            found = orjson.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable(
                f"{self.title} answered {answer.status} without a JSON object: is there a proxy in between?"
            )
        return found

    def failure(self, answer: Answer) -> ProviderError:
        """Return the error that an answer other than 2xx stands for."""
        if answer.status in self.passing or answer.status >= 500:
            return Unavailable(f"{self.title} answered {answer.status}", retry_after=retry_after(answer))
        refusal = self.rejected(answer)
        if answer.status >= 400:
            return refusal
        text = f"{self.title}'s address answered with a redirect ({answer.status}): check base_url"
        return Rejected(text, code=refusal.code, request_id=refusal.request_id)


def retry_after(answer: Answer) -> timedelta | None:
    """Return how long the answer asks to wait, a day at most; None where it does not say so in seconds."""
    seconds = unix_seconds(answer.headers.get("Retry-After", "").strip())
    return None if seconds is None else timedelta(seconds=min(seconds, MAX_RETRY_AFTER))


def server_time(answer: Answer) -> datetime | None:
    """Return the clock in the `Date` header; None where it is absent or unreadable."""
    try:
        time = parsedate_to_datetime(answer.headers.get("Date", ""))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def shown(value: object, limit: int = MAX_SHOWN) -> str | None:
    """Return a company's words as one printable line of bounded length, for they may end up in a log; None if none."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else " " for char in value[:limit])
