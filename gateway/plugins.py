"""
Provider plugins: found through entry points, loaded only where the configuration names them, guarded at every call.

    PluginUnknown       not installed, installed twice, broken, or written for another interface (at the start)
    PluginFault         a call did something that the interface forbids: the plugin's mistake, not the webhook's

Whatever a plugin raises becomes one of these or a `ProviderError`, even `SystemExit` and a `CancelledError` of its own
making; only what is meant for us (our task cancelled, Ctrl-C) passes.
"""

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from time import perf_counter
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel

from gateway.config import Config, Connection, PluginUnknown
from gateway.domain.messages import IgnoredReason, Proof
from gateway.sdk import (
    API,
    ENTRY_POINT_GROUP,
    Accepted,
    Answered,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Malformed,
    MetadataLimits,
    Plugin,
    Provider,
    ProviderError,
    Refused,
    Reply,
    RevenueEvent,
    Runtime,
    Unavailable,
    WebhookRequest,
)
from gateway.telemetry import log

BLOCKING_SECONDS = 0.1
"""A plugin that computes longer than this without awaiting stops every other webhook of the process meanwhile."""

MAX_EVENTS = 1000
"""Events of one webhook; the largest batches seen at 18 providers hold 250."""

GRACE_SECONDS = 1.0
"""What a plugin has for cleaning up once its deadline cut it; after that it is left to itself."""

METHODS = ("verify", "extract", "create_checkout", "list_revenue")

Result = TypeVar("Result")


class PluginFault(Exception):
    """A provider plugin did something that the interface forbids."""


class PluginRegistry:
    """The plugins that are installed; each is imported when the configuration first names it."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._found = tuple(entry_points(group=ENTRY_POINT_GROUP) if found is None else found)
        self._loaded: dict[str, Plugin] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all installed plugins, sorted."""
        return tuple(sorted({entry.name for entry in self._found}))

    def entries(self, name: str) -> tuple[EntryPoint, ...]:
        """Return the entry points of this name; one package installed twice on the path counts once."""
        unique = {(entry.value, entry.dist.name if entry.dist else None): entry for entry in self._found}
        return tuple(entry for entry in unique.values() if entry.name == name)

    def plugin(self, name: str) -> Plugin:
        """Return the plugin; raise `PluginUnknown` with what to do where there is none or it cannot be used."""
        if name not in self._loaded:
            self._loaded[name] = _usable(name, _load(name, self.entries(name), self.names()))
        return self._loaded[name]

    def config_model(self, plugin: str) -> type[BaseModel]:
        """Return the plugin's part of a connection."""
        return self.plugin(plugin).config_model

    def checkout_options(self, plugin: str) -> type[BaseModel] | None:
        """Return the model of a plan's options; None where the plugin takes none."""
        return getattr(self.plugin(plugin), "checkout_options", None)


def _load(name: str, entries: Sequence[EntryPoint], installed: Sequence[str]) -> object:
    if not entries:
        known = ", ".join(installed) or "none"
        raise PluginUnknown(f"no provider plugin named {name!r} is installed (installed: {known}); install its package")
    if len(entries) > 1:
        packages = " and ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in entries))
        raise PluginUnknown(f"the provider plugin {name!r} is installed by {packages}; uninstall all but one")
    try:
        return entries[0].load()
    except (Exception, SystemExit) as error:
        raise PluginUnknown(
            f"the provider plugin {name!r} ({entries[0].value}) does not load: {_where(error)}; mend or uninstall it"
        ) from error


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    file = last.filename.replace("\\", "/").rsplit("/", 2)[-2:] if last else []
    place = f" at {'/'.join(file)}:{last.lineno}" if last else ""
    return f"{type(error).__name__}: {_text(error)}{place}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the text of a plugin's error is the plugin's code too
        return "(its text cannot be read)"


def _is_ours(error: BaseException) -> bool:
    """Say whether an error out of a plugin is meant for us: our task was cancelled, or somebody pressed Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, GeneratorExit))


def _usable(name: str, plugin: Any) -> Plugin:
    api = getattr(plugin, "api", None)
    if api != API:
        raise PluginUnknown(
            f"the provider plugin {name!r} is written for interface {api!r}, this gateway speaks {API}: "
            "install matching versions"
        )
    if getattr(plugin, "name", None) != name:
        raise PluginUnknown(
            f"the provider plugin {name!r} calls itself {getattr(plugin, 'name', None)!r}; mend its name"
        )
    missing = [part for part in ("config_model", "metadata_limits", "open") if not hasattr(plugin, part)]
    if missing:
        raise PluginUnknown(f"the provider plugin {name!r} lacks {', '.join(missing)}; mend it")
    if not (isinstance(plugin.config_model, type) and issubclass(plugin.config_model, BaseModel)):
        raise PluginUnknown(f"the config_model of the provider plugin {name!r} is not a pydantic model; mend it")
    if not isinstance(plugin.metadata_limits, MetadataLimits):
        raise PluginUnknown(f"the metadata_limits of the provider plugin {name!r} are not MetadataLimits; mend it")
    usable: Plugin = plugin
    return usable


@dataclass(frozen=True, slots=True)
class Opened:
    """One connection of one site, ready for use."""

    site: str
    name: str
    connection: Connection
    plugin: Plugin
    provider: Provider = field(repr=False)
    secret_headers: frozenset[str]
    secret_query: frozenset[str]

    @property
    def globally_unique(self) -> bool:
        """Whether the provider's payment ids are unique over all its accounts."""
        return bool(getattr(self.plugin, "global_payment_ids", False))


@dataclass(frozen=True, slots=True)
class Live:
    """The configuration in force and its open connections. A reload replaces it; a request uses one throughout."""

    config: Config
    connections: Mapping[tuple[str, str], Opened]


def open_all(config: Config, registry: PluginRegistry, runtime: Runtime) -> Live:
    """Open every connection; raise `PluginUnknown` for one that fails, unless `plugins.on_failure` says skip."""
    connections = {}
    for site in config.sites.values():
        for connection in site.providers.values():
            try:
                connections[site.name, connection.name] = _open(site.name, connection, registry, runtime)
            except PluginUnknown as error:
                if config.plugins.on_failure == "refuse":
                    raise
                log().error("plugin.skipped", site=site.name, connection=connection.name, error=str(error))
    return Live(config, connections)


def _open(site: str, connection: Connection, registry: PluginRegistry, runtime: Runtime) -> Opened:
    plugin = registry.plugin(connection.plugin)
    try:
        provider = plugin.open(connection.settings, runtime)
    except (Exception, SystemExit) as error:
        raise PluginUnknown(
            f"sites.{site}.providers.{connection.name}: the plugin {connection.plugin!r} does not open: {_where(error)}"
        ) from error
    missing = [method for method in METHODS if not callable(getattr(provider, method, None))]
    if missing:
        raise PluginUnknown(
            f"sites.{site}.providers.{connection.name}: what the plugin {connection.plugin!r} opens lacks "
            f"{', '.join(missing)}; mend it"
        )
    return Opened(
        site=site,
        name=connection.name,
        connection=connection,
        plugin=plugin,
        provider=provider,
        secret_headers=frozenset(name.lower() for name in getattr(plugin, "secret_headers", ())),
        secret_query=frozenset(getattr(plugin, "secret_query", ())),
    )


def verify(opened: Opened, request: WebhookRequest) -> Accepted | Refused | Answered:
    """Ask the plugin whether the webhook is genuine; raise `PluginFault` where it raises or answers something else."""
    name, started = opened.connection.plugin, perf_counter()
    try:
        verdict = opened.provider.verify(request)
    except BaseException as error:
        if _is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in verify: {type(error).__name__}") from error
    _watch(opened, "verify", perf_counter() - started)
    if not isinstance(verdict, (Accepted, Refused, Answered)) or not isinstance(verdict.reply, Reply):
        raise PluginFault(f"the plugin {name!r} answered verify with a {type(verdict).__name__}")
    if isinstance(verdict, Accepted) and not _is_complete(verdict):
        raise PluginFault(f"the plugin {name!r} answered verify with fields of the wrong type")
    return verdict


def _is_complete(accepted: Accepted) -> bool:
    texts = (accepted.event_id, accepted.event_type)
    return accepted.proof in get_args(Proof) and all(text is None or isinstance(text, str) for text in texts)


async def extract(opened: Opened, delivery: Delivery, deadline: timedelta) -> Sequence[RevenueEvent] | Ignored:
    """
    Read the money out of a webhook.

    Raises `Unavailable` where the plugin says so or misses its deadline, `Malformed` where it says that the webhook is
    nonsense, and `PluginFault` for everything else, with the plugin's name and the reason.
    """
    name = opened.connection.plugin
    try:
        return _readable(name, await _guarded(opened, "extract", lambda: opened.provider.extract(delivery), deadline))
    except (Unavailable, Malformed, PluginFault):
        raise
    except ProviderError as error:
        raise PluginFault(f"{name}: {type(error).__name__}: {_text(error)}") from error
    except BaseException as error:
        if _is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in extract: {_where(error)}") from error


def _readable(name: str, found: Any) -> Sequence[RevenueEvent] | Ignored:
    if isinstance(found, Ignored):
        if found.reason not in get_args(IgnoredReason):
            raise PluginFault(f"the plugin {name!r} ignored a webhook for a reason that does not exist")
        return found
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise PluginFault(f"the plugin {name!r} answered extract with a {type(found).__name__}")
    if len(found) > MAX_EVENTS:
        raise PluginFault(f"the plugin {name!r} read {len(found)} events from one webhook; {MAX_EVENTS} are accepted")
    wrong = [type(event).__name__ for event in found if not isinstance(event, RevenueEvent)]
    if wrong:
        raise PluginFault(f"the plugin {name!r} returned a {wrong[0]} among its revenue events")
    return tuple(found)


async def create_checkout(opened: Opened, request: CheckoutRequest, deadline: timedelta) -> Checkout:
    """Open a checkout at the provider; raise a `ProviderError`, or `PluginFault` for everything else."""
    name = opened.connection.plugin
    try:
        checkout = await _guarded(opened, "create_checkout", lambda: opened.provider.create_checkout(request), deadline)
    except (ProviderError, PluginFault):
        raise
    except BaseException as error:
        if _is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in create_checkout: {_where(error)}") from error
    if not isinstance(checkout, Checkout):
        raise PluginFault(f"the plugin {name!r} answered create_checkout with a {type(checkout).__name__}")
    return checkout


async def _guarded(
    opened: Opened, call: str, start: Callable[[], Coroutine[Any, Any, Result]], deadline: timedelta
) -> Result:
    """
    Return what the plugin's call returns; raise `Unavailable` once the deadline is over.

    The call runs in a task of its own: one that swallows its cancellation is left behind, and holds up nobody.
    """
    work = asyncio.create_task(_stepped(opened, call, start), name=f"{opened.connection.plugin}.{call}")
    try:
        await asyncio.wait({work}, timeout=deadline.total_seconds())
        if work.done():
            return work.result()
        work.cancel()
        await asyncio.wait({work}, timeout=GRACE_SECONDS)
    finally:
        work.cancel()
        work.add_done_callback(_forgotten)
    if not work.done():
        log().error("plugin.does_not_stop", plugin=opened.connection.plugin, site=opened.site, connection=opened.name)
    raise Unavailable(f"{opened.connection.plugin}: no answer from {call} within {deadline.total_seconds():g} seconds")


def _forgotten(work: "asyncio.Task[Any]") -> None:
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not complain about it


async def _stepped(opened: Opened, call: str, start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    def watch(seconds: float) -> None:
        _watch(opened, call, seconds)

    try:
        coroutine = start()
        if not isinstance(coroutine, Coroutine):
            raise PluginFault(f"the {call} of the plugin {opened.connection.plugin!r} is not async; mend it")
        return await _Stepwise(coroutine, watch)
    except SystemExit as error:  # a task hands it to the event loop, which ends
        raise PluginFault(f"the plugin {opened.connection.plugin!r} tried to end the process in {call}") from error


class _Stepwise(Generic[Result]):
    """Runs a coroutine and measures each stretch between two awaits: a long one blocked the event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], watch: Callable[[float], None]) -> None:
        self._coroutine = coroutine
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, Result]:
        send, value = self._coroutine.send, None
        while True:
            started = perf_counter()
            try:
                pending = send(value)
            except StopIteration as done:
                result: Result = done.value
                return result
            finally:
                self._watch(perf_counter() - started)
            try:
                value = yield pending
                send = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine, whose decision it is
                send, value = self._coroutine.throw, error


def _watch(opened: Opened, call: str, seconds: float) -> None:
    if seconds > BLOCKING_SECONDS:
        log().warning(
            "plugin.blocked",
            plugin=opened.connection.plugin,
            site=opened.site,
            connection=opened.name,
            call=call,
            milliseconds=round(seconds * 1000),
            hint="the plugin computed without awaiting; no other webhook of this process moved meanwhile",
        )
