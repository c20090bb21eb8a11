"""A real Postgres restarted, crashed, failed over to its standby, and on a disk that is full."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from harness import harness
from proxy import database_proxy
from server import Server, server, standby_of
from troubled import Scene, execute

from gateway.store.schema import migrate


@pytest_asyncio.fixture(name="postgres")
async def _postgres() -> AsyncIterator[Server]:
    async with server() as one:
        await migrate(one.url)
        yield one


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_a_postgres_that_goes_and_comes_back_has_everything_that_was_acknowledged(
    postgres: Server, tmp_path: Path, how: str
) -> None:
    async with (
        database_proxy(postgres.url) as proxy,
        harness(postgres.url, tmp_path, through=proxy.url) as gateway,
    ):
        scene = Scene(gateway, proxy, postgres.url, postgres.url)
        acknowledged = [f"before{number}" for number in range(20)]
        assert await asyncio.gather(*(scene.kept_at_last(name) for name in acknowledged)) == [0] * 20
        await (postgres.stop() if how == "stop" else postgres.crash())
        await scene.turned_away("w1", "w2")
        assert await scene.ready() == 503
        await postgres.start()
        assert [await scene.kept_at_last(name) for name in ("w1", "w2", "before0")] == [0, 0, 0]
        assert await scene.ready() == 200
        gateway.clock.forward(gateway.gateway.live.config.worker.lease)  # what was claimed when it went
        await scene.all_is_well(*acknowledged, "w1", "w2")


def both(primary: str, standby: str) -> str:
    """Return an address that names two servers and wants the one that takes writes."""
    first, rest = primary.split("/gateway?")
    return f"{first},{standby.rpartition('@')[2].partition('/')[0]}/gateway?{rest}&target_session_attrs=read-write"


@pytest.mark.parametrize("names_both", [False, True], ids=["the address moves", "the address names both"])
async def test_a_standby_turns_webhooks_away_until_it_is_promoted_and_then_nobody_is_restarted(
    postgres: Server, tmp_path: Path, names_both: bool
) -> None:
    async with (
        database_proxy(postgres.url) as proxy,
        standby_of(postgres) as standby,
        database_proxy(standby) as other,
        harness(proxy.url, tmp_path, through=both(proxy.url, other.url) if names_both else proxy.url) as gateway,
    ):
        scene = Scene(gateway, proxy, standby, standby)
        assert await scene.kept_at_last("before") == 0
        await gateway.settled()
        proxy.lead_to(standby)
        await postgres.stop()
        await scene.turned_away("w1")
        await scene.turned_away("w1", "w2")
        assert await scene.ready() == 503
        await execute(standby.replace("gateway@", "postgres@", 1), "SELECT pg_promote()")
        assert await scene.kept_at_last("w1") <= 1
        assert [await scene.kept_at_last(name) for name in ("w2", "before")] == [0, 0]
        assert await scene.ready() == 200
        gateway.clock.forward(gateway.gateway.live.config.worker.lease)
        await scene.all_is_well("before", "w1", "w2")


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own size, in memory; skips where this user may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-test-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("only root with the right to mount can make a disk that is full; the error itself is tested")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_disk_that_is_full_turns_webhooks_away_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(16) as disk:
        async with server() as postgres:
            await migrate(postgres.url)
            place = disk / "space"
            place.mkdir()
            owner = (postgres.folder / "postgres").stat()
            os.chown(place, owner.st_uid, owner.st_gid)
            await execute(
                postgres.superuser_url,
                f"CREATE TABLESPACE small LOCATION '{place}'", "GRANT CREATE ON TABLESPACE small TO gateway",
                "ALTER TABLE inbox SET TABLESPACE small",
            )  # fmt: skip
            async with (
                database_proxy(postgres.url) as proxy,
                harness(postgres.url, tmp_path, through=proxy.url) as gateway,
            ):
                scene = Scene(gateway, proxy, postgres.url, postgres.url)
                assert await scene.kept_at_last("before") == 0
                await gateway.settled()
                filler = disk / "filler"
                with pytest.raises(OSError, match="No space"):
                    filler.write_bytes(b"\0" * 2**25)
                large = [os.urandom(100_000) for _ in range(3)]
                for body in large:
                    answer = await gateway.send(body)
                    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
                filler.unlink()
                for body in large:
                    assert (await gateway.send(body)).status == 200
                assert await scene.kept_at_last("after") == 0
                await scene.all_is_well("before", "after")
