"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("config.yaml")

ConfigPath = Annotated[Path, typer.Option("--config", envvar="FAURYA_GATEWAY_CONFIG", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]


def with_config(path: Path) -> str:
    """Return what to add to a command line so that it reads the same file."""
    return "" if path == CONFIG else f" --config {path}"
