"""`faurya-gateway providers new`: a whole plugin package to begin with."""

import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from gateway.cli.failures import USAGE
from gateway.cli.output import complain, say
from gateway.cli.scaffold import SHAPES, CannotScaffold, Shape, check_name, write

Name = Annotated[str, typer.Argument(help="The plugin's name, as config.yaml will write it: acme or acme-pay.")]
ShapeOption = Annotated[
    Shape | None, typer.Option("--shape", help="How webhooks are proven; asked where it is left out.")
]
Into = Annotated[Path, typer.Option(help="The folder in which the package's folder is made.")]


def new(name: Name, shape: ShapeOption = None, into: Into = Path()) -> None:
    """Write a provider plugin as a package of its own. It works at once: its tests pass and a config can name it."""
    from gateway.plugins import PluginRegistry

    try:
        check_name(name, PluginRegistry().names())
        folder = write(name, shape or _asked(), into)
    except CannotScaffold as problem:
        complain(f"error: {problem}")
        raise typer.Exit(USAGE) from problem
    say(f"{folder} is written. What differs at your provider is marked YOURS in it. Next:")
    for line in (f"pip install -e {folder} pytest", f"pytest {folder}", "docs/providers.md"):
        say(f"    {line}")


def _asked() -> Shape:
    if not sys.stdin.isatty():
        raise CannotScaffold(f"--shape is missing: one of {', '.join(SHAPES)}")
    say("How does the provider prove its webhooks?")
    for number, (shape, words) in enumerate(SHAPES.items(), 1):
        typer.echo(f"  {number}  {shape:<18} {words}")
    chosen: int = typer.prompt("Number", type=click.IntRange(1, len(SHAPES)))
    return list(SHAPES)[chosen - 1]
