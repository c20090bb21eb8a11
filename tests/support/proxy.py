"""A way between a gateway and its Postgres that a test can cut, freeze or lead elsewhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit


class DatabaseProxy:
    """Forwards to the server of a Postgres URL; `url` leads through here."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._login, self._name = parts.netloc.rpartition("@")[0], parts.path
        self.lead_to(target)
        self._flowing = _set()
        self._forgotten: list[asyncio.Event] = []
        self.commits_to_lose = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._address = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"postgresql://{self._login}@127.0.0.1:{self._address}{self._name}?sslmode=disable"

    def lead_to(self, target: str) -> None:
        """New connections reach another server."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._host, self._port = query.get("host", parts.hostname or ""), int(query.get("port", parts.port or 5432))

    async def open(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._address)
        self._address = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections and refuse new ones, as a server does that stops."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        self.break_connections()

    def break_connections(self) -> None:
        """Break what is open; new connections are welcome."""
        for writer in list(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Say nothing more, as a dead network or a stopped server does; connections stay open."""
        self._flowing.clear()

    def forget(self) -> None:
        """Say nothing more on what is open, as a firewall does after a while; new connections are welcome."""
        self._flowing.clear()
        self._forgotten.append(self._flowing)
        self._flowing = _set()

    def thaw(self) -> None:
        for flowing in (self._flowing, *self._forgotten):
            flowing.set()

    async def close(self) -> None:
        self.thaw()
        await self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            there = await asyncio.open_connection(self._host, self._port)
        self._open |= {writer, there[1]}
        way = _Way(self._flowing, [writer, there[1]])
        for source, sink, outward in ((reader, there[1], True), (there[0], writer, False)):
            task = asyncio.create_task(self._pump(source, sink, way, outward))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: "_Way", outward: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(65536):
                await way.flowing.wait()
                if outward and self.commits_to_lose and commits(chunk):
                    self.commits_to_lose -= 1
                    way.ends_with_answer = True
                elif way.ends_with_answer:  # the server has done it, and nobody hears of it
                    way.abort()
                    break
                sink.write(chunk)
                await sink.drain()
        sink.close()
        self._open.discard(sink)


def commits(sent: bytes) -> bool:
    """Whether the server commits on this: told to, or by the statement that keeps webhooks, a transaction by itself."""
    return b"COMMIT" in sent or (sent.startswith(b"B") and b"POST" in sent)


@dataclass
class _Way:
    """One connection, there and back."""

    flowing: asyncio.Event
    ends: list[asyncio.StreamWriter]
    ends_with_answer: bool = False

    def abort(self) -> None:
        for writer in self.ends:
            writer.transport.abort()


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@asynccontextmanager
async def database_proxy(target: str) -> AsyncIterator[DatabaseProxy]:
    proxy = DatabaseProxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
