"""
Where the demo keeps its data: `dev` inside the data folder, apart from what a configuration of yours keeps there.

    .gateway-data/dev/config.yaml    what the demo runs with; the other commands take it with --config
    .gateway-data/dev/database/      the demo's own Postgres
    .gateway-data/dev/in-use         locked by the demo that runs
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.store.embedded_folder import MARKER, claim

LEAVING_SECONDS = 2.0
"""How long a database may take to end after its last user left."""


class FolderInUse(Exception):
    """Somebody else uses the demo's data."""


class DatabaseInUse(FolderInUse):
    """Another command uses the demo's database, so it cannot be deleted; let it end first."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class DemoRuns(FolderInUse):
    """Another demo runs on this data folder; stop it, or give this one a folder of its own with --data-dir."""

    def __init__(self, address: str) -> None:
        where = f" at {address}" if address else ""
        super().__init__(f"a demo already runs here{where}: stop it first, or give this one a --data-dir of its own")


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The demo's folder, held by this process."""

    path: Path
    _lock: int

    @property
    def config(self) -> Path:
        """The configuration that the demo wrote for itself."""
        return self.path / "config.yaml"

    @property
    def database(self) -> Path:
        """The folder of the embedded Postgres."""
        return self.path / "database"

    def note(self, address: str) -> None:
        """Leave the shop's address for those who try to start a second demo."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, address.encode(), 0)

    def forget(self) -> None:
        """Delete the sales of earlier demos; raise `DatabaseInUse` where another command reads them."""
        if not (self.database / MARKER).exists():
            return
        lock = _lock_of(self.database)
        try:
            shutil.rmtree(self.database)
        finally:
            os.close(lock)


@contextmanager
def held(data_dir: Path) -> Iterator[DemoFolder]:
    """
    Yield the demo's folder, made where it is missing, for this process alone.

    Raises `DemoRuns`, and `EmbeddedFolderError` where the data folder holds somebody else's files.
    """
    _mark_as_ours(data_dir)
    path = data_dir.absolute() / "dev"
    path.mkdir(exist_ok=True)
    lock = os.open(path / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoRuns(os.pread(lock, 200, 0).decode("utf-8", "replace")) from None
        yield DemoFolder(path, lock)
    finally:
        os.close(lock)


def _lock_of(database: Path) -> int:
    """Return the lock of a database that nobody uses; one that was just left is given a moment to end."""
    folder, until = claim(database), time.monotonic() + LEAVING_SECONDS
    while (lock := folder.take_lock()) is None:
        if time.monotonic() > until:
            raise DatabaseInUse
        time.sleep(0.05)
    return lock


def _mark_as_ours(data_dir: Path) -> None:
    """Let a later `database.url: embedded` use the same data folder: it refuses one that others have filled."""
    lock = claim(data_dir).take_lock()
    if lock is not None:
        os.close(lock)
