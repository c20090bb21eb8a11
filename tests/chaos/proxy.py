"""
A way to Postgres that can be cut, frozen and slowed: a process of its own, so that it takes no time from the others.

    python -m tests.chaos.proxy HOST PORT LANES SEED

listens on LANES ports, which it prints as one line of JSON, and obeys the lines that it reads: `refuse` (break what is
open, refuse what comes), `accept`, `break`, `snip P` (each chunk breaks its connection with probability P, somewhere in
its middle), `freeze`, `thaw`, `slow SECONDS`. It ends with its input.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from random import Random
from typing import cast

from gateway.app.event_loop import run


@dataclass(slots=True)
class Line:
    """The state of the line."""

    host: str
    port: int
    draw: Random
    refusing: bool = False
    frozen: bool = False
    snip: float = 0.0
    slow: float = 0.0
    ends: set["End"] = field(default_factory=set)

    def obey(self, words: list[str]) -> None:
        match words:
            case ["refuse"]:
                self.refusing = True
                self.break_all()
            case ["accept"]:
                self.refusing = False
            case ["break"]:
                self.break_all()
            case ["freeze" | "thaw" as word]:
                self.frozen = word == "freeze"
                for end in list(self.ends):
                    end.hold(self.frozen)
            case ["snip", chance]:
                self.snip = float(chance)
            case ["slow", seconds]:
                self.slow = float(seconds)

    def break_all(self) -> None:
        for end in list(self.ends):
            end.abort()


class End(asyncio.Protocol):
    """One end of a connection through the line; what it receives goes out at the other."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._writes_until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another ancestry
        self.line.ends.add(self)
        if self.line.frozen:
            self.hold(True)

    def connection_lost(self, _error: Exception | None) -> None:
        self.line.ends.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def hold(self, held: bool) -> None:
        assert self.transport is not None
        if self.transport.is_closing():
            return
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def abort(self) -> None:
        assert self.transport is not None
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
            return
        if self.line.snip and self.line.draw.random() < self.line.snip:
            self.other.send(data[: self.line.draw.randrange(len(data))])
            asyncio.get_running_loop().call_soon(self.abort)
            return
        self.other.send(data)

    def send(self, data: bytes) -> None:
        """Write, later where the line is slow; never before what was to be written earlier."""
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = max(now + self.line.slow, self._writes_until)
        if due <= now:
            self.transport.write(data)
            return
        self._writes_until = due + 1e-6
        loop.call_at(due, self._write, data)

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def join(self, other: "End") -> None:
        self.other, other.other = other, self
        if self._early:
            data, self._early = bytes(self._early), bytearray()
            other.send(data)


class Near(End):
    """The gateway's end: it calls the database."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.line.refusing:
            self.abort()
            return
        self._calling = asyncio.ensure_future(self._call())

    async def _call(self) -> None:
        loop, line = asyncio.get_running_loop(), self.line
        try:
            if line.host.startswith("/"):
                path = f"{line.host}/.s.PGSQL.{line.port}"
                _, far = await loop.create_unix_connection(lambda: End(line), path)
            else:
                _, far = await loop.create_connection(lambda: End(line), line.host, line.port)
        except OSError:
            self.abort()
            return
        self.join(far)
        if self.transport is None or self.transport.is_closing():
            far.abort()


async def main(host: str, port: str, lanes: str, seed: str) -> None:
    line = Line(host, int(port), Random(seed))
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Near(line), "127.0.0.1", 0) for _ in range(int(lanes))]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while words := (await reader.readline()).decode().split():
        line.obey(words)
        print("ok", flush=True)


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
