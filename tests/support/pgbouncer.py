"""A real PgBouncer in transaction mode, with fewer connections to the server than it lets clients have."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from harness import free_port

PROGRAM = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="there is no pgbouncer on this machine: apt-get install pgbouncer"
)

SERVERS = 3
"""Connections to the server, for each database: fewer than one gateway's pool has."""

SETTINGS = """
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
server_login_retry = 1
admin_users = gateway
logfile = {folder}/log
"""


class Bouncer:
    """What a test sees: the address of a database behind it, and its own account of its connections."""

    def __init__(self, port: int) -> None:
        self._port = port

    def url(self, database: str) -> str:
        return f"postgresql://gateway@127.0.0.1:{self._port}/{database}"

    async def servers(self, database: str) -> int:
        """Return how many connections to the server it holds for a database."""
        rows = await self._ask("SHOW SERVERS")
        return sum(row["database"] == database for row in rows)

    async def clients(self, database: str) -> int:
        rows = await self._ask("SHOW CLIENTS")
        return sum(row["database"] == database for row in rows)

    async def _ask(self, what: str) -> list[dict[str, str]]:
        """Ask its console, which knows no prepared statements."""
        listed = await asyncio.to_thread(
            subprocess.run,
            [_psql(), "--csv", self.url("pgbouncer"), "-c", what], capture_output=True, text=True, check=True,
        )  # fmt: skip
        names, *lines = listed.stdout.splitlines()
        return [dict(zip(names.split(","), line.split(","), strict=False)) for line in lines]


def _psql() -> Path:
    from gateway.store.embedded import find_binaries

    return find_binaries() / "psql"


@asynccontextmanager
async def pgbouncer(server_url: str, *, servers: int = SERVERS) -> AsyncIterator[Bouncer]:
    """Yield a PgBouncer before the server of this URL, which the user `nobody` must be able to reach."""
    parts, listen = urlsplit(server_url), free_port()
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    folder = Path(tempfile.mkdtemp(prefix="gateway-test-"))
    folder.chmod(0o777)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(
            host=query.get("host", parts.hostname), port=query.get("port", parts.port or 5432),
            user=parts.username, listen=listen, servers=servers, folder=folder,
        )
    )  # fmt: skip
    as_whom = ["-u", "nobody"] if os.geteuid() == 0 else []
    assert PROGRAM is not None
    process = subprocess.Popen([PROGRAM, "-q", *as_whom, settings], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bouncer = Bouncer(listen)
    try:
        await _answering(bouncer.url(parts.path[1:]))
        yield bouncer
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait)
        shutil.rmtree(folder, ignore_errors=True)


async def _answering(url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                connection = await asyncpg.connect(url, statement_cache_size=0)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return
