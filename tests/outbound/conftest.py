"""Real loopback servers that misbehave on a bare socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import pytest
from aiohttp import ClientSession

from gateway.outbound import client_session

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer(Protocol):
    async def __call__(self, behave: Behaviour, *, after_request: bool = True) -> str: ...


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with client_session() as opened:
        yield opened


@pytest.fixture
async def raw_server() -> AsyncIterator[RawServer]:
    """Start servers that hand the bare streams to a function and hang up when it returns."""
    servers: list[asyncio.Server] = []
    calls: set[asyncio.Task[None]] = set()

    async def start(behave: Behaviour, *, after_request: bool = True) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            calls.add(asyncio.current_task())
            with suppress(ConnectionError):  # the client may close early by design
                try:
                    if after_request:
                        await reader.readuntil(b"{}")
                    await behave(reader, writer)
                finally:
                    writer.close()
                    await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        host, port = server.sockets[0].getsockname()
        return f"http://{host}:{port}/"

    yield start
    await asyncio.gather(*calls)
    for server in servers:
        server.close()
        await server.wait_closed()
