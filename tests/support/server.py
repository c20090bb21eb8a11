"""A Postgres of a test's own: restarted, crashed, copied to a standby that takes over."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import asyncpg

from gateway.store import embedded
from gateway.store.embedded_folder import Folder, claim
from gateway.store.embedded_identity import settle

READY_SECONDS = 60.0


class Server:
    """A durable embedded Postgres: what it committed survives its death."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: embedded.EmbeddedServer | None = None

    @property
    def url(self) -> str:
        assert self._running is not None
        return self._running.url

    @property
    def superuser_url(self) -> str:
        return self.url.replace("gateway@", "postgres@", 1)

    async def database(self, name: str) -> str:
        """Create a database; return its address."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return self.url.replace("/gateway?", f"/{name}?", 1)

    async def start(self) -> None:
        self._running = await embedded.start(self.folder)

    async def stop(self) -> None:
        """Stop in an orderly way; clients are sent away."""
        assert self._running is not None
        await self._running.close()

    async def crash(self) -> None:
        """Kill the postmaster and everything below it."""
        assert self._running is not None
        pid = int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        await self._running.close()


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    """Yield a running server of its own; its folder is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-test-"))
    one = Server(folder)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def standby_of(primary: Server) -> AsyncIterator[str]:
    """Yield the address of a hot standby that follows `primary`; it is promoted with `SELECT pg_promote()`."""
    path = Path(tempfile.mkdtemp(prefix="gateway-test-"))
    folder, binaries = claim(path), embedded.find_binaries()
    source = primary.superuser_url.replace("/gateway?", "/postgres?")
    await asyncio.to_thread(
        _run, folder, [binaries / "pg_basebackup", "-d", source, "-D", folder.data, "-R", "-X", "stream", "-c", "fast"]
    )
    process = subprocess.Popen(
        [binaries / "postgres", "-D", folder.data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={path}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=partial(settle, folder, binaries),  # noqa: PLW1509 - it starts no thread
    )  # fmt: skip
    url = f"postgresql://gateway@/gateway?host={quote(str(path), safe='')}"
    try:
        await _answering(url)
        yield url
    finally:
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait)
        shutil.rmtree(path, ignore_errors=True)


def _run(folder: Folder, command: list[str | Path]) -> None:
    subprocess.run(
        command, check=True, capture_output=True, cwd="/", preexec_fn=partial(settle, folder, Path(command[0]).parent)
    )


async def _answering(url: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                connection = await asyncpg.connect(url)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
            else:
                await connection.close()
                return
