"""The plugins that are installed, found through entry points, loaded only where the configuration names them."""

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from gateway.config import PluginUnknown
from gateway.plugins.faults import where
from gateway.sdk import API, ENTRY_POINT_GROUP, MetadataLimits, Plugin


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
            f"the provider plugin {name!r} ({entries[0].value}) does not load: {where(error)}; mend or uninstall it"
        ) from error


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
