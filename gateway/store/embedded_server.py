"""The keeper: one small process per data folder, which runs Postgres for as long as somebody uses it.

Every user holds a connection to the keeper, and the kernel closes it however the user ends. The first user is the one
that started the keeper (its end of a socket pair is descriptor 0); the others come through the socket `control`. When
the last one is gone, Postgres is stopped and the keeper ends. It restarts a Postgres that was killed, and Postgres
ends by itself when the keeper is killed. It listens to signals and sockets only, so it uses no time of its own.

A keeper sends each user a line: {"sockets": ..., "durable": ...} when the server accepts connections (again), or
{"error": ..., "message": ...} when it will not. A user that wants to leave shuts down its sending side and reads to
the end: for the last one that is when Postgres has stopped.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from pathlib import Path

from gateway.store.embedded_cluster import STOPS, Cluster, last_lines
from gateway.store.embedded_errors import EmbeddedError, EmbeddedStartError
from gateway.store.embedded_folder import Folder
from gateway.store.embedded_identity import settle
from gateway.store.embedded_sockets import CONTROL, SOCKET, open_door

LOG_BYTES = 1 << 20  # then it becomes server.log.1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STILL_IN_USE = b"is still in use"  # backends outlive a killed postmaster for a moment
_STILL_IN_USE_SECONDS = 15.0
_RESTARTS_PER_MINUTE = 5


class ServerLog:
    """Postgres' log: at most two files of `LOG_BYTES`, and the end of it since the last start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.recent = b""

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        self.recent = (self.recent + chunk)[-8192:]
        with contextlib.suppress(OSError):  # a full disk must not end the server
            if self._file.tell() + len(chunk) > LOG_BYTES:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file.close()
                self._file = self._path.open("ab", buffering=0)
            self._file.write(chunk)


class Keeper:
    """Runs the server while it has users."""

    def __init__(self, cluster: Cluster, first: socket.socket) -> None:
        self.users: set[socket.socket] = set()
        self._cluster = cluster
        self._leaving: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._ready = False
        self._was_ready = False
        self._told_to_stop = False
        self._starts: list[float] = []
        self._add_user(first)

    def run(self) -> None:
        """Returns when nobody uses the server any more, or at a signal; raises EmbeddedError when it cannot run."""
        self._cluster.make()
        self._log = ServerLog(self._cluster.folder.log)
        os.dup2(self._log.fileno(), 2)  # should the keeper itself fail
        self._watch_signals()
        self._sockets, self._door = open_door(self._cluster.folder)
        self._selector.register(self._door, selectors.EVENT_READ, "door")
        self._launch()
        try:
            while self._is_wanted():
                self._turn(None if self._ready else 0.02)
                self._look_after_server()
        finally:
            self._close_door()
            self._stop()

    def _is_wanted(self) -> bool:
        if not self.users:
            self._admit()  # somebody may stand at the door
        while self.users and self._leaving:
            self._leaving.pop().close()
        return bool(self.users) and not self._told_to_stop

    def _turn(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            match key.data:
                case "log":
                    self._read_log()
                case "signal":
                    arrived = self._signals.recv(4096)
                    self._told_to_stop |= any(number in arrived for number in _STOP_SIGNALS)
                case "door":
                    self._admit()
                case user:
                    self._hear(user)

    # users

    def _add_user(self, user: socket.socket) -> None:
        user.setblocking(False)
        self.users.add(user)
        self._selector.register(user, selectors.EVENT_READ, user)
        if self._ready:
            self._greet(user)

    def _admit(self) -> None:
        with contextlib.suppress(OSError):  # BlockingIOError: nobody there
            while True:
                self._add_user(self._door.accept()[0])

    def _greet(self, user: socket.socket) -> None:
        say(user, {"sockets": str(self._sockets), "durable": self._cluster.durable})

    def _hear(self, user: socket.socket) -> None:
        """Users have nothing to say; what arrives is their end."""
        try:
            if user.recv(64):
                return
        except BlockingIOError:
            return
        except OSError:  # reset: gone as well
            pass
        self._selector.unregister(user)
        self.users.remove(user)
        self._leaving.append(user)  # let go when others stay, and else by our own end, when the server has stopped

    # the server

    def _launch(self) -> None:
        self._cluster.clear()
        self._clear_socket()
        self._starts.append(time.monotonic())
        self._log.recent = b""
        self._server = self._cluster.launch(self._sockets)
        assert self._server.stderr is not None  # noqa: S101 - a pipe was asked for
        self._pipe = self._server.stderr
        os.set_blocking(self._pipe.fileno(), False)
        self._selector.register(self._pipe, selectors.EVENT_READ, "log")

    def _look_after_server(self) -> None:
        if self._server.poll() is not None:
            self._relaunch()
        elif not self._ready and self._cluster.is_ready(self._server.pid):
            self._ready = self._was_ready = True
            for user in self.users:
                self._greet(user)

    def _relaunch(self) -> None:
        """Starts a server that was killed again, unless it cannot run at all."""
        self._read_log()
        self._drop_log()
        now = time.monotonic()
        self._ready = False
        if self._was_ready:
            self._starts = [start for start in self._starts if start > now - 60]
            again = len(self._starts) < _RESTARTS_PER_MINUTE
        else:
            again = _STILL_IN_USE in self._log.recent and now - self._starts[0] < _STILL_IN_USE_SECONDS
        if not again:
            raise EmbeddedStartError(
                f"Postgres ended in {self._cluster.folder.path}; its last words:\n{last_lines(self._log.recent)}"
            )
        time.sleep(0.2)
        self._launch()

    def _stop(self) -> None:
        for number, seconds in STOPS:
            if self._server.poll() is None:
                self._server.send_signal(number)
            until = time.monotonic() + seconds
            while self._server.poll() is None and time.monotonic() < until:
                self._turn(0.1)  # SIGCHLD ends the wait
        self._read_log()
        self._clear_socket()
        with contextlib.suppress(OSError):
            self._sockets.rmdir()
            self._cluster.folder.record.unlink()  # last, so that the next keeper finds what a killed one left

    def _clear_socket(self) -> None:
        """What a killed Postgres leaves; the lock file would stop the next one for the same reason as its pid file."""
        for leftover in (SOCKET, SOCKET + ".lock"):
            (self._sockets / leftover).unlink(missing_ok=True)

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while not self._pipe.closed:
                chunk = os.read(self._pipe.fileno(), 65536)
                if not chunk:
                    self._drop_log()
                self._log.write(chunk)

    def _drop_log(self) -> None:
        if not self._pipe.closed:
            self._selector.unregister(self._pipe)
            self._pipe.close()

    # the surroundings

    def _watch_signals(self) -> None:
        self._signals, bell = socket.socketpair()
        self._signals.setblocking(False)
        bell.setblocking(False)
        self._bell = bell
        signal.set_wakeup_fd(bell.fileno())
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, _noted)
        self._selector.register(self._signals, selectors.EVENT_READ, "signal")

    def _close_door(self) -> None:
        self._selector.unregister(self._door)
        self._door.close()
        (self._sockets / CONTROL).unlink(missing_ok=True)


def _noted(_number: int, _frame: object) -> None:
    """The number arrives through the wake-up socket."""


def say(user: socket.socket, answer: dict[str, object]) -> None:
    """One line to a user, who may be gone."""
    with contextlib.suppress(OSError):
        user.send(json.dumps(answer).encode() + b"\n")


def main(arguments: str) -> None:
    """Leaves its parent at once and keeps the server that `arguments` (JSON) describe."""
    options = json.loads(arguments)
    os.set_inheritable(options["lock"], False)
    if os.fork():
        os._exit(0)
    first = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    folder = Folder(Path(options["path"]), options["uid"], options["gid"])
    keeper = Keeper(Cluster(folder, Path(options["binaries"]), options["durable"]), first)
    try:
        settle(folder, Path(options["binaries"]))
        _label(folder, options["lock"])
        keeper.run()
    except (EmbeddedError, OSError) as error:
        known = error if isinstance(error, EmbeddedError) else EmbeddedStartError(f"{folder.path}: {error}")
        for user in keeper.users:
            say(user, {"error": type(known).__name__, "message": str(known)})


def _label(folder: Folder, lock: int) -> None:
    """For people who find the folder, and for git."""
    os.pwrite(
        lock, b"The data of Faurya Gateway's embedded Postgres. Delete the folder only while nobody uses it.\n", 0
    )
    (folder.path / ".gitignore").write_text("*\n")
