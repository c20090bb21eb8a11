"""Reading the configuration for a command."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.output import redaction

if TYPE_CHECKING:
    from gateway.app.source import Source
    from gateway.config import Config


def load(path: Path, *, host: str | None = None, port: int | None = None) -> "tuple[Source, Config]":
    """
    Return where the configuration comes from and what it says; from here on its secrets are never printed.

    Raises `ConfigError` with every mistake. `host` and `port` stand in for those of the file, also after a reload.
    """
    from gateway.app.overrides import OverriddenSource
    from gateway.config import secret_values
    from gateway.plugins import PluginRegistry
    from gateway.telemetry import configure_logging

    configure_logging(redaction())
    source = OverriddenSource(
        path=path, environ=dict(os.environ), registry=PluginRegistry(), host=host, listen_port=port
    )
    config = source.load()
    redaction().secrets |= secret_values(config)
    return source, config
