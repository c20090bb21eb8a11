"""
The load, in a process of its own: raw HTTP/1.1 over kept connections, every webhook distinct and freshly signed.

It reads a plan (JSON) from standard input, connects, says `ready`, waits for a line, works, writes what came back
(JSON) into the file that the plan names, and says `done`. At full speed every connection sends its next request when
its answer is there. At a given rate every request has a moment at which it should leave, fixed beforehand, and its
latency counts from that moment, whatever else is slow: a stalled server cannot hide behind requests that were never
sent.
"""

import asyncio
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bench.bodies import Requests, Target

FINEST_SECONDS = 0.0001
"""The pacemaker's shortest sleep; it wakes a little after a moment, never before it."""


@dataclass(slots=True)
class Stream:
    """The webhooks of one site: `moments` are when each should leave, in seconds after the start; none: at once."""

    requests: Requests
    count: int
    moments: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


Job = tuple[Stream, int, float]
"""A stream, the webhook's number, and the moment from which its latency counts."""


def poisson(rate: float, begin: float, end: float, seed: int) -> list[float]:
    """Return moments at which independent senders would send `rate` requests a second."""
    chance, moment, moments = random.Random(seed), begin, []
    while (moment := moment + chance.expovariate(rate)) < end:
        moments.append(moment)
    return moments


class Line(asyncio.Protocol):
    """One kept connection with at most one request under way."""

    def __init__(self, sender: "Sender") -> None:
        self._sender = sender
        self._answer = b""
        self.job: Job | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self._sender.lost(self)

    def send(self, job: Job) -> None:
        """Send the job's request."""
        self.job = job
        if self.transport is not None:
            self.transport.write(job[0].requests(job[1], int(time.time())))

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        head_end = answer.find(b"\r\n\r\n")
        if head_end < 0 or len(answer) < head_end + 4 + content_length(answer[:head_end]):
            return
        self._answer = b""
        self._sender.answered(self, answer[9:12].decode())


def content_length(head: bytes) -> int:
    """Return the length that an answer's head announces; 0 where it announces none."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


class Sender:
    """All connections and all that is to be sent."""

    def __init__(self, target: Target, streams: list[Stream], *, keep: bool) -> None:
        self._target, self.streams, self._keep = target, streams, keep
        self._idle: deque[Line] = deque()
        self._waiting: deque[Job] = deque()
        self._unanswered = sum(stream.count for stream in streams)
        self._done = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._jobs: Iterator[Job] = iter(())
        self.began = 0.0
        self.lateness: list[float] = []

    async def connect(self, connections: int) -> None:
        """Open the connections; they stay open."""
        await asyncio.gather(*(self._open() for _ in range(connections)))

    async def _open(self) -> None:
        _, line = await self._loop.create_connection(partial(Line, self), self._target.host, self._target.port)
        self._ready(line)

    async def flood(self) -> float:
        """Send everything as fast as answers come; return the seconds."""
        self._jobs = ((stream, number, 0.0) for stream in self.streams for number in range(stream.count))
        started = self.began = time.perf_counter()
        for _ in range(min(len(self._idle), self._unanswered)):
            self._next(self._idle.popleft())
        await self._done.wait()
        return time.perf_counter() - started

    async def pace(self) -> float:
        """Send everything at its moment; return the seconds from the first moment to the last answer."""
        moments = [(at, index, number) for index, stream in enumerate(self.streams)
                   for number, at in enumerate(stream.moments)]  # fmt: skip
        started = self.began = time.perf_counter() + 0.05
        plan = deque((self.streams[index], number, started + at) for at, index, number in sorted(moments))
        pacemaker = threading.Thread(target=self._beat, args=(plan,), daemon=True)
        pacemaker.start()
        if moments:
            await self._done.wait()
        return time.perf_counter() - started

    def _beat(self, plan: deque[Job]) -> None:
        """In a thread, because the timers of event loops are no finer than a millisecond."""
        while plan:
            now = time.perf_counter()
            due = []
            while plan and plan[0][2] <= now:
                due.append(plan.popleft())
            if due:
                self._loop.call_soon_threadsafe(self._start, due)
            if plan:
                time.sleep(max(FINEST_SECONDS, plan[0][2] - time.perf_counter()))

    def _start(self, due: list[Job]) -> None:
        now = time.perf_counter()
        for job in due:
            self.lateness.append(now - job[2])
            if self._idle:
                self._idle.popleft().send(job)
            else:
                self._waiting.append(job)

    def _next(self, line: Line) -> None:
        job = next(self._jobs, None)
        if job is not None:
            line.send((job[0], job[1], time.perf_counter()))
        elif self._waiting:
            line.send(self._waiting.popleft())
        else:
            line.job = None
            self._idle.append(line)

    def _ready(self, line: Line) -> None:
        line.job = None
        if self._waiting:
            line.send(self._waiting.popleft())
        else:
            self._idle.append(line)

    def answered(self, line: Line, status: str) -> None:
        """Note an answer; send the next."""
        self._note(line, status)
        self._next(line)

    def lost(self, line: Line) -> None:
        """Note a broken connection and open another; what was under way counts as not answered."""
        if self._done.is_set():
            return
        if line.job is not None:
            self._note(line, "broken")
        elif line in self._idle:
            self._idle.remove(line)
        self._loop.create_task(self._reopen())

    async def _reopen(self) -> None:
        while not self._done.is_set():
            try:
                _, line = await self._loop.create_connection(partial(Line, self), self._target.host, self._target.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            self._next(line)
            return

    def _note(self, line: Line, status: str) -> None:
        if line.job is None:
            return
        stream, _, moment = line.job
        stream.statuses[status] += 1
        if self._keep:
            stream.left.append(moment)
            stream.took.append(time.perf_counter() - moment)
        self._unanswered -= 1
        if not self._unanswered:
            self._done.set()


def _streams(plan: dict[str, Any]) -> list[Stream]:
    streams = []
    pieces = [piece.encode() for piece in plan["pieces"]]
    for index, asked in enumerate(plan["streams"]):
        target = Target(plan["host"], plan["port"], asked["path"], asked["secret"])
        moments = []
        if asked.get("rate"):
            moments = poisson(asked["rate"], asked["begin"], asked["end"], plan["seed"] + index)
        count = len(moments) or asked["count"]
        streams.append(Stream(requests=Requests(target, asked["run"], pieces), count=count, moments=moments))
    return streams


async def work(plan: dict[str, Any]) -> dict[str, Any]:
    """Carry out a plan; return what came back. Latencies are seconds, in the order of the answers."""
    streams = _streams(plan)
    sender = Sender(Target(plan["host"], plan["port"], "/"), streams, keep=plan["keep"])
    await sender.connect(plan["connections"])
    print("ready", flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        raise SystemExit("nobody waits for the result")
    paced = any(stream.moments for stream in streams)
    seconds = await (sender.pace() if paced else sender.flood())
    return {
        "began": sender.began,
        "seconds": seconds,
        "lateness": sorted(sender.lateness)[int(len(sender.lateness) * 0.99)] if sender.lateness else 0.0,
        "streams": [
            {"statuses": dict(stream.statuses), "count": stream.count, "left": stream.left, "took": stream.took,
             "moments": stream.moments}
            for stream in streams
        ],
    }  # fmt: skip


def main() -> None:
    """Read the plan, work, write the result where the plan says."""
    import uvloop

    sys.setswitchinterval(0.0002)  # the pacemaker must not wait for the loop
    plan = orjson.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(work(plan))
    Path(plan["result"]).write_bytes(orjson.dumps(result))
    print("done", flush=True)


if __name__ == "__main__":
    main()
