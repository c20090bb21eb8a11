"""Loopback servers: the provider's API from recorded answers, an API that fails, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from gateway.sdk import Accepted, Provider, Refused, WebhookRequest, headers_of

HOST = "127.0.0.1"

NOWHERE = f"http://{HOST}:9"
"""Where nobody listens: an API address for calls that should not happen."""


@asynccontextmanager
async def serving(make: Callable[[str], web.Application]) -> AsyncIterator[str]:
    """Serve what `make(address)` returns at that address; yield the address."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        address = f"http://{HOST}:{taken.getsockname()[1]}"
        runner = web.AppRunner(make(address), auto_decompress=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.SockSite(runner, taken).start()
            yield address
        finally:
            await runner.cleanup()


@dataclass(slots=True)
class RecordedApi:
    """
    The provider's API, answering from `{"GET /payments/1": {"status": 200, "body": {...}}}`; 404 to everything else.

    A key may name the query too; the status is 200 where it is left out.
    """

    answers: Mapping[str, Any]
    asked: list[str] = field(default_factory=list)

    def application(self, _address: str) -> web.Application:
        """Return what serves the answers."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        call = f"{request.method} {request.path_qs}"
        self.asked.append(call)
        answer = self.answers.get(call, self.answers.get(f"{request.method} {request.path}"))
        if answer is None:
            return web.json_response({"error": f"nothing is recorded for {call}"}, status=404)
        return web.json_response(answer.get("body"), status=answer.get("status", 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One way in which an API fails: an answer, or none (`hangs`, `drops`)."""

    name: str
    status: int = 200
    body: str = '{"error": "the kit asked it to fail"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    drops: bool = False


@dataclass(slots=True)
class FailingApi:
    """An API that answers every call with the same failure and remembers what it was asked."""

    failure: Failure
    asked: list[tuple[str, bool]] = field(default_factory=list)
    idempotency_key: str = ""

    def application(self, _address: str) -> web.Application:
        """Return what fails."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        sent = (await request.read()).decode("utf-8", "replace") + json.dumps(list(request.headers.values()))
        self.asked.append(
            (f"{request.method} {request.path}", bool(self.idempotency_key) and self.idempotency_key in sent)
        )
        if self.failure.hangs:
            await asyncio.sleep(60)
        if self.failure.drops and request.transport is not None:
            request.transport.abort()
        kind = "application/json" if self.failure.body.startswith("{") else "text/html"
        return web.Response(
            text=self.failure.body, status=self.failure.status, headers=self.failure.headers, content_type=kind
        )


@dataclass(slots=True)
class Receiver:
    """Receives webhooks as the gateway does: verifies each and gives the verdict's reply."""

    now: Callable[[], datetime]
    provider: Provider | None = None
    accepted: list[tuple[WebhookRequest, Accepted]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""

    def application(self, address: str) -> web.Application:
        """Return what listens."""
        self.address = address
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        webhook = WebhookRequest(
            method=request.method,
            url=self.address + request.path_qs,
            headers=headers_of(list(request.headers.items())),
            body=await request.read(),
            received_at=self.now(),
            remote_ip=request.remote,
        )
        assert self.provider is not None  # noqa: S101 - set before the stand-in is told the address
        verdict = self.provider.verify(webhook)
        if isinstance(verdict, Accepted):
            self.accepted.append((webhook, verdict))
        elif isinstance(verdict, Refused):
            self.trouble.append(f"verify refused a webhook of the stand-in: {verdict.reason}: {verdict.detail}")
        self.arrived.set()
        reply = verdict.reply
        return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type)
