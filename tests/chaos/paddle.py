"""
Paddle, selling for several sites: it sends webhooks as Paddle does, and lists what happened.

A webhook is sent until its answer is exactly 200 within 5 seconds, at Paddle's own intervals (60 s growing by 1.1,
`providers/paddle/stand_in/deliveries.py`), which pass `SPEED` times faster here. It goes to the gateway's addresses in
turn, through what a load balancer does: one that refuses the connection is passed over.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import aiohttp
import orjson
from aiohttp import web

from gateway.sdk import time_of
from providers.paddle.signature import sign
from providers.paddle.stand_in.deliveries import RETRIES
from tests.chaos.bodies import body_of
from tests.chaos.history import Place
from tests.chaos.market import Event
from tests.chaos.sites import BY_NAME, CONNECTION, SHOPS

SPEED = 60.0
ANSWER_SECONDS = 5.0
HEADERS = {"Content-Type": "application/json", "User-Agent": "Paddle"}
PER_PAGE = 200


@dataclass(slots=True)
class Paddle:
    """`addresses` are the gateway's. `accepted` has the moment of each event's first 200."""

    addresses: Sequence[str]
    http: aiohttp.ClientSession
    listed: dict[str, list[tuple[Event, datetime]]] = field(default_factory=lambda: {shop.name: [] for shop in SHOPS})
    accepted: dict[Place, float] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    swallowed: set[Place] = field(default_factory=set)
    recent: list[tuple[Event, datetime]] = field(default_factory=list)
    slowest: float = 0.0
    _turns: count = field(default_factory=count)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def happen(self, event: Event, *, swallowed: bool = False, ago: timedelta = timedelta(0)) -> None:
        """List an event and, unless its webhook is swallowed, send it, with its duplicates."""
        at = datetime.now(UTC) - ago
        self.listed[event.movement.site].append((event, at))
        if swallowed:
            return
        self.recent = [*self.recent[-499:], (event, at)]
        for number in range(event.copies):
            self.send(event, at, after=event.delay + 0.3 * number)

    def send(self, event: Event, at: datetime, *, after: float = 0.0) -> None:
        task = asyncio.create_task(self._send(event, at, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drained(self, seconds: float) -> bool:
        """Wait until every webhook is acknowledged; say whether that happened in time."""
        deadline = time.monotonic() + seconds
        while self._tasks and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return not self._tasks

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, event: Event, at: datetime, after: float) -> None:
        await asyncio.sleep(after)
        body, site = body_of(event, at), event.movement.site
        for pause in RETRIES["live"]:
            if await self._attempt(site, body) == 200:
                self.accepted.setdefault((site, event.id), time.time())
                return
            await asyncio.sleep(pause / SPEED)

    async def _attempt(self, site: str, body: bytes) -> int | None:
        turn, started = next(self._turns), time.monotonic()
        headers = {**HEADERS, **sign(BY_NAME[site].secret, body, datetime.now(UTC))}
        for other in range(len(self.addresses)):
            address = self.addresses[(turn + other) % len(self.addresses)]
            try:
                async with self.http.post(f"{address}/webhooks/{site}/{CONNECTION}", data=body, headers=headers) as got:
                    await got.read()
                    self.answers[str(got.status)] += 1
                    if got.status == 200:
                        self.slowest = max(self.slowest, time.monotonic() - started)
                    return got.status
            except aiohttp.ClientConnectorError:
                self.answers["refused"] += 1
            except TimeoutError:
                self.answers["timeout"] += 1
                return None
            except (aiohttp.ClientError, OSError):
                self.answers["broken"] += 1
                return None
        return None

    def api(self) -> web.Application:
        """Return Paddle's list of events; each site's key sees its own."""
        app = web.Application()
        app.router.add_get("/events", self._events)
        app.router.add_get("/transactions", self._nothing)
        return app

    async def _nothing(self, _request: web.Request) -> web.Response:
        return _page([], has_more=False, after="")

    async def _events(self, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        site = next((shop.name for shop in SHOPS if shop.api_key == key), None)
        if site is None:
            return web.json_response({"error": {"code": "invalid_token", "detail": "nobody's"}}, status=403)
        found = [(event, at) for event, at in self.listed[site] if _wanted(event, at, request.query)]
        found.sort(key=lambda pair: pair[0].id)
        size = min(int(request.query.get("per_page", "50")), PER_PAGE)
        page = found[:size]
        bodies = [body_of(event, at) for event, at in page]
        after = page[-1][0].id if page else request.query.get("after", "")
        return _page(bodies, has_more=len(found) > size, after=after)


def client() -> aiohttp.ClientSession:
    """Return the session that webhooks are sent with."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))


def _wanted(event: Event, at: datetime, query: Mapping[str, str]) -> bool:
    types = query.get("event_type")
    if types and event.type not in types.split(","):
        return False
    if "from" in query and at < time_of(query["from"], "from"):
        return False
    return event.id > query.get("after", "")


def _page(bodies: Sequence[bytes], *, has_more: bool, after: str) -> web.Response:
    link = f"https://api.paddle.com/events?after={after}"
    pagination = {"per_page": PER_PAGE, "next": link, "has_more": has_more, "estimated_total": len(bodies)}
    meta = orjson.dumps({"request_id": "made-up", "pagination": pagination})
    content = b'{"data":[' + b",".join(bodies) + b'],"meta":' + meta + b"}"
    return web.Response(body=content, content_type="application/json")
