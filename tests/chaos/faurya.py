"""A light Faurya that errs as its mood says, and remembers every call that it saw."""

import asyncio
import time
from dataclasses import dataclass, field
from random import Random
from typing import cast

import orjson

from tests.chaos.history import Call
from tests.chaos.moods import REPEATS, Treatment, drawn
from tests.chaos.sites import SHOPS, Shop

EXPONENTS = {"JPY": 0}
PATHS = {"/api/revenue": "revenue", "/api/v1/payments": "payments"}
DRIP_BYTES, DRIP_SECONDS = 4, 0.3


@dataclass(slots=True)
class Faurya:
    """All sites' Faurya behind one port; a site is known by its key. `recorded`: when each movement first was."""

    draw: Random
    mood: str = "calm"
    calls: list[Call] = field(default_factory=list)
    recorded: dict[tuple[str, str], float] = field(default_factory=dict)
    port: int = 0
    strangers: int = 0
    _server: asyncio.Server | None = None
    open: set["Connection"] = field(default_factory=set)

    async def start(self) -> None:
        """Accept connections, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and break those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.break_connections()
        await asyncio.sleep(0)

    def break_connections(self) -> None:
        """Break what is open."""
        for connection in list(self.open):
            connection.abort()

    def feel(self, mood: str) -> None:
        """Change the mood; what hangs is let go."""
        self.mood = mood
        for connection in list(self.open):
            if connection.hangs:
                connection.abort()

    def treat(self, shop: Shop, movement: tuple[str, str]) -> Treatment:
        """Return how a call is treated, and record its movement if so."""
        treatment = drawn(self.mood, shop.api, self.draw)
        if treatment.records and shop.remembers and movement in self.recorded:
            repeated = self.draw.choice(REPEATS[shop.api])
            return repeated if treatment.status == 200 else Treatment(records=False, status=treatment.status,
                                                                      manner=treatment.manner)  # fmt: skip
        if treatment.records:
            self.recorded.setdefault(movement, time.time())
        return treatment


@dataclass(slots=True, eq=False)
class Connection(asyncio.Protocol):
    """One connection: requests in, one after the other, and what the mood makes of them out."""

    faurya: Faurya
    hangs: bool = False
    _received: bytearray = field(default_factory=bytearray)
    _transport: asyncio.Transport | None = None
    _task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another ancestry
        self.faurya.open.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.faurya.open.discard(self)
        if self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not found:
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._received = bytearray(rest[length:])
        self._task = asyncio.ensure_future(self._answer(line.split(" ")[1], headers, rest[:length]))

    async def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
        shop, faurya = shop_of(path, headers), self.faurya
        if shop is None:
            faurya.strangers += 1
            self._write(Treatment(records=False, status=401, body=b"who are you"), None)
            return
        told = read_call(shop, headers, orjson.loads(body))
        treatment, at = faurya.treat(shop, (shop.name, told["idempotency_key"])), time.time()
        answered: int | None = None
        try:
            await asyncio.sleep(faurya.draw.uniform(*shop.slow))
            answered = await self._carry_out(treatment)
        finally:
            faurya.calls.append(Call(**told, at=at, recorded=treatment.records, answer=answered))

    async def _carry_out(self, treatment: Treatment) -> int | None:
        """Return the status that was sent; cancelled once the caller is gone."""
        assert self._transport is not None
        if treatment.manner == "reset":
            self.abort()
            return None
        if treatment.manner == "hang":
            self.hangs = True
            await asyncio.sleep(3600)
        if self._transport.is_closing():
            return None
        if treatment.manner == "drip":
            await self._drip(treatment)
        else:
            self._write(treatment, None)
        return treatment.status

    async def _drip(self, treatment: Treatment) -> None:
        """Send the head, then the body little by little; whoever sees the head knows the status."""
        assert self._transport is not None
        self._write(treatment, 0)
        for begin in range(0, len(treatment.body), DRIP_BYTES):
            try:
                await asyncio.sleep(DRIP_SECONDS)
            except asyncio.CancelledError:  # the head was sent
                return
            self._transport.write(treatment.body[begin : begin + DRIP_BYTES])

    def _write(self, treatment: Treatment, of_body: int | None) -> None:
        assert self._transport is not None
        lines = [
            f"HTTP/1.1 {treatment.status} {'OK' if treatment.status == 200 else 'No'}",
            "Content-Type: application/json",
            f"Content-Length: {len(treatment.body)}",
            *(f"{name}: {value}" for name, value in treatment.headers),
        ]
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + treatment.body[:of_body])


def shop_of(path: str, headers: dict[str, str]) -> Shop | None:
    """Return whose call it is; None where the key or the dialect is nobody's."""
    api = PATHS.get(path)
    key = headers.get("x-faurya-write-key") or headers.get("authorization", "").removeprefix("Bearer ")
    return next((shop for shop in SHOPS if shop.api == api and shop.faurya_key == key), None)


def read_call(shop: Shop, headers: dict[str, str], body: dict) -> dict:
    """Return what a call says, amounts in minor units."""
    told = {"site": shop.name, "idempotency_key": headers["idempotency-key"], "currency": body["currency"]}
    if shop.api == "revenue":
        return {
            **told,
            "event": body["event"],
            "payment_id": body["providerPaymentId"],
            "order_id": body["orderId"],
            "amount": body["amount"],
            "visitor": body["attribution"]["faVisitorId"],
        }
    exponent = EXPONENTS.get(body["currency"], 2)
    return {
        **told,
        "event": "purchase",
        "payment_id": body["transaction_id"],
        "order_id": None,
        "amount": round(body["amount"] * 10**exponent),
        "visitor": body["faurya_visitor_id"],
    }
