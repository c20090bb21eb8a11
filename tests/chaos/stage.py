"""Everything that a storm goes over: started, wired and ready."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
from aiohttp import web

from gateway.store import embedded
from gateway.store.schema import migrate
from tests.chaos.faurya import Faurya
from tests.chaos.history import Kill
from tests.chaos.line import DatabaseLine, database_line
from tests.chaos.market import Market
from tests.chaos.paddle import Paddle, client
from tests.chaos.ports import free_port
from tests.chaos.programs import Program
from tests.chaos.sites import SHOPS, configuration

READY_SECONDS = 90.0

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Stage:
    """What runs. `database` leads straight to Postgres, whose data lie in `data`; the programs go over the `line`."""

    folder: Path
    data: Path
    database: str
    line: DatabaseLine
    faurya: Faurya
    paddle: Paddle
    market: Market
    say: Say
    servers: list[Program] = field(default_factory=list)
    worker: Program = field(init=False)
    kills: list[Kill] = field(default_factory=list)

    @property
    def programs(self) -> list[Program]:
        return [*self.servers, self.worker]

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def engage(self, ports: tuple[int, int]) -> None:
        """Name the programs: a server of several processes, a server of one, and a worker alone."""
        self.servers = [
            self._program("processes", 0, "serve", "--port", str(ports[0]), "--processes", "2"),
            self._program("single", 1, "serve", "--port", str(ports[1])),
        ]
        self.worker = self._program("worker", 2, "work")

    def _program(self, name: str, lane: int, *words: str) -> Program:
        return Program(name, [*words, "--config", str(self.config)], self.line.urls[lane], self.folder, self.kills)

    async def start(self) -> None:
        """Start the programs and wait until all are ready."""
        for program in self.programs:
            await program.start()
        await self.worker.started()
        async with aiohttp.ClientSession() as http, asyncio.timeout(READY_SECONDS):
            for address in self.paddle.addresses:
                while not await _is_ready(http, address):
                    await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """SIGTERM to all."""
        await asyncio.gather(*(program.stop() for program in self.programs))


async def _is_ready(http: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with http.get(f"{address}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False


@asynccontextmanager
async def staged(seed: int, folder: Path, say: Say) -> AsyncIterator[Stage]:
    """Yield a stage that is ready; everything ends with the block."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await embedded.start(folder / "postgres"))
        await migrate(server.url)
        line = await stack.enter_async_context(database_line(server.url, 3, seed))
        ports = free_port(), free_port()
        http = await stack.enter_async_context(client())
        stage = Stage(
            folder=folder,
            data=folder / "postgres",
            database=server.url,
            line=line,
            faurya=Faurya(Random(f"{seed}-faurya")),
            paddle=Paddle([f"http://127.0.0.1:{port}" for port in ports], http),
            market=Market([shop.name for shop in SHOPS], Random(f"{seed}-market")),
            say=say,
        )
        stack.push_async_callback(stage.paddle.close)
        paddle_url = await stack.enter_async_context(_served(stage.paddle.api()))
        await stage.faurya.start()
        stack.push_async_callback(stage.faurya.stop)
        faurya_url = f"http://127.0.0.1:{stage.faurya.port}"
        stage.config.write_text(configuration(port=ports[0], faurya=faurya_url, paddle=paddle_url))
        stage.engage(ports)
        stack.push_async_callback(stage.stop)
        await stage.start()
        yield stage


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
