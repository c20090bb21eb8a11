"""Where the configuration comes from, and how it is read again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import Config, load
from gateway.plugins import PluginRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A configuration file, the environment and the installed plugins."""

    path: Path
    environ: Mapping[str, str] = field(repr=False)
    registry: PluginRegistry

    def load(self) -> Config:
        """Read the file; raise `ConfigError` with every mistake."""
        return load(self.path, self.registry, self.environ)
