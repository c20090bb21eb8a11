"""The real commands, as processes of their own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from gateway.sdk import RevenueKind
from providers.example import events, signature

SECRET = "whsec_made_up_sandbox"
WAIT_SECONDS = 90.0

CONFIG = """
server: {{port: {port}}}
database: {{url: "{database}"}}
sites:
  acme:
    faurya: {{api: revenue, url: "http://127.0.0.1:9", site_id: acme-site, write_key: acme-write-key}}
    providers:
      sandbox: {{plugin: example, environment: sandbox, api_key: key-of-acme, webhook_secrets: [whsec_made_up_sandbox]}}
      example: {{environment: live, api_key: key-of-acme-live, webhook_secrets: [whsec_made_up_live]}}
"""

MORE = """
  globex:
    faurya: {api: revenue, url: "http://127.0.0.1:9", site_id: globex-site, write_key: globex-write-key}
    providers:
      sandbox: {plugin: example, environment: sandbox, api_key: key-of-globex, webhook_secrets: [whsec_made_up_globex]}
"""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def arguments(*words: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *words]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAURYA_", "FORCE_"))}
    root = str(Path(__file__).parents[2])
    return {**kept, "PYTHONPATH": root, "COLUMNS": "200", **more}


@dataclass
class Folder:
    """A folder with a config.yaml, where commands are run."""

    path: Path
    port: int

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, *words: str, **more: str) -> Result:
        process = await asyncio.create_subprocess_exec(
            *arguments(*words),
            cwd=self.path,
            env=environment(**more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        return Result(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def serving(self, *words: str, until: str = "/readyz") -> AsyncIterator["Served"]:
        """Run `serve` until the end of the block."""
        log = self.path / "serve.log"
        with log.open("wb") as stream:
            process = await asyncio.create_subprocess_exec(
                *arguments("serve", *words), cwd=self.path, env=environment(), stdout=stream, stderr=stream
            )
        served = Served(self, process, log)
        try:
            await served.answers(until)
            yield served
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), WAIT_SECONDS)


@dataclass
class Served:
    """A running `serve`."""

    folder: Folder
    process: asyncio.subprocess.Process
    log: Path

    def lines(self, event: str) -> list[dict[str, Any]]:
        texts = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, texts) if line["event"] == event]

    def pids(self) -> list[int]:
        return [line["process"] for line in self.lines("process.started")]

    async def logged(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.lines(event)) >= times, lambda: f"{event}: {self.log.read_text()}")
        return self.lines(event)

    async def answers(self, path: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            assert self.process.returncode is None, self.log.read_text()
            try:
                if (await self.get(path))[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, self.log.read_text()
            await asyncio.sleep(0.05)

    async def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """Ask over a connection of its own, so that any process may answer."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port or self.folder.port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def send(self, name: str, place: str = "acme/sandbox") -> int:
        """Send a signed webhook over a connection of its own."""
        body, headers = webhook(name)
        url = f"{self.folder.url}/webhooks/{place}"
        async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
            return answer.status

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), WAIT_SECONDS)


def webhook(name: str) -> tuple[bytes, dict[str, str]]:
    body = events.sample(RevenueKind.PURCHASE, event_id=f"evt_{name}", payment_id=f"pay_{name}", simulated=False)
    return body, dict(signature.sign(body, datetime.now(UTC), SECRET.encode()))


async def eventually(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        await asyncio.sleep(0.05)
