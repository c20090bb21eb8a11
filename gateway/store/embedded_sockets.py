"""Where the sockets of the embedded Postgres and its keeper are, and the URL that follows from it."""

import contextlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from gateway.store.embedded_cluster import DATABASE, PORT, ROLE
from gateway.store.embedded_errors import EmbeddedStartError
from gateway.store.embedded_folder import Folder

CONTROL = "control"
SOCKET = f".s.PGSQL.{PORT}"
_PATH_BYTES = 103  # macOS; Linux has 107
_PLAIN = re.compile(r"[A-Za-z0-9/._+@-]+")  # no quoting needed in unix_socket_directories


def url_of(sockets: Path) -> str:
    """The address of the server whose socket lies in this folder."""
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(sockets), safe='/')}&port={PORT}"


def open_door(folder: Folder) -> tuple[Path, socket.socket]:
    """A private folder for the sockets, with the control socket listening in it, recorded in the data folder."""
    for sockets in _socket_folders(folder):
        door = socket.socket(socket.AF_UNIX)
        try:
            (sockets / CONTROL).unlink(missing_ok=True)
            door.bind(str(sockets / CONTROL))
        except OSError:  # some shared file systems have no sockets
            door.close()
            continue
        door.listen(128)
        door.setblocking(False)
        new = folder.record.with_suffix(".new")
        new.write_bytes(os.fsencode(sockets))
        new.replace(folder.record)
        return sockets, door
    raise EmbeddedStartError(f"no folder for a socket: neither {folder.path} nor {tempfile.gettempdir()} can hold one")


def _socket_folders(folder: Folder) -> Iterator[Path]:
    """Where sockets may go, best first: the data folder, where a killed keeper had them, a new temporary folder."""
    if socket_fits(folder.sockets):
        folder.sockets.mkdir(mode=0o700, exist_ok=True)
        yield folder.sockets
    with contextlib.suppress(OSError):
        earlier = Path(os.fsdecode(folder.record.read_bytes()))
        found = earlier.lstat()
        if stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid():
            yield earlier
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 - mkdtemp makes it private
        if socket_fits(Path(parent) / "gateway-postgres-xxxxxxxx"):
            with contextlib.suppress(OSError):
                yield Path(tempfile.mkdtemp(prefix="gateway-postgres-", dir=parent))


def socket_fits(folder: Path) -> bool:
    """Whether a socket in this folder has a path that the kernel takes and Postgres needs no quotes for."""
    longest = len(os.fsencode(folder / SOCKET))
    return longest <= _PATH_BYTES and _PLAIN.fullmatch(str(folder)) is not None
