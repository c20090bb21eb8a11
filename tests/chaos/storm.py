"""
A storm: everything real is started, sold to, broken in the order that the seed says, and left to recover; then its
history is read.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
from aiohttp import web

from gateway.store import embedded
from gateway.store.schema import migrate
from tests.chaos import sites, sweep
from tests.chaos.faults import FAULTS
from tests.chaos.faurya import Faurya
from tests.chaos.history import History, Kill, read_tables
from tests.chaos.line import DatabaseLine, database_line
from tests.chaos.market import Market
from tests.chaos.paddle import Paddle, client
from tests.chaos.plan import Plan
from tests.chaos.ports import free_port
from tests.chaos.programs import Program
from tests.chaos.result import Happened, Result, cuts, with_rates, worrying_lines

READY_SECONDS = 60.0
DRAIN_SECONDS = 90.0

LATER = 900.0
"""Seconds that the clock is put forward at the end: deliveries that were answered 404 wait for minutes."""


@dataclass(slots=True, kw_only=True)
class Storm:
    """What is running."""

    plan: Plan
    folder: Path
    data: Path
    database: str
    line: DatabaseLine
    faurya: Faurya
    paddle: Paddle
    market: Market
    servers: list[Program]
    worker: Program
    kills: list[Kill]
    say: Callable[[str], None]
    faults: list[Happened] = field(default_factory=list)
    through: bool = False

    @property
    def programs(self) -> list[Program]:
        return [*self.servers, self.worker]

    async def ready(self) -> None:
        """Wait until every server says that it is ready."""
        async with aiohttp.ClientSession() as http, asyncio.timeout(READY_SECONDS):
            await self.worker.started()
            for address in self.paddle.addresses:
                while True:
                    try:
                        async with http.get(f"{address}/readyz") as answer:
                            if answer.status == 200:
                                break
                    except (aiohttp.ClientError, OSError):
                        pass
                    await asyncio.sleep(0.1)

    async def sell(self) -> None:
        """Sell at a steady rate, whatever happens, until all is sold and every fault is through."""
        begin, number = time.monotonic(), 0
        while not self.through or self.market.sales < self.plan.sales:
            while number < (time.monotonic() - begin) * self.plan.rate:
                before = self.market.sales
                for event in self.market.sell():
                    self.paddle.happen(event)
                number += self.market.sales - before
            await asyncio.sleep(0.01)

    async def break_things(self) -> None:
        """Let every fault happen, with calm before and time to recover after."""
        draw = Random(f"{self.plan.seed}-details")
        for name in self.plan.faults:
            await asyncio.sleep(self.plan.calm)
            begin = time.time()
            detail = await FAULTS[name](self, draw)
            self.faults.append(Happened(kind=name, detail=detail, begin=begin, end=time.time()))
            self.say(f"{name}: {detail}, {time.time() - begin:.1f} s; {self.market.sales} sales so far")
            await asyncio.sleep(self.plan.recovery)
        self.through = True

    async def drain(self) -> None:
        """Wait until all webhooks are acknowledged and nothing is due any more, but what waits for minutes."""
        if not await self.paddle.drained(DRAIN_SECONDS):
            self.say(f"{self.paddle.pending} webhooks are not acknowledged yet")
        if not await self.settled(DUE_SOON, DRAIN_SECONDS):
            self.say("some deliveries are still due")

    async def settled(self, sql: str, seconds: float) -> bool:
        """Wait until a query counts nothing."""
        connection, deadline = await asyncpg.connect(self.database), time.monotonic() + seconds
        try:
            while left := await connection.fetchval(sql):
                if time.monotonic() > deadline:
                    self.say(f"{left} still due: {[tuple(row) for row in await connection.fetch(LEFT)]}")
                    return False
                await asyncio.sleep(0.25)
        finally:
            await connection.close()
        return True

    async def stop(self) -> None:
        """SIGTERM to all."""
        await asyncio.gather(*(program.stop() for program in self.programs))

    async def let_minutes_pass(self) -> None:
        """With all others stopped, let one worker do what is due in a quarter of an hour."""
        if await self.settled(UNDONE, 0.0):
            return
        self.faurya.feel("good")
        self.worker.skew, self.worker.alone = LATER, True
        await self.worker.start()
        await self.settled(UNDONE, DRAIN_SECONDS)
        await self.worker.stop()


DUE_SOON = """
SELECT (SELECT count(*) FROM inbox WHERE outcome = 'received')
     + (SELECT count(*) FROM outbox
        WHERE status = 'pending' AND (due_at IS NULL OR due_at < now() + interval '1 minute')
          AND NOT EXISTS (SELECT FROM outbox AS sale
                          WHERE sale.site = outbox.site AND sale.payment_id = outbox.payment_id AND sale.is_sale
                            AND sale.status = 'pending' AND sale.due_at > now() + interval '1 minute'))
"""
UNDONE = """
SELECT (SELECT count(*) FROM inbox WHERE outcome = 'received')
     + (SELECT count(*) FROM outbox WHERE status = 'pending')
"""
LEFT = """
SELECT site, status, reason, count(*), min(due_at) - now() AS due_in FROM outbox
WHERE status = 'pending' GROUP BY 1, 2, 3
"""


@asynccontextmanager
async def storm(plan: Plan, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Storm]:
    """Yield a storm whose programs run and are ready."""
    async with AsyncExitStack() as stack:
        data = folder / "postgres"
        server = await stack.enter_async_context(await embedded.start(data))
        await migrate(server.url)
        line = await stack.enter_async_context(database_line(server.url, 3, plan.seed))
        ports, http = (free_port(), free_port()), await stack.enter_async_context(client())
        paddle = Paddle([f"http://127.0.0.1:{port}" for port in ports], http)
        stack.push_async_callback(paddle.close)
        paddle_url = await stack.enter_async_context(_served(paddle.api()))
        faurya = Faurya(Random(f"{plan.seed}-faurya"))
        await faurya.start()
        stack.push_async_callback(faurya.stop)
        config = folder / "config.yaml"
        config.write_text(
            sites.configuration(port=ports[0], faurya=f"http://127.0.0.1:{faurya.port}", paddle=paddle_url)
        )
        running = _running(plan, folder, data, server.url, line, faurya, paddle, say, ports, config)
        stack.push_async_callback(running.stop)
        for program in running.programs:
            await program.start()
        await running.ready()
        yield running


def _running(plan, folder, data, database, line, faurya, paddle, say, ports, config) -> Storm:
    kills: list[Kill] = []

    def program(name: str, lane: int, *words: str) -> Program:
        return Program(name, [*words, "--config", str(config)], line.urls[lane], folder, kills)

    return Storm(
        plan=plan,
        folder=folder,
        data=data,
        database=database,
        line=line,
        faurya=faurya,
        paddle=paddle,
        market=Market([shop.name for shop in sites.SHOPS], Random(f"{plan.seed}-market")),
        servers=[
            program("processes", 0, "serve", "--port", str(ports[0]), "--processes", "2"),
            program("single", 1, "serve", "--port", str(ports[1])),
        ],
        worker=program("worker", 2, "work"),
        kills=kills,
        say=say,
    )


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Result:
    """Run a storm to its end and return what it came to."""
    started = time.monotonic()
    async with storm(plan, folder, say) as running:
        begun = time.time()
        async with asyncio.TaskGroup() as both:
            both.create_task(running.sell())
            both.create_task(running.break_things())
        ended = time.time()
        await running.drain()
        swept = await sweep.swallowed_and_found(running)
        await running.stop()
        await running.let_minutes_pass()
        history = await _history(running)
        return Result(
            plan=plan,
            history=history,
            faults=with_rates(running.faults, history, running.paddle.accepted, begun, ended),
            seconds=time.monotonic() - started,
            answers=dict(running.paddle.answers),
            slowest=running.paddle.slowest,
            exit_codes={program.name: program.codes for program in running.programs},
            swept=swept,
            logged=worrying_lines(program.log for program in running.programs),
        )


async def _history(running: Storm) -> History:
    events = [(site, event) for site, listed in running.paddle.listed.items() for event, _ in listed]
    history = History(
        movements=running.market.movements,
        told={(site, event.id): event.movement.key if event.tells else "" for site, event in events},
        acknowledged=set(running.paddle.accepted),
        swallowed=running.paddle.swallowed,
        calls=running.faurya.calls,
        kills=running.kills,
        cuts=cuts(running.faults),
    )
    await read_tables(running.database, history)
    return history
