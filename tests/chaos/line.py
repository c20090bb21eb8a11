"""The line to Postgres: the process of `proxy.py`, and the words that it obeys."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.chaos.programs import ROOT, environment


@dataclass(slots=True)
class DatabaseLine:
    """`urls` lead to the database, each over a port of its own."""

    urls: list[str]
    _process: asyncio.subprocess.Process

    async def say(self, *words: object) -> None:
        """Have one line obeyed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        await self._process.stdin.drain()
        await self._process.stdout.readline()


@asynccontextmanager
async def database_line(target: str, lanes: int, seed: int) -> AsyncIterator[DatabaseLine]:
    """Run the line until the end of the block."""
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host, port = query.get("host", parts.hostname or ""), query.get("port", str(parts.port or 5432))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.proxy", host, port, str(lanes), str(seed),
        cwd=ROOT, env=environment(target), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        ports = json.loads(await process.stdout.readline())
        who = parts.netloc.rpartition("@")[0]
        yield DatabaseLine(
            [f"postgresql://{who}@127.0.0.1:{port}{parts.path}?sslmode=disable" for port in ports], process
        )
    finally:
        process.stdin.close()
        await process.wait()
