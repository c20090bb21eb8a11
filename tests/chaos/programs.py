"""The gateway's processes, real ones, each started again when it ends: as a service manager does."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gateway.store.embedded_identity import end_with_parent
from tests.chaos.history import Kill

ROOT = Path(__file__).parents[2]
AGAIN_SECONDS = 0.3
STOP_SECONDS = 40.0
START_SECONDS = 60.0
STARTED = b"gateway.started"

GATEWAY = ("-m", "gateway")


NOT_FOR_THEM = ("FAURYA_", "FORCE_", "GATEWAY_", "COV")
"""Variables that would change what the programs do; measuring coverage would only make them slow."""


def environment(database: str) -> dict[str, str]:
    """Return the environment of a program that reaches the database at this address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_THEM)}
    return {**kept, "PYTHONPATH": str(ROOT), "CHAOS_DATABASE": database, "COLUMNS": "200"}


@dataclass(slots=True)
class Program:
    """
    One service: `words` are its command line after `python`. What it prints goes to a file of its own.

    Its clock is `skew` seconds ahead; `alone` keeps it from being set by the database's.
    """

    name: str
    words: Sequence[str]
    database: str
    folder: Path
    kills: list[Kill]
    skew: float = 0.0
    alone: bool = False
    starts: int = 0
    codes: list[int] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _wanted: bool = True
    _begins_at: int = 0
    _watching: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        self._wanted = True
        await self._spawn()
        self._watching = asyncio.create_task(self._watch())

    async def _spawn(self) -> None:
        self.starts += 1
        skewed = ("-m", "tests.chaos.skewed", str(self.skew), *(["--alone"] if self.alone else []))
        way = skewed if self.skew else GATEWAY
        with self.log.open("ab") as stream:
            self._begins_at = stream.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *way,
                *self.words,
                cwd=self.folder,
                env=environment(self.database),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                preexec_fn=partial(end_with_parent, signal.SIGKILL),
            )

    async def _watch(self) -> None:
        while self._process is not None:
            self.codes.append(await self._process.wait())
            if not self._wanted:
                return
            await asyncio.sleep(AGAIN_SECONDS)
            if self._wanted:
                await self._spawn()

    def signal(self, number: int) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL the program, or one process of it; remember when."""
        self.kills.append(Kill(at=time.time()))
        if pid is None:
            self.signal(signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                if parent == self.pid:
                    found.append(int(entry.name))
        return sorted(found)

    async def started(self) -> None:
        """Wait until it says that it works."""
        async with asyncio.timeout(START_SECONDS):
            while STARTED not in self._said():
                await asyncio.sleep(0.1)

    def _said(self) -> bytes:
        """Return what it printed since it was started last."""
        with self.log.open("rb") as stream:
            stream.seek(self._begins_at)
            return stream.read()

    async def restart(self, *, skew: float = 0.0) -> None:
        """SIGTERM, wait for the end, and come back, maybe under another clock; return once it works again."""
        starts, self.skew = self.starts, skew
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            while self.starts == starts:
                await asyncio.sleep(0.05)
        await self.started()

    async def stop(self) -> None:
        """SIGTERM and wait; what does not end is killed."""
        self._wanted = False
        self.signal(signal.SIGTERM)
        if self._watching is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.shield(self._watching)
        except TimeoutError:
            self.kill()
            await self._watching
