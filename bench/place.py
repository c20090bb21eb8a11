"""The one Postgres of a run, with a database for each contender, and the folder where everything lies."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from bench.databases import create, do, drop
from bench.scale import Scale
from gateway.store import embedded
from gateway.store.schema import migrate


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens."""

    folder: Path
    server: str
    postmaster: int
    scale: Scale
    made: list[str] = field(default_factory=list)

    async def database(self, name: str, table: str | None = None) -> str:
        """Return the address of a new database, with one table where it is given."""
        url = await create(self.server, name)
        self.made.append(url)
        if table:
            await self.do(url, table)
        return url

    async def gateway_database(self, name: str) -> str:
        """Return the address of a new database with the gateway's schema."""
        url = await self.database(name)
        await migrate(url)
        return url

    async def drop(self, url: str) -> None:
        """Delete a database that nothing needs any more."""
        self.made.remove(url)
        await drop(self.server, url)

    async def settle(self) -> None:
        """Write out what earlier rounds left dirty, so that no round pays for another's pages."""
        with contextlib.suppress(asyncpg.PostgresError):  # not ours to demand of a server that is somebody else's
            await self.do(_as_superuser(self.server), "CHECKPOINT")

    async def analyze(self) -> None:
        """Tell Postgres what the tables hold, as autovacuum does in the first minute: not somewhere in a round."""
        for url in self.made:
            await self.do(url, "ANALYZE")

    async def do(self, url: str, statement: str) -> None:
        """Run one statement."""
        await do(url, statement)

    async def ask(self, url: str, question: str) -> int:
        """Return a query's single number."""
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval(question))
        finally:
            await connection.close()

    async def settings(self) -> dict[str, str]:
        """Return what decides how fast and how safe the database is."""
        connection = await asyncpg.connect(self.server)
        try:
            names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers",
                     "max_wal_size", "checkpoint_timeout", "wal_compression", "default_toast_compression")  # fmt: skip
            return {name: str(await connection.fetchval(f"SHOW {name}")) for name in names}
        finally:
            await connection.close()


@asynccontextmanager
async def place(scale: Scale, parent: Path | None = None) -> AsyncIterator[Place]:
    """Yield a durable Postgres in a folder that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=parent, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        async with await embedded.start(folder / "postgres") as server:
            pid = int((folder / "postgres" / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            yield Place(folder=folder, server=server.url, postmaster=pid, scale=scale)


def _as_superuser(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(netloc="postgres@"))


def connection_parts(url: str) -> dict[str, str]:
    """Return user, host and database as the drivers and programs of others want them."""
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "user": parts.username or asked.get("user", ""),
        "host": asked.get("host", parts.hostname or ""),
        "database": parts.path[1:],
    }
