"""A gateway on real Postgres that a state machine drives step by step, and a Faurya that remembers what it was told."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import scripted
from harness import CONFIG, START, Harness, harness
from sending import Died, Slow, book_all_of, deliver
from structlog.testing import capture_logs

from bench.databases import fresh_database
from gateway.domain.delivery import Answer, OutgoingRequest
from gateway.domain.errors import Unavailable
from gateway.domain.ids import movement_key
from gateway.flows.book import book
from gateway.flows.deliver import Deliverer
from gateway.sdk import Delivery, Runtime
from gateway.store import inbox
from gateway.worker import Worker

LEASE = timedelta(seconds=30)
SCHEDULE = "retry: {{schedule: [5s, 1m, 1h, 5h]}}\nworker: {{concurrency_per_site: 1}}\nsites:"
COMPANY = """      live: {{plugin: scripted, environment: live}}
      test: {{plugin: scripted, environment: sandbox}}
    plans:"""
TEXT = CONFIG.replace("    plans:", COMPANY).replace("sites:", SCHEDULE, 1)
KEYS = {"acme-write-key", "Bearer globex-api-key"}
TABLES = ("inbox", "ledger", "outbox", "attempts", "holds", "checkouts", "refusals", "sites")

RECORDING = frozenset({"well", "recorded, then 500", "recorded, then silence", "recorded, then the process died"})
SILENT = Answer(status=None, error="TimeoutError")
ANSWERS = {
    "500": Answer(status=500),
    "503": Answer(status=503, retry_after=timedelta(minutes=2)),
    "silence": SILENT,
    "connection refused": Answer(status=None, sent=False, error="refused"),
    "401": Answer(status=401),
    "501": Answer(status=501),
    "302": Answer(status=302),
    "429": Answer(status=429),
    "429, come again in a minute": Answer(status=429, retry_after=timedelta(minutes=1)),
    "400": Answer(status=400, body="no"),
    "404": Answer(status=404),
    "409, by somebody else": Answer(status=409),
    "422": Answer(status=422),
    "recorded, then 500": Answer(status=500),
    "recorded, then silence": SILENT,
}
WAYS = ("well", *ANSWERS, "the process died", "recorded, then the process died")
DUPLICATES = {
    "counted again": Answer(status=200),
    "409": Answer(status=409),
    "400 that says so": Answer(status=400, body="Duplicate transaction"),
    "400 without a word": Answer(status=400, body="Bad request"),
}


def text_of(basis: str, *, bad_key: bool) -> str:
    """The configuration with another figure to record, or with keys that Faurya refuses."""
    text = TEXT.replace("faurya: {{", f"faurya: {{{{amount: {basis}, ")
    return text.replace("acme-write-key", "mistyped").replace("globex-api-key", "mistyped") if bad_key else text


@dataclass
class SlowReading:
    """What a plugin that takes its time waits for."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)


class Company(scripted.Scripted):
    """A provider whose webhooks mean what was written down for their body, and which may be away or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: dict[bytes, Any] = {}  # type: ignore[assignment]
        self.away = False
        self.slow: SlowReading | None = None

    def open(self, config: Any, runtime: Runtime) -> Any:
        return _Opened(self)


class _Opened(scripted.ScriptedProvider):
    plugin: Company

    async def extract(self, delivery: Delivery) -> Any:
        slow, reading = self.plugin.slow, self.plugin.readings[delivery.request.body]
        if slow is not None:
            slow.begun.set()
            await slow.goes_on.wait()
        if self.plugin.away:
            raise Unavailable("away")
        if isinstance(reading, Exception):
            raise reading
        return reading


@dataclass
class Faurya:
    """What Faurya recorded, by Idempotency-Key, and what it told the gateway."""

    duplicates: str = "409"
    recorded: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    bodies: dict[str, bytes] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def answer(self, request: OutgoingRequest, *, is_lost: bool) -> Answer:
        """What it answers when it is well; `is_lost` says that the gateway never gets to hear it, or not yet."""
        key = key_of(request)
        if not {value for _, value in request.secret_headers} & KEYS:
            return Answer(status=401)
        if self.recorded[key] and self.duplicates != "counted again":
            return DUPLICATES[self.duplicates]
        self.recorded[key] += 1
        self.unanswered[key] += is_lost
        return Answer(status=200)

    def tells(self, request: OutgoingRequest, answer: Answer) -> None:
        """The answer reaches a living gateway."""
        if answer.status in (200, 409) or "Duplicate" in answer.body:
            self.told.add(key_of(request))


def key_of(request: OutgoingRequest) -> str:
    return dict(request.headers)["Idempotency-Key"]


@dataclass
class Late(Slow):
    """Answers once told to, unless its process is gone by then."""

    process_is_gone: bool = False

    async def __call__(self, request: OutgoingRequest) -> Answer:
        answer = await super().__call__(request)
        if self.process_is_gone:
            raise Died
        return answer


@dataclass
class Hung:
    """A delivery whose answer is still out; its worker may have lost the lease meanwhile."""

    request: OutgoingRequest
    honest: Answer
    call: Late
    task: asyncio.Task[None]


@dataclass
class Rows:
    """The tables at one moment."""

    inbox: list[asyncpg.Record]
    ledger: list[asyncpg.Record]
    outbox: list[asyncpg.Record]
    attempts: list[asyncpg.Record]
    holds: list[asyncpg.Record]

    def to_read(self, now: datetime) -> bool:
        return any(row["due_at"] and row["due_at"] <= now for row in self.inbox)

    def to_send(self, now: datetime) -> bool:
        held = any(hold["until"] > now or (hold["probe_until"] or now) > now for hold in self.holds)
        return not held and any(row["due_at"] and row["due_at"] <= now for row in self.outbox)

    def next_at(self, now: datetime) -> datetime | None:
        """When something is due that is not due yet."""
        times = [row["due_at"] for row in (*self.inbox, *self.outbox) if row["due_at"]]
        times += [moment for hold in self.holds for moment in (hold["until"], hold["probe_until"]) if moment]
        return min((moment for moment in times if moment > now), default=None)


async def claim_and_die(gateway: Harness, site: str = "acme") -> None:
    """A worker claims webhooks to read and is never seen again."""
    async with gateway.gateway.context.database.transaction() as connection:
        await inbox.claim(
            connection, site, [name for place, name in gateway.gateway.live.connections if place == site],
            now=gateway.clock(), lease=UUID(int=secrets.randbits(128)), lease_for=LEASE, limit=64,
        )  # fmt: skip


async def probe_now(gateway: Harness) -> None:
    """What a worker does at its start and after a reload."""
    context = gateway.gateway.context
    await Worker(context, lambda: gateway.gateway.live, Deliverer(context, Slow())).probe_now()


class World:
    """Everything that a step may do; `faults` says what a step saw that must never be."""

    def __init__(
        self, runner: asyncio.Runner, gateway: Harness, eye: asyncpg.Connection, company: Company, logs: list[Any]
    ) -> None:
        self.runner, self.gateway, self.eye, self.company, self.logs = runner, gateway, eye, company, logs
        self.site = "acme"
        self.faurya = Faurya()
        self.hung: list[Hung] = []
        self.reading: list[tuple[SlowReading, asyncio.Task[int]]] = []
        self.faults: list[str] = []
        self.names: dict[str, tuple[str, str]] = {}
        self.key_is_bad = False
        self.basis = "gross"

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    async def reset(self, site: str, duplicates: str, basis: str) -> None:
        """Another gateway, as far as anybody can tell."""
        await self.process_dies()
        await self.eye.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        self.gateway.clock.moment = START
        if self.key_is_bad or basis != self.basis:
            self.basis = basis
            await self.change_key(bad=False)
        self.site, self.faurya = site, Faurya(duplicates)
        self.company.readings.clear()
        self.company.away = False
        self.names, self.faults = {}, []
        self.logs.clear()

    # What a step may do.

    async def webhook(self, connection: str, event_id: str, body: bytes, reading: Any) -> None:
        for event in reading if isinstance(reading, Sequence) else ():
            self.names[movement_key(self.site, connection, event.key)] = (connection, event.key)
        self.company.readings[body] = reading
        answer = await self.gateway.send(body, self.site, connection, headers={scripted.EVENT: event_id})
        assert answer.status == 200

    async def books(self) -> None:
        await book_all_of(self.gateway, self.site)

    async def booking_dies(self) -> None:
        await claim_and_die(self.gateway, self.site)

    async def reading_begins(self) -> None:
        """A worker claims what is due, and its plugin takes its time."""
        slow = self.company.slow = SlowReading()
        task = asyncio.create_task(book(self.gateway.gateway.context, self.gateway.gateway.live, self.site))
        begun = asyncio.create_task(slow.begun.wait())
        await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        self.company.slow = None
        self.reading.append((slow, task))

    async def reading_ends(self) -> None:
        slow, task = self.reading.pop(0)
        slow.goes_on.set()
        await task

    async def delivers(self, ways: Sequence[str] = (), *, meanwhile: str = "well") -> None:
        """Deliver what is due, answered in these ways, then well; what hangs meanwhile is answered in its own way."""
        left, stopping = list(ways), asyncio.Event()

        async def send(request: OutgoingRequest) -> Answer:
            if key_of(request) in {key_of(hung.request) for hung in self.hung}:
                return await self._call(request, meanwhile, stopping)
            return await self._call(request, left.pop(0) if left else "well", stopping)

        await deliver(self.gateway, send, self.site, stopping=stopping)

    async def delivery_begins(self, *, recorded: bool) -> None:
        """One delivery whose answer does not come back for now."""
        call, stopping, asked = Late(), asyncio.Event(), []

        async def send(request: OutgoingRequest) -> Answer:
            await self._before(request, key_of(request))
            honest = self.faurya.answer(request, is_lost=True) if recorded else Answer(status=500)
            asked.append((request, honest))
            return await call(request)

        task = asyncio.create_task(deliver(self.gateway, send, self.site, stopping=stopping))
        waiting = asyncio.create_task(call.under_way.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        waiting.cancel()
        if task.done():
            await task
        else:
            self.hung.append(Hung(*asked[0], call, task))

    async def late_answer(self, which: int, way: str) -> None:
        """The answer comes after all: what Faurya said, or what something on the way makes of it."""
        hung = self.hung.pop(which % len(self.hung))
        answer = hung.call.answer = hung.honest if way == "well" else ANSWERS[way]
        hung.call.goes_on.set()
        await hung.task
        self.faurya.tells(hung.request, answer)
        if answer.status in (200, 409):
            connection, movement = self.names[key_of(hung.request)]
            recorded_at = await self.eye.fetchval(
                "SELECT recorded_at FROM outbox WHERE site = $1 AND connection = $2 AND revenue_key = $3",
                self.site, connection, movement,
            )  # fmt: skip
            if recorded_at is None:
                self.faults.append(f"a late success of {movement} was forgotten")

    async def process_dies(self) -> None:
        """All that was under way ends here."""
        for hung in self.hung:
            hung.call.process_is_gone = True
            hung.call.goes_on.set()
            await hung.task
        for _, task in self.reading:
            task.cancel()
            await asyncio.wait([task])
        self.hung, self.reading = [], []

    async def change_key(self, *, bad: bool) -> None:
        """Somebody edits the configuration and sends SIGHUP."""
        self.key_is_bad = bad
        self.gateway.rewrite_config(text_of(self.basis, bad_key=bad))
        running = self.gateway.gateway
        assert await running.reload()
        await probe_now(self.gateway)

    async def _call(self, request: OutgoingRequest, way: str, stopping: asyncio.Event) -> Answer:
        key = key_of(request)
        await self._before(request, key)
        honest = self.faurya.answer(request, is_lost=way != "well") if way in RECORDING else None
        if way.endswith("died"):
            stopping.set()
            raise Died
        answer = honest if way == "well" and honest is not None else ANSWERS[way]
        self.faurya.tells(request, answer)
        return answer

    async def _before(self, request: OutgoingRequest, key: str) -> None:
        """What must be true when a call reaches Faurya."""
        if key not in self.names:
            self.faults.append(f"a call for a movement that never happened: {orjson.loads(request.body)}")
            return
        connection, movement = self.names[key]
        row = await self.eye.fetchrow(
            """
            SELECT status, attempts, lease, (SELECT count(*) FROM attempts WHERE site = $1 AND connection = $2
                AND revenue_key = $3) AS noted, (SELECT verdict FROM attempts WHERE site = $1 AND connection = $2
                AND revenue_key = $3 ORDER BY number DESC LIMIT 1) AS verdict
            FROM outbox WHERE site = $1 AND connection = $2 AND revenue_key = $3
            """,
            self.site, connection, movement,
        )  # fmt: skip
        self.faurya.calls[key] += 1
        if row["status"] != "pending" or row["lease"] is None:
            self.faults.append(f"{movement} was sent while it was {row['status']}")
        if row["noted"] != row["attempts"] or row["noted"] < self.faurya.calls[key] or row["verdict"] is not None:
            self.faults.append(f"{movement} was sent before the attempt was written down")
        if key in self.faurya.told:
            self.faults.append(f"{movement} was sent again after Faurya had said that it is recorded")
        if self.faurya.bodies.setdefault(key, request.body) != request.body:
            self.faults.append(f"{movement} was sent in two forms: {self.faurya.bodies[key]!r} {request.body!r}")
        if connection == "test":
            self.faults.append(f"test money reached a live site: {movement}")

    # What can be seen.

    async def rows(self) -> Rows:
        return Rows(
            inbox=await self.eye.fetch("SELECT * FROM inbox"),
            ledger=await self.eye.fetch("SELECT * FROM ledger"),
            outbox=await self.eye.fetch("SELECT * FROM outbox"),
            attempts=await self.eye.fetch(
                "SELECT connection, revenue_key, number, status_code, verdict FROM attempts ORDER BY number"
            ),
            holds=await self.eye.fetch("SELECT * FROM holds"),
        )

    async def to_the_end(self, rounds: int = 60) -> None:
        """Everybody is well from now on; go from one due time to the next until there is none."""
        await self.process_dies()
        self.company.away = False
        if self.key_is_bad:
            await self.change_key(bad=False)
        for _ in range(rounds):
            await self.books()
            await self.delivers()
            rows = await self.rows()
            next_at = rows.next_at(self.gateway.clock())
            if next_at is None:
                return
            self.gateway.clock.moment = next_at
        raise AssertionError(f"not at rest after {rounds} rounds: {await self.gateway.overview()}")


@contextmanager
def opened_world(server_url: str, template: str, folder: Path) -> Iterator[World]:
    """One gateway for many examples: hypothesis is not asynchronous, so it gets an event loop that it may run."""
    with asyncio.Runner() as runner, capture_logs() as logs:
        company, stack = Company(), AsyncExitStack()
        database = runner.run(stack.enter_async_context(fresh_database(server_url, template=template)))
        gateway = runner.run(
            stack.enter_async_context(
                harness(database, folder, text=TEXT, registry=scripted.registry(company), with_worker=False)
            )
        )
        running = gateway.gateway
        running.context = replace(running.context, draw=lambda: 0.5)  # the same example always goes the same way
        eye = runner.run(asyncpg.connect(database))
        world = World(runner, gateway, eye, company, logs)
        try:
            yield world
        finally:
            runner.run(world.process_dies())
            runner.run(eye.close())
            runner.run(stack.aclose())
