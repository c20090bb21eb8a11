"""A way between a gateway and its Postgres that a test can cut or freeze."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit


class DatabaseProxy:
    """Forwards to the server of a Postgres URL; `url` leads through here."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._host, self._port = query.get("host", parts.hostname or ""), int(query.get("port", parts.port or 5432))
        self._login, self._name = parts.netloc.rpartition("@")[0], parts.path
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._address = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"postgresql://{self._login}@127.0.0.1:{self._address}{self._name}?sslmode=disable"

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

    def thaw(self) -> None:
        self._flowing.set()

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
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(65536):
                await self._flowing.wait()
                sink.write(chunk)
                await sink.drain()
        sink.close()
        self._open.discard(sink)


@asynccontextmanager
async def database_proxy(target: str) -> AsyncIterator[DatabaseProxy]:
    proxy = DatabaseProxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
