"""A deployment rolls: the previous version and this one work side by side on the new schema, and one can go back."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from alembic.script import ScriptDirectory
from harness import free_port
from whole import halves

from gateway.app.serving import listening
from gateway.dev.faurya_stand_in import StandInSite, faurya_stand_in
from gateway.sdk import Attribution, RevenueKind
from gateway.store.schema import migration_sql, migrations, needed_revision
from providers.example import events, signature

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 90.0
SECRET = "whsec_made_up_rolling"
CONFIG = """
server: {{port: {port}, public_url: "http://127.0.0.1:{port}"}}
database: {{url: "{database}"}}
sites:
  acme:
    faurya: {{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_test: true}}
    providers:
      sandbox: {{plugin: example, environment: sandbox, api_key: made-up-key, webhook_secrets: [{secret}]}}
"""


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout


@pytest.fixture(name="previous", scope="module")
def _previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before the newest migration, from this repository's history."""
    newest = Path(ScriptDirectory.from_config(migrations()).get_revision(needed_revision()).path)
    try:
        (added,) = git("log", "--diff-filter=A", "--format=%H", "--", str(newest.relative_to(ROOT))).decode().split()
        archive = git("archive", f"{added}^", "gateway", "providers")
    except (OSError, ValueError, subprocess.CalledProcessError):
        pytest.skip("the version before the newest migration is not here: this is not a repository with its history")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return folder


@dataclass
class Version:
    """One version of the gateway, installed in `code`, with a configuration of its own on the shared database."""

    code: Path
    folder: Path
    port: int = field(default_factory=free_port)
    log: str = ""

    def start(self, *words: str, stream: object = asyncio.subprocess.PIPE) -> object:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAURYA_")}
        return asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words),
            cwd=self.folder, env={**kept, "PYTHONPATH": str(self.code)}, stdout=stream, stderr=stream,
        )  # fmt: skip

    async def run(self, *words: str) -> tuple[int, str]:
        process = await self.start(*words)
        out, err = await process.communicate()
        return process.returncode, (out + err).decode()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve until the end of the block, then SIGTERM: an orderly end is part of what is claimed."""
        path = self.folder / "serve.log"
        with path.open("ab") as stream:
            process = await self.start("serve", stream=stream)
        try:
            await self._ready(process, path)
            yield
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), WAIT_SECONDS)
            self.log = path.read_text()
        assert code == 0, self.log

    async def _ready(self, process: asyncio.subprocess.Process, log: Path) -> None:
        async with asyncio.timeout(WAIT_SECONDS), aiohttp.ClientSession() as http:
            while True:
                assert process.returncode is None, log.read_text()
                try:
                    async with http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def sell(self, *numbers: int) -> None:
        """Send the webhooks of these sales, again where they are turned away, as a provider does."""
        async with aiohttp.ClientSession() as http:
            await asyncio.gather(*(self._sell(http, number) for number in numbers))

    async def _sell(self, http: aiohttp.ClientSession, number: int) -> None:
        body = events.sample(
            RevenueKind.PURCHASE, event_id=f"evt_{number}", payment_id=f"p{number}", simulated=False,
            attribution=Attribution(visitor_id="anna"),
        )  # fmt: skip
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                headers = signature.sign(body, datetime.now(UTC), SECRET.encode())
                url = f"http://127.0.0.1:{self.port}/webhooks/acme/sandbox"
                async with http.post(url, data=body, headers=headers) as answer:
                    if answer.status == 200:
                        return
                    assert answer.status == 503, await answer.text()
                await asyncio.sleep(0.1)


def version(code: Path, folder: Path, **values: str) -> Version:
    folder.mkdir()
    one = Version(code, folder)
    (folder / "config.yaml").write_text(CONFIG.format(port=one.port, secret=SECRET, **values))
    return one


async def test_the_previous_version_works_before_beside_and_after_this_one(
    previous: Path, empty_url: str, tmp_path: Path
) -> None:
    stand_in = faurya_stand_in([StandInSite(name="acme", site_id="acme-site", write_key="acme-write-key", api_key="x")])
    async with listening(stand_in, "127.0.0.1", 0) as faurya, asyncpg.create_pool(empty_url, min_size=1) as database:
        values = {"database": empty_url, "faurya": f"http://127.0.0.1:{faurya}"}
        old, new = version(previous, tmp_path / "old", **values), version(ROOT, tmp_path / "new", **values)
        assert (await old.run("migrate"))[0] == 0
        async with old.serving():
            await old.sell(*range(20))
            code, said = await new.run("serve")
            assert code == 1
            assert "run `faurya-gateway migrate`" in said
            (code, said), _ = await asyncio.gather(new.run("migrate"), old.sell(*range(20, 60)))
            assert code == 0, said
            await old.sell(*range(60, 70))
            async with new.serving():
                await asyncio.gather(old.sell(*range(70, 130)), new.sell(*range(100, 160)))
                await settled(database, 160)
        async with new.serving():
            await asyncio.gather(new.sell(*range(160, 180)), new.sell(*range(20)))
            await settled(database, 180)
        async with old.serving():  # back again
            assert "is newer than this version" in (old.folder / "serve.log").read_text()
            await old.sell(*range(170, 200))
            await settled(database, 200)
        recorded = await recorded_by(faurya)
        assert sorted(recorded) == sorted(f"p{number}" for number in range(200)), "each once"
        assert await halves(database) == {}
    for one in (old, new):
        assert "worker.failed" not in one.log
        assert "request.failed" not in one.log


async def settled(database: asyncpg.Pool, count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await database.fetchval("SELECT count(*) FROM outbox WHERE status = 'recorded'") < count:
            await asyncio.sleep(0.1)


async def recorded_by(port: int) -> list[str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/stand-in/records") as answer:
        return [one["payment_id"] for one in (await answer.json(content_type=None))["recorded"]]


HARMFUL = re.compile(
    r"\b(DROP|RENAME|TRUNCATE|DELETE\s+FROM)\b|\bALTER\s+COLUMN\b(?!\s+\w+\s+SET\s+COMPRESSION\b)|\bSET\s+NOT\s+NULL\b"
    r"|ADD\s+COLUMN\b(?!.*\bDEFAULT\b).*\bNOT\s+NULL\b|ADD\s+(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)\b"
    r"|CREATE\s+UNIQUE\s+INDEX\b|CREATE\s+TRIGGER\b",
    re.IGNORECASE,
)
"""What takes something away from the version before, or refuses what it writes."""


def harmful(sql: str) -> list[str]:
    """Return the statements of migrations after the first that do more than add; a new table may have any index."""
    later = sql.partition("-- Running upgrade 0001 ->")[2]
    created = re.findall(r"CREATE TABLE (\w+)", later)
    statements = [" ".join(part.split()) for part in later.split(";")]
    return [
        statement for statement in statements
        if HARMFUL.search(re.sub(r"^CREATE UNIQUE INDEX .* ON (" + "|".join(created or ["-"]) + r") .*", "", statement))
        and not statement.startswith("CREATE TABLE")
    ]  # fmt: skip


def test_migrations_after_the_first_only_add() -> None:
    assert harmful(migration_sql()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE holds",
        "ALTER TABLE inbox DROP COLUMN query",
        "ALTER TABLE inbox RENAME COLUMN query TO question",
        "ALTER TABLE inbox ALTER COLUMN seen TYPE bigint",
        "ALTER TABLE inbox ALTER COLUMN query SET NOT NULL",
        "ALTER TABLE inbox ADD COLUMN who text NOT NULL",
        "ALTER TABLE inbox ADD CONSTRAINT small CHECK (seen < 9)",
        "CREATE UNIQUE INDEX once ON inbox (id)",
        "DELETE FROM inbox",
    ],
)
def test_what_would_break_the_version_before_is_found(statement: str) -> None:
    assert harmful(f"-- Running upgrade 0001 -> 0002\nCREATE TABLE fresh (a int);\n{statement};") == [statement]


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE inbox ADD COLUMN lost integer NOT NULL DEFAULT 0", "ALTER TABLE inbox ADD COLUMN who text",
     "CREATE INDEX some ON inbox (id)", "CREATE UNIQUE INDEX some ON fresh (a)",
     "ALTER TABLE inbox ALTER COLUMN body SET COMPRESSION lz4"],
)  # fmt: skip
def test_what_only_adds_is_let_through(statement: str) -> None:
    assert harmful(f"-- Running upgrade 0001 -> 0002\nCREATE TABLE fresh (a int);\n{statement};") == []
