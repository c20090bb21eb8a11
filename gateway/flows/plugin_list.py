"""Which provider plugins are installed, what they can do, and which connections use them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from gateway.config import Config, PluginUnknown
from gateway.plugins import PluginRegistry
from gateway.sdk import Plugin

CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "checkout": ("create_checkout",),
    "listing": ("list_revenue",),
    "probe": ("probe",),
    "lookup": ("find",),
    "stand-in": ("stand_in", "sample", "sign"),
}
"""What a provider can do, by the methods that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPlugin:
    """One installed plugin. `capabilities` is None where they cannot be told; `problem` says why it cannot be used."""

    name: str
    package: str | None
    version: str | None
    interface: int | None = None
    capabilities: Sequence[str] | None = None
    used_by: Sequence[str] = ()
    problem: str | None = None


def installed(registry: PluginRegistry, config: Config | None) -> list[InstalledPlugin]:
    """Return every plugin, also a broken one; without a configuration nobody uses them."""
    return [_described(registry, name, _users(config, name)) for name in registry.names()]


def _users(config: Config | None, plugin: str) -> list[str]:
    if config is None:
        return []
    return [
        f"{site.name}/{connection.name}"
        for site in config.sites.values()
        for connection in site.providers.values()
        if connection.plugin == plugin
    ]


def _described(registry: PluginRegistry, name: str, used_by: Sequence[str]) -> InstalledPlugin:
    packages = [entry.dist for entry in registry.entries(name) if entry.dist is not None]
    package = ", ".join(dist.name for dist in packages) or None
    version = ", ".join(dist.version for dist in packages) or None
    try:
        plugin = registry.plugin(name)
    except PluginUnknown as error:
        return InstalledPlugin(name=name, package=package, version=version, used_by=used_by, problem=str(error))
    return InstalledPlugin(
        name=name,
        package=package,
        version=version,
        interface=plugin.api,
        capabilities=_capabilities(plugin),
        used_by=used_by,
    )


def _capabilities(plugin: Plugin) -> list[str] | None:
    """Read them off the class that `open` says it returns: nothing is opened for this."""
    try:
        provider = get_type_hints(plugin.open).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    if not isinstance(provider, type):
        return None
    return [name for name, methods in CAPABILITIES.items() if all(_does(provider, method) for method in methods)]


def _does(provider: type, method: str) -> bool:
    """Say whether a method is there and does more than to raise `Unsupported`."""
    code: Any = getattr(getattr(provider, method, None), "__code__", None)
    return code is not None and set(code.co_names) != {"Unsupported"}
