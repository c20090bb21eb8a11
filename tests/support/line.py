"""The line to the database, to be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit


class Line:
    """Forwards connections to Postgres until it is cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._folder = query.get("host", [parts.hostname or ""])[0]
        self._port = int(query.get("port", [str(parts.port or 5432)])[0])
        self._database, self._user = parts.path, parts.username or "postgres"
        self._password = parts.password
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._own_port = 0
        self._is_cut = False

    @property
    def url(self) -> str:
        """The database's address on this line."""
        who = self._user if self._password is None else f"{self._user}:{self._password}"
        return f"postgresql://{who}@127.0.0.1:{self._own_port}{self._database}"

    async def mend(self) -> None:
        """Connections go through again."""
        self._is_cut = False
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        assert self._server is not None
        self._is_cut = True
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0.01)  # connections accepted just before are refused now
        while self._tasks:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._is_cut:  # it may have been accepted just before
                with suppress(asyncio.CancelledError, OSError):
                    await self._forward(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._folder.startswith("/"):
            far = await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.{self._port}")
        else:
            far = await asyncio.open_connection(self._folder, self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, far[1]))
                both.create_task(_copy(far[0], writer))
        except* OSError:
            pass
        finally:
            far[1].transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    """A line that works, to begin with."""
    line = Line(url)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
