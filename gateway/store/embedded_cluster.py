"""Postgres' own data: made once and whole, run with our settings, cleared of what a killed server left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.store.embedded_errors import EmbeddedFolderError, EmbeddedStartError, EmbeddedVersionError
from gateway.store.embedded_folder import Folder
from gateway.store.embedded_identity import end_with_parent

MAJOR = "18"
PORT = 5432  # only the name of the socket, .s.PGSQL.5432
DATABASE = ROLE = "gateway"

# Given on the command line at every start, so that they hold from the first start on and for older folders too.
SETTINGS = {
    "listen_addresses": "",  # a socket in a 0700 folder is the only way in
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",  # a container's /dev/shm is often 64 MB
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # `_STILL_IN_USE` is read from the log
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
    # statements and details carry rows, and rows carry personal data
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Trust, not a password: the socket lies in a 0700 folder of the server's user, so the kernel lets in only that user
# and root, who could read a stored password just as well. The gateway is not superuser, as in production.
_INITDB = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_FIRST_SQL = f"CREATE ROLE {ROLE} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"

_HALF_MADE = "postgres.new."
STOPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))  # seconds each: fast, at once, dead


@dataclass(frozen=True, slots=True)
class Cluster:
    """The data in a folder, the binaries that run it, and whether commits must survive a power cut."""

    folder: Folder
    binaries: Path
    durable: bool

    def make(self) -> None:
        """Makes the data where there is none. It is built under another name: a killed first start leaves no half."""
        for half in self.folder.path.glob(_HALF_MADE + "*"):
            shutil.rmtree(half, ignore_errors=True)
        if self.folder.data.exists():
            self._refuse_other_version()
            return
        new = Path(tempfile.mkdtemp(prefix=_HALF_MADE, dir=self.folder.path))
        self._run(["initdb", *_INITDB, *([] if self.durable else ["--no-sync"]), f"--pgdata={new}"])
        settings = {"exit_on_error": "on", **SETTINGS, **({} if self.durable else NOT_DURABLE)}
        self._run(["postgres", "--single", "-D", str(new), *_flags(settings), "postgres"], _FIRST_SQL)
        new.rename(self.folder.data)
        if self.durable:
            _sync(self.folder.path)

    def launch(self, sockets: Path) -> subprocess.Popen[bytes]:
        """Starts Postgres; it ends with this process. Its log comes through `stderr`."""
        settings = {**SETTINGS, "unix_socket_directories": str(sockets), **({} if self.durable else NOT_DURABLE)}
        return subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder.data, *_flags(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder.path,
            env=_environment(),
            preexec_fn=partial(end_with_parent, signal.SIGINT),  # noqa: PLW1509 - the keeper has no threads
        )

    def is_ready(self, pid: int) -> bool:
        """Whether this server accepts connections: the eighth line of its pid file, where pg_ctl looks too."""
        lines = self._pid_file()
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def clear(self) -> None:
        """Stops a server that lost its keeper and removes a pid file that nobody stands behind.

        Postgres trusts any living process with the number in that file, and in a container the numbers come again.
        Should a server be missed here, Postgres still refuses to start beside it: its shared memory is in use.
        """
        lines = self._pid_file()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        for number, seconds in STOPS:
            if pid > 1 and self._is_ours(pid):
                self._end(pid, number, seconds)
        if pid > 1 and self._is_ours(pid):
            raise EmbeddedStartError(f"process {pid} is an older Postgres on {self.folder.data} that cannot be stopped")
        (self.folder.data / "postmaster.pid").unlink(missing_ok=True)

    def _end(self, pid: int, number: signal.Signals, seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + seconds
        while self._is_ours(pid) and time.monotonic() < until:
            time.sleep(0.02)

    def _is_ours(self, pid: int) -> bool:
        return b"postgres -D %s -c" % os.fsencode(self.folder.data) in _command_line(pid)

    def _pid_file(self) -> list[str]:
        try:
            return (self.folder.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _refuse_other_version(self) -> None:
        try:
            made_by = (self.folder.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError as error:
            raise EmbeddedFolderError(
                f"{self.folder.data} is damaged (no PG_VERSION): restore it, or move it away for a fresh start"
            ) from error
        if made_by != MAJOR:
            raise EmbeddedVersionError(
                f"{self.folder.path} was made by Postgres {made_by}, and this gateway brings Postgres {MAJOR}: move it"
                f" away for a fresh start, or dump it with Postgres {made_by} and restore the dump"
            )

    def _run(self, command: list[str], script: str = "") -> None:
        done = subprocess.run(
            [self.binaries / command[0], *command[1:]],
            input=script.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder.path,
            env=_environment(),
            preexec_fn=partial(end_with_parent, signal.SIGKILL),
            check=False,
        )
        if done.returncode != 0:
            said = last_lines(done.stdout)
            remedy = (
                "\nthis user id has no name: add it to /etc/passwd"
                if "could not look up effective user" in said
                else ""
            )
            raise EmbeddedStartError(f"{command[0]} failed in {self.folder.path}:\n{said}{remedy}")


def last_lines(log: bytes, count: int = 12) -> str:
    """The end of a log for an error message."""
    return "\n".join(log.decode("utf-8", "replace").splitlines()[-count:])


def _flags(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables may reach the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _command_line(pid: int) -> bytes:
    """Empty for a process that is gone, or dead and not yet collected by its parent."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            return b""
    listed = subprocess.run(["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return listed.stdout


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
