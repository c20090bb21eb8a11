"""The connections that the configuration names, opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config import Config, Connection, PluginUnknown
from gateway.plugins.faults import where
from gateway.plugins.registry import PluginRegistry
from gateway.sdk import Plugin, Provider, Runtime
from gateway.telemetry import log

METHODS = ("verify", "extract", "create_checkout", "list_revenue")


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
            f"sites.{site}.providers.{connection.name}: the plugin {connection.plugin!r} does not open: {where(error)}"
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
