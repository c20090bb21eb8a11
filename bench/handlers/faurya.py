"""
A stand-in for Faurya that costs next to nothing: it answers every POST and remembers when it did, by webhook.

`GET /recorded?RUN` returns what came of one run: seconds on the machine's clock by id, and how many calls there were.
"""

import asyncio
import os
import re
import time
from collections import Counter
from urllib.parse import urlsplit

import orjson

from bench.bodies import ID, RUN_CHARS
from bench.handlers.running import run, told_to_stop

PAYMENT = re.compile(rb"txn_01([0-9a-z]{%d})" % len(ID))
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
DONE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


class Books:
    """When each payment was first recorded, and how often."""

    def __init__(self) -> None:
        self.first: dict[str, dict[str, float]] = {}
        self.calls: Counter[str] = Counter()

    def record(self, request: bytes) -> None:
        """Remember what a request records."""
        found = PAYMENT.search(request)
        if found:
            payment = found[1].decode()
            self.first.setdefault(payment[:RUN_CHARS], {}).setdefault(payment, time.perf_counter())
            self.calls[payment[:RUN_CHARS]] += 1

    def told(self, path: str) -> bytes:
        """Return the answer to a GET."""
        asked = urlsplit(path)
        content: object = {"recorded": self.first.get(asked.query, {}), "calls": self.calls[asked.query]}
        if asked.path == "/count":
            content = len(self.first.get(asked.query, {}))
        body = orjson.dumps(content)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


class Answering(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, books: Books, delay: float) -> None:
        self._books, self._delay, self._request = books, delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET "):
            self._transport.write(self._books.told(head.split(b" ", 2)[1].decode()))
            self._transport.close()
            return
        length = LENGTH.search(head)
        if length and len(body) >= int(length[1]):
            request, self._request = self._request, b""
            asyncio.get_running_loop().call_later(self._delay, self._answer, request)

    def _answer(self, request: bytes) -> None:
        self._books.record(request)
        self._transport.write(DONE)


async def main() -> None:
    """Serve on BENCH_PORT until SIGTERM, each answer BENCH_DELAY_MS after its request."""
    books, delay = Books(), float(os.environ["BENCH_DELAY_MS"]) / 1000
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(books, delay), "127.0.0.1", int(os.environ["BENCH_PORT"])
    )
    async with server:
        await told_to_stop()


if __name__ == "__main__":
    run(main())
