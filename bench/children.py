"""Processes that a bench starts: their ends, their CPU time and their memory."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.store.embedded_identity import end_with_parent

ROOT = Path(__file__).parents[1]
READY_SECONDS = 90.0
STOP_SECONDS = 30.0
PYTHON = sys.executable


class BenchFailure(Exception):
    """A bench cannot go on."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours and what it wrote."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """The process id; its descendants count with it."""
        return self.process.pid

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


@asynccontextmanager
async def child(
    command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> AsyncIterator[Child]:
    """Run a command until the end of the block, its output in a file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "COVERAGE", "PG"))}
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env={**kept, **(environment or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
    try:
        yield Child(process, log)
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()


async def answers(port: int, path: str, who: Child | None = None) -> None:
    """Return when `GET path` is answered 200; raise `BenchFailure` when the process ends or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not await _is_ok(port, path):
        if who is not None and who.process.returncode is not None:
            raise BenchFailure(f"a process ended with {who.process.returncode}:\n{who.last_words()}")
        if time.monotonic() > deadline:
            raise BenchFailure(f"port {port} does not answer {path}:\n{who.last_words() if who else ''}")
        await asyncio.sleep(0.01)


async def _is_ok(port: int, path: str) -> bool:
    try:
        return (await fetched(port, path))[0] == 200
    except (OSError, asyncio.IncompleteReadError, ValueError):
        return False


async def fetched(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of a GET on this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body
    except IndexError as error:
        raise ValueError("no answer") from error
    finally:
        writer.close()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Stat:
    """A process as /proc/PID/stat has it: its parent, and its CPU time with that of its ended children, in ticks."""

    parent: int
    ticks: int


def stat_of(line: str) -> Stat:
    """Read /proc/PID/stat; the second field, the name, may contain anything."""
    fields = line.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]))


def family(processes: Mapping[int, Stat], roots: Sequence[int]) -> set[int]:
    """Return the processes that descend from these, themselves included."""
    found = {root for root in roots if root in processes}
    while more := {pid for pid, stat in processes.items() if stat.parent in found} - found:
        found |= more
    return found


def _all_processes() -> dict[int, Stat]:
    processes = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                processes[int(entry.name)] = stat_of((entry / "stat").read_text())
    return processes


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the user and system time so far of these processes and their descendants, ended ones included."""
    processes = _all_processes()
    return sum(processes[pid].ticks for pid in family(processes, roots)) / os.sysconf("SC_CLK_TCK")


def resident_bytes(roots: Sequence[int]) -> int:
    """Return the memory that these processes and their descendants have in RAM."""
    processes, total = _all_processes(), 0
    for pid in family(processes, roots):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total
