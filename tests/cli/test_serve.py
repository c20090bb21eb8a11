"""`serve` in one and in several processes: signals, ports, reloads, numbers."""

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from harness import free_port

from tests.cli.commands import MORE, Folder, Served, arguments, environment, eventually

ONE_AND_TWO = pytest.mark.parametrize("count", ["1", "2"])


@ONE_AND_TWO
async def test_sigterm_finishes_the_request_in_hand_and_exits_0(folder: Folder, database_url: str, count: str) -> None:
    holder = await asyncpg.connect(database_url)
    try:
        async with folder.serving("--processes", count) as served:
            async with holder.transaction():
                await holder.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
                answer = asyncio.create_task(served.send("slow"))
                await asyncio.sleep(0.3)
                ended = asyncio.create_task(served.stop())
                await asyncio.sleep(0.3)
            assert await answer == 200
            assert await ended == 0
            assert served.lines("gateway.stopped")
            assert "Traceback" not in served.log.read_text()
    finally:
        await holder.close()


@ONE_AND_TWO
async def test_sighup_takes_a_good_file_and_keeps_the_old_one_over_a_bad_one(folder: Folder, count: str) -> None:
    good = folder.config.read_text() + MORE
    async with folder.serving("--processes", count) as served:
        await served.logged("process.started" if count == "2" else "gateway.started", int(count))
        pids = served.pids()
        refused: list[int] = []
        asking = asyncio.create_task(_ask_for_ever(served, refused))
        assert await served.send("early", "globex/sandbox") == 404
        folder.config.write_text(good)
        served.process.send_signal(signal.SIGHUP)
        await served.logged("config.reloaded", int(count))
        assert [await served.send(f"after{number}", "globex/sandbox") for number in range(8)] == [401] * 8
        folder.config.write_text(good + "one_mistake: 1\nanother_mistake: 2\n")
        served.process.send_signal(signal.SIGHUP)
        (rejected,) = await served.logged("config.rejected")
        assert [line.split(":")[0] for line in rejected["mistakes"]] == ["config.yaml"] * 2
        assert [await served.send(f"later{number}", "globex/sandbox") for number in range(8)] == [401] * 8
        asking.cancel()
        assert refused == []
        assert served.pids() == pids
        assert await served.stop() == 0


async def _ask_for_ever(served: Served, refused: list[int]) -> None:
    while True:
        status, _ = await served.get("/healthz")
        if status != 200:
            refused.append(status)


async def test_the_numbers_of_all_processes_add_up(folder: Folder) -> None:
    port = free_port()
    text = folder.config.read_text().replace("server: {", f"server: {{metrics_port: {port}, ")
    folder.config.write_text(text)
    async with folder.serving("--processes", "2") as served:
        await served.logged("process.started", 2)
        first, second = served.pids()
        for awake, asleep, names in ((first, second, "abc"), (second, first, "de")):
            os.kill(asleep, signal.SIGSTOP)
            try:
                assert [await served.send(f"{name}{awake}") for name in names] == [200] * len(names)
            finally:
                os.kill(asleep, signal.SIGCONT)
        for asleep in (first, second):
            os.kill(asleep, signal.SIGSTOP)
            try:
                assert await _kept(served, port) == 5
            finally:
                os.kill(asleep, signal.SIGCONT)
        assert (await served.get("/metrics"))[0] == 404
        os.kill(second, signal.SIGKILL)
        await served.logged("process.started", 3)
        assert await _kept(served, port) == 5, "a process that died still counts"
        assert await served.stop() == 0
    assert first not in _processes()


async def _kept(served: Served, port: int) -> float:
    _, text = await served.get("/metrics", port)
    return float(re.findall(r"^gateway_webhook_seconds_count ([0-9.]+)$", text, re.MULTILINE)[0])


def _processes() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


async def test_two_processes_share_one_embedded_database(folder: Folder) -> None:
    text = re.sub(r'url: "postgresql[^"]*"', "url: embedded", folder.config.read_text())
    live = next(line for line in text.splitlines(keepends=True) if "environment: live" in line)
    folder.config.write_text(text.replace(live, ""))
    async with folder.serving("--processes", "2") as served:
        await served.logged("process.started", 2)
        assert [await served.send(str(number)) for number in range(4)] == [200] * 4
        assert await served.stop() == 0
    assert not (folder.path / ".gateway-data" / "postmaster.pid").exists()


@ONE_AND_TWO
async def test_a_busy_port_is_one_clear_sentence(folder: Folder, count: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", folder.port))
        taken.listen()
        result = await folder.run("serve", "--processes", count)
    assert (result.code, result.out) == (1, "")
    (line,) = [line for line in result.err.splitlines() if not line.startswith("{")]
    assert line.startswith("error: cannot listen: ")
    assert str(folder.port) in line
    assert line.endswith("stop what listens there, or choose another port")


@ONE_AND_TWO
async def test_a_database_that_is_away_is_one_clear_sentence(bare: Folder, count: str) -> None:
    result = await bare.run("serve", "--processes", count)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "error: the database cannot be used now (ConnectionRefusedError): check that it runs, and database.url"
    ]


async def test_a_process_that_finds_the_database_away_starts_again(folder: Folder, database_url: str) -> None:
    name = urlsplit(database_url).path.strip("/")
    operator = await asyncpg.connect(database_url, database="postgres")
    try:
        async with folder.serving("--processes", "2") as served:
            await served.logged("process.started", 2)
            await _rename(operator, name, f"{name}_away")
            os.kill(served.pids()[0], signal.SIGKILL)
            await served.logged("process.not_started", 2)
            await _rename(operator, f"{name}_away", name)
            await served.logged("process.started", 3)
            assert await served.stop() == 0
    finally:
        await operator.close()


async def _rename(operator: asyncpg.Connection, old: str, new: str) -> None:
    """Rename a database while others keep coming back to it."""
    for _ in range(200):
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND backend_type = $2",
            *(old, "client backend"),  # nobody but a superuser may end an autovacuum worker
        )
        try:
            await operator.execute(f"ALTER DATABASE {old} RENAME TO {new}")
        except asyncpg.ObjectInUseError:
            continue
        return
    raise AssertionError(f"{old} is always in use")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "command line: server.public_url: is required when server.host is not this machine"),
        (["--port", "0"], 2, "--port"),
        (["--config", "missing.yaml"], 2, "missing.yaml: cannot be read: No such file or directory"),
    ],
)
async def test_a_wrong_option_is_named(bare: Folder, words: list[str], code: int, said: str) -> None:
    result = await bare.run("serve", *words)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


async def test_host_and_port_of_the_command_line_win_also_after_a_reload(folder: Folder) -> None:
    written = folder.port
    folder.port = free_port()
    async with folder.serving("--port", str(folder.port), "--no-worker") as served:
        (started,) = served.lines("gateway.started")
        assert (started["port"], started["public_url"]) == (folder.port, folder.url)
        assert started["worker"] is False
        served.process.send_signal(signal.SIGHUP)
        (reloaded,) = await served.logged("config.reloaded")
        assert reloaded["needs_restart"] == []
        assert written != folder.port


async def test_the_worker_alone_runs_until_sigterm(folder: Folder) -> None:
    log = folder.path / "work.log"
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *arguments("work"), cwd=folder.path, env=environment(), stdout=stream, stderr=stream
        )
    await eventually(lambda: "gateway.started" in log.read_text(), log.read_text)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert "gateway.stopped" in log.read_text()
