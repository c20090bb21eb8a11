"""The caller's side of the load: start the process that sends, tell it when, take what came back."""

import asyncio
import itertools
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.bodies import SECRET
from bench.children import PYTHON, ROOT, BenchFailure
from bench.samples import template

END_SECONDS = 10.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The webhooks of one site: `count` at full speed, or `rate` a second between two moments."""

    path: str
    run: str
    count: int = 0
    rate: float = 0.0
    begin: float = 0.0
    end: float = 0.0
    secret: str = SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came back of one site's webhooks; `left` (seconds on the machine's clock) and `took` go together."""

    run: str
    count: int
    statuses: Mapping[str, int]
    left: Sequence[float]
    took: Sequence[float]
    moments: Sequence[float]

    @property
    def accepted(self) -> int:
        """How many were answered 200."""
        return self.statuses.get("200", 0)

    @property
    def refused(self) -> int:
        """How many were answered something else, or nothing; a provider would have sent them again."""
        return self.count - self.accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load process did: from `began` on, `seconds` long; `lateness` is its own, 99 % of its sends are better."""

    began: float
    seconds: float
    lateness: float
    streams: Sequence[Came]

    def demand_accepted(self, who: str) -> None:
        """Raise `BenchFailure` unless everything was answered 200."""
        for stream in self.streams:
            if stream.accepted != stream.count:
                raise BenchFailure(f"{who}: of {stream.count} webhooks came {stream.statuses}")


def new_run() -> str:
    """Return a name that no other run of these databases has: 8 characters."""
    return f"{next(_numbers) % 1000:03d}{secrets.token_hex(3)[:5]}"


class Ready:
    """A load process that is connected and waits."""

    def __init__(self, process: asyncio.subprocess.Process, asked: Sequence[Asked], result: Path) -> None:
        self._process = process
        self._result = result
        self._asked = asked

    async def go(self) -> Load:
        """Let it work; return what came back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"go\n")
        if await self._process.stdout.readline() != b"done\n":
            raise BenchFailure("the load process ended without a result; its error is above")
        return _read(orjson.loads(self._result.read_bytes()), self._asked)


@asynccontextmanager
async def load(
    port: int, asked: Sequence[Asked], *, connections: int, keep: bool = True, seed: int = 1
) -> AsyncIterator[Ready]:
    """Yield a load process that is connected to a port of this machine."""
    with tempfile.NamedTemporaryFile(prefix="gateway-bench-load-") as result:
        plan = _plan(port, asked, connections=connections, keep=keep, seed=seed) | {"result": result.name}
        process = await _started(plan)
        try:
            yield Ready(process, asked, Path(result.name))
        finally:
            await _ended(process)


def _plan(port: int, asked: Sequence[Asked], **how: object) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": port,
        **how,
        "pieces": [piece.decode() for piece in template()],
        "streams": [{name: getattr(one, name) for name in Asked.__slots__} for one in asked],
    }


async def _started(plan: dict[str, object]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps(plan) + b"\n")
    if await process.stdout.readline() != b"ready\n":
        await _ended(process)
        raise BenchFailure("the load process could not connect; its error is above")
    return process


async def _ended(process: asyncio.subprocess.Process) -> None:
    """It ends by itself after its result, and at the end of its input."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _read(answer: dict[str, Any], asked: Sequence[Asked]) -> Load:
    streams = [
        Came(
            run=one.run,
            count=came["count"],
            statuses=dict(came["statuses"]),
            left=came["left"],
            took=came["took"],
            moments=came["moments"],
        )
        for one, came in zip(asked, answer["streams"], strict=True)
    ]
    return Load(began=answer["began"], seconds=answer["seconds"], lateness=answer["lateness"], streams=streams)
