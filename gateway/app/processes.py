"""
Serving in several processes: gunicorn starts, watches and ends them; each one is a whole gateway of its own.

The master binds the ports and hands them down, so no connection is refused while a process starts or ends. At SIGHUP
it proves the new configuration first and then lets every process reload in place; gunicorn's own SIGHUP would replace
the processes, and end the master where the configuration is broken.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import structlog
from aiohttp import web
from aiohttp.worker import GunicornUVLoopWebWorker, GunicornWebWorker
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from prometheus_client.multiprocess import mark_process_dead

from gateway.app import garbage
from gateway.app.assembly import running, utc_now
from gateway.app.database import opened_database
from gateway.app.event_loop import UVLOOP
from gateway.app.serving import reload_on, runner_of
from gateway.app.source import Source
from gateway.config import Config, ConfigError, PluginUnknown, secret_values
from gateway.outbound import client_session
from gateway.plugins import open_all
from gateway.sdk import Runtime
from gateway.store import embedded
from gateway.store.embedded import EmbeddedError, EmbeddedServer
from gateway.store.errors import StoreError
from gateway.telemetry import Redaction, log

BACKLOG = 2048
"""Connections that wait to be accepted; gunicorn's own default."""

STUCK_SECONDS = 90
"""A process that gives no sign of life for this long is replaced. Starting an embedded Postgres may take 60."""

STOP_SECONDS = 30
"""How long the processes may take to finish what is in hand: requests 10 s, then deliveries on their way 10 s."""

START_AGAIN_SECONDS = 1.0
"""Between two starts of a process while the database is away."""

START_AGAIN = 1
"""Exit code of a process that wants to be started again."""

HANGUP = frozenset({signal.SIGHUP})


@dataclass(slots=True)
class Serving:
    """What the master knows and every process is made of. `config` is the last good one."""

    source: Source
    config: Config
    redaction: Redaction
    with_worker: bool
    metrics_sockets: Sequence[socket.socket] = ()
    own_pid: int = field(default_factory=os.getpid)
    hung_up: bool = False

    def reload(self) -> bool:
        """Read the configuration and open its plugins once; report a bad one, take a good one, and say which it was."""
        try:
            config = self.source.load()
            asyncio.run(_opens(config, self.source))
        except (ConfigError, PluginUnknown) as error:
            log().error(
                "config.rejected", mistakes=str(error).splitlines(), hint="the old configuration stays in force"
            )
            return False
        self.config = config
        self.redaction.secrets |= secret_values(config)
        return True

    def hang_up(self, _number: int, _frame: FrameType | None) -> None:
        """Remember a SIGHUP that came before the master could obey it."""
        self.hung_up = True

    async def start(self) -> web.AppRunner:
        """Start the gateway of this process; it ends with the runner, after the requests in hand."""
        structlog.contextvars.bind_contextvars(process=os.getpid())
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANGUP)
        stack = AsyncExitStack()
        try:
            gateway = await stack.enter_async_context(
                running(self.source, self.config, with_worker=self.with_worker, redaction=self.redaction)
            )
        except (StoreError, EmbeddedError) as error:  # the master could open it, so it is away for a while
            log().error("process.not_started", error=str(error), again_in_seconds=START_AGAIN_SECONDS)
            await asyncio.sleep(START_AGAIN_SECONDS)
            raise SystemExit(START_AGAIN) from error
        except Exception as error:
            log().exception("process.failed")
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from error  # the master then ends: it would fail again
        reloading = asyncio.create_task(reload_on(gateway, asked))
        stack.callback(reloading.cancel)
        if self.metrics_sockets:  # any process can answer: the numbers are in the folder and in the database
            await self._serve_metrics(gateway.metrics_application, stack)

        async def end(_application: web.Application) -> None:
            await stack.aclose()
            log().info("process.stopped")

        gateway.application.on_cleanup.append(end)
        garbage.settle()
        log().info("process.started", worker=self.with_worker)
        return runner_of(gateway.application)

    async def _serve_metrics(self, application: web.Application, stack: AsyncExitStack) -> None:
        runner = runner_of(application)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for listener in self.metrics_sockets:
            await web.SockSite(runner, listener).start()


def serve(source: Source, config: Config, redaction: Redaction, *, processes: int, with_worker: bool) -> int:
    """
    Serve until SIGTERM or SIGINT; return the exit code.

    Raises `OSError` where a port cannot be had, and the errors of `opened_database` and `open_all`.
    PROMETHEUS_MULTIPROC_DIR must be set, and was when prometheus_client was imported.
    """
    serving = Serving(source=source, config=config, redaction=redaction, with_worker=with_worker)
    signal.signal(signal.SIGTERM, _stop_before_start)
    signal.signal(signal.SIGHUP, serving.hang_up)
    asyncio.run(_opens(config, source))
    server = config.server
    listeners = bound(server.host, server.port)
    if server.metrics_port is not None:
        serving.metrics_sockets = bound(server.host, server.metrics_port)
    with _embedded_kept(config):
        asyncio.run(_database_opens(config))
        log().info(
            "gateway.started", host=server.host, port=server.port, public_url=server.public_url, processes=processes
        )
        code = _run(_Application(serving, listeners, processes))
    log().info("gateway.stopped")
    return code


def bound(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on every address of `host`, as asyncio has them; raise `OSError` where one is taken."""
    sockets = []
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} ({host}, port {port})") from error
        listener.listen(BACKLOG)
        listener.setblocking(False)
        sockets.append(listener)
    return sockets


def _stop_before_start(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


async def _opens(config: Config, source: Source) -> None:
    """Raise `PluginUnknown` where a plugin of this configuration does not open."""
    async with client_session() as session:
        open_all(config, source.registry, Runtime(http=session, now=utc_now))


async def _database_opens(config: Config) -> None:
    async with opened_database(config, size=1):
        pass


@contextmanager
def _embedded_kept(config: Config) -> Iterator[None]:
    """Keep an embedded Postgres up while processes come and go; each of them joins it by itself."""
    if not config.database.embedded:
        yield
        return
    server: EmbeddedServer = asyncio.run(embedded.start(config.database.data_dir))
    try:
        yield
    finally:
        asyncio.run(server.close())


def _run(application: "_Application") -> int:
    """Run gunicorn, which always ends by `SystemExit`; of its exit codes only "fine or not" is ours."""
    try:
        _Master(application).run()
    except SystemExit as done:
        return 0 if done.code in (0, None) else 1
    return 0


class _Log(Logger):
    """Sends gunicorn's own words where all our log lines go."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class _Application(BaseApplication):
    """What gunicorn runs."""

    def __init__(self, serving: Serving, listeners: Sequence[socket.socket], processes: int) -> None:
        self.serving = serving
        self._binds = [f"fd://{listener.detach()}" for listener in listeners]
        self._processes = processes
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": self._binds,
            "workers": self._processes,
            "worker_class": GunicornUVLoopWebWorker if UVLOOP else GunicornWebWorker,
            "timeout": STUCK_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "backlog": BACKLOG,
            "loglevel": "warning",
            "errorlog": None,
            "accesslog": None,
            "logger_class": _Log,
            "control_socket_disable": True,  # a thread in the master, which forks
            "child_exit": _forget,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self.serving.start


def _forget(_master: Arbiter, process: Any) -> None:
    mark_process_dead(process.pid)  # type: ignore[no-untyped-call]


class _Master(Arbiter):
    """Gunicorn's master with a reload of our own."""

    def __init__(self, app: _Application) -> None:
        self._serving = app.serving
        super().__init__(app)

    def init_signals(self) -> None:
        super().init_signals()
        if self._serving.hung_up:
            self.SIG_QUEUE.put_nowait(signal.SIGHUP)

    def handle_hup(self) -> None:
        if self._serving.reload():
            for pid in list(self.WORKERS):
                self.kill_worker(pid, signal.SIGHUP)

    def handle_usr2(self) -> None:
        log().warning("signal.ignored", signal="SIGUSR2", hint="to upgrade, start the new version and stop this one")

    def spawn_worker(self) -> int:
        # A reload asked for before the process listens to it waits in the mask instead of being lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANGUP)
        try:
            return super().spawn_worker()
        except SystemExit as done:
            if os.getpid() == self._serving.own_pid:
                raise
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(done.code if isinstance(done.code, int) else 1)  # what the master has open is not ours to close
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANGUP)
