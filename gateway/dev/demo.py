"""Everything on this machine: embedded Postgres, stand-ins, the gateway and two shops, wired together."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from ruamel.yaml import YAML

from gateway.app.assembly import Running, running, utc_now
from gateway.app.serving import runner_of
from gateway.app.source import Source
from gateway.dev.faurya_stand_in import faurya_stand_in
from gateway.dev.folder import DemoFolder
from gateway.dev.ports import address_of, take
from gateway.dev.providers import DemoProvider, demo_providers
from gateway.dev.routes import application
from gateway.dev.shop import Shop
from gateway.dev.sites import SITES, Addresses, configuration
from gateway.outbound import client_session
from gateway.plugins import PluginRegistry
from gateway.sdk import Runtime, SupportsStandIn
from gateway.telemetry import Redaction

GATEWAY_PORT = 8080
FIRST = "paddle"
"""The provider that is offered first."""


class NoProvider(Exception):
    """No installed provider plugin has a stand-in to pay with: install one."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A demo at work: where everything is, and who can be paid."""

    addresses: Addresses
    providers: tuple[DemoProvider, ...]
    config_path: Path
    gateway: Running = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Sockets:
    """Taken before anything starts, so that every part can be told the addresses of all others."""

    gateway: socket.socket
    faurya: socket.socket
    shops: Mapping[str, socket.socket]
    providers: Mapping[tuple[str, str], socket.socket]

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            gateway=address_of(self.gateway),
            faurya=address_of(self.faurya),
            shops={site: address_of(taken) for site, taken in self.shops.items()},
            providers={place: address_of(taken) for place, taken in self.providers.items()},
        )


@asynccontextmanager
async def demo(
    folder: DemoFolder, *, port: int, registry: PluginRegistry, redaction: Redaction | None = None, first: str = FIRST
) -> AsyncIterator[Demo]:
    """
    Yield a demo whose first shop listens on `port` (or on a free one), the rest on those after it; 0 takes free ones.

    Raises `NoProvider`, an `EmbeddedError`, or `StoreError`.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(client_session())
        providers = await demo_providers(registry, Runtime(http=http, now=utc_now), first)
        if not providers:
            raise NoProvider
        sockets = _taken(port, providers, stack)
        addresses = sockets.addresses
        _write(folder.config, configuration(addresses, providers, folder.database))
        accounts = [site.account for site in SITES]
        await stack.enter_async_context(served(faurya_stand_in(accounts), sockets.faurya))
        source = Source(path=folder.config, environ={}, registry=registry)
        gateway = await stack.enter_async_context(running(source, source.load(), with_worker=True, redaction=redaction))
        await stack.enter_async_context(served(gateway.application, sockets.gateway))
        for place, taken in sockets.providers.items():
            await stack.enter_async_context(served(_stand_in(gateway, place, addresses, http), taken))
        for site in SITES:
            shop = Shop(
                site=site, providers=providers, addresses=addresses, database=gateway.context.database, http=http
            )
            await stack.enter_async_context(served(application(shop), sockets.shops[site.name]))
        folder.note(addresses.shops[SITES[0].name])
        yield Demo(addresses=addresses, providers=providers, config_path=folder.config, gateway=gateway)


@asynccontextmanager
async def served(app: web.Application, taken: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket that already listens."""
    runner = runner_of(app)
    await runner.setup()
    try:
        await web.SockSite(runner, taken).start()
        yield
    finally:
        await runner.cleanup()


def _taken(port: int, providers: Sequence[DemoProvider], stack: AsyncExitStack) -> _Sockets:
    """Take the shops' ports first, in order, then Faurya's, then the providers'."""
    ports = iter(range(port, port + 1000)) if port else iter(lambda: 0, 1)

    def next_one() -> socket.socket:
        return stack.enter_context(take(next(ports)))

    return _Sockets(
        shops={site.name: next_one() for site in SITES},
        faurya=next_one(),
        providers={(site.name, provider.name): next_one() for site in SITES for provider in providers},
        gateway=stack.enter_context(take(GATEWAY_PORT if port else 0)),
    )


def _stand_in(gateway: Running, place: tuple[str, str], addresses: Addresses, http: ClientSession) -> web.Application:
    provider = gateway.live.connections[place].provider
    if not isinstance(provider, SupportsStandIn):  # it was one a moment ago
        raise TypeError(f"the plugin {place[1]!r} opens with and without a stand-in")
    site, name = place
    return provider.stand_in(addresses.providers[place], f"{addresses.gateway}/webhooks/{site}/{name}", http)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the configuration; `$` is doubled because `${...}` would be replaced."""
    yaml = YAML()
    with path.open("w", encoding="utf-8") as file:
        file.write("# Written anew at every start of `faurya-gateway dev`; the credentials are made up.\n")
        yaml.dump(_literal(content), file)


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, (list, tuple)) else value
