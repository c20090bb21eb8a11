"""The data folder of the embedded Postgres: whose it is, what lies in it, and its lock.

    gateway-postgres.lock   marks the folder as ours; locked by the keeper for as long as it lives
    postgres/               Postgres' own data
    server.log, .1          the server's log, at most 2 MiB
    run/                    sockets, unless the path is too long for one
    socket_folder           where the sockets are now

Everything belongs to the user that the server runs as. That is the folder's owner, and for a folder that root has
made it is `nobody`, because Postgres refuses to run as root.
"""

import fcntl
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from gateway.store.embedded_errors import EmbeddedFolderError

MARKER = "gateway-postgres.lock"
NOT_FOREIGN = frozenset({"lost+found"})  # every fresh ext4 volume has it


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder that may be used, and the user and group that its server runs as."""

    path: Path
    uid: int
    gid: int

    @property
    def data(self) -> Path:
        return self.path / "postgres"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def sockets(self) -> Path:
        return self.path / "run"

    @property
    def record(self) -> Path:
        return self.path / "socket_folder"

    def take_lock(self) -> int | None:
        """The lock as an open file, or None while a keeper has it. The kernel frees it when its last holder dies."""
        try:
            lock = self._open_marker()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return None
            except OSError:
                os.close(lock)
                raise
        except OSError as error:
            raise _unusable(self.path, error) from error
        return lock

    def _open_marker(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            lock = os.open(self.path / MARKER, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(self.path / MARKER, flags)
        if os.geteuid() == 0:
            os.fchown(lock, self.uid, self.gid)
        return lock


def claim(data_dir: Path) -> Folder:
    """Makes the folder where it is missing and checks that it is ours; changes nothing outside it.

    Raises EmbeddedFolderError, before anything is touched, when it holds somebody else's files.
    """
    try:
        path = data_dir.resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(path)
        uid, gid = _owner(path)
        if stat.S_IMODE(path.stat().st_mode) != 0o700:
            path.chmod(0o700)
        folder = Folder(path, uid, gid)
        if folder.data.exists() and folder.data.stat().st_uid != uid:
            raise EmbeddedFolderError(
                f"{folder.data} and {path} belong to different users: chown -R one of them to {path}"
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unusable(data_dir, error) from error
    return folder


def _refuse_foreign(path: Path) -> None:
    names = {entry.name for entry in path.iterdir()} - NOT_FOREIGN
    if names and MARKER not in names:
        raise EmbeddedFolderError(
            f"{path} holds files that are not the gateway's ({min(names)}): set database.data_dir to an empty folder"
        )


def _owner(path: Path) -> tuple[int, int]:
    found, me = path.stat(), os.geteuid()
    if me == 0:
        return _give_away(path) if found.st_uid == 0 else (found.st_uid, _group(found))
    if found.st_uid != me:
        raise EmbeddedFolderError(
            f"{path} belongs to user id {found.st_uid} and this is user id {me}: run as that user,"
            f" give the folder away with chown -R {me}, or set database.data_dir to another folder"
        )
    return me, os.getegid()


def _group(found: os.stat_result) -> int:
    try:
        return pwd.getpwuid(found.st_uid).pw_gid
    except KeyError:
        return found.st_gid


def _give_away(path: Path) -> tuple[int, int]:
    """Root's folder becomes nobody's: the server can be run by root only as another user."""
    remedy = "run the gateway as a normal user, or make the folder and chown it to one"
    try:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    except KeyError as error:
        raise EmbeddedFolderError(
            f"Postgres refuses to run as root, and there is no user `nobody`: {remedy}"
        ) from error
    except OSError as error:
        raise EmbeddedFolderError(
            f"Postgres refuses to run as root, and {path} cannot be given to `nobody` ({error.strerror}): {remedy}"
        ) from error
    if path.stat().st_uid == 0:
        raise EmbeddedFolderError(f"the file system of {path} does not keep owners: {remedy} on another file system")
    return nobody.pw_uid, nobody.pw_gid


def _unusable(path: Path, error: Exception) -> EmbeddedFolderError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, PermissionError) and os.geteuid() == 0:
        return EmbeddedFolderError(f"{path}: {why}: this root lacks CAP_DAC_OVERRIDE: run the gateway as a normal user")
    return EmbeddedFolderError(f"{path}: {why}: set database.data_dir to a folder that this user can write")
