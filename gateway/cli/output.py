"""
What a person or a program reads on stdout: tables and colour on a terminal, aligned plain text elsewhere, or JSON.

Everything passes the redaction, and nothing from outside reaches the terminal as a control sequence.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gateway.telemetry import Redaction

MAX_CELL = 1000

Row = Sequence[Any]


@cache
def redaction() -> "Redaction":
    """Return the redaction of this process; `loading` teaches it the secrets."""
    from gateway.telemetry import Redaction

    return Redaction()


def text_of(value: Any) -> str:
    """Return a value as one line that is safe to show; None is a dash."""
    from gateway.domain.text import printable

    if value is None or value == "":
        return "-"
    return " ".join(printable(str(redaction().clean(str(value))), MAX_CELL).split("\n"))


def say(text: str, style: str | None = None) -> None:
    """Print a paragraph; `style` is a rich style and counts only on a terminal."""
    if not sys.stdout.isatty():
        typer.echo(text_of(text))
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(text_of(text), style=style or ""))


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Row], styles: Mapping[str, str] | None = None
) -> None:
    """Print a table, or nothing where it has no rows; `styles` colours cells by their text."""
    if not rows:
        return
    cells = [[text_of(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _show_rich(title, columns, cells, styles or {})
        return
    widths = [max(len(row[index]) for row in (columns, *cells)) for index in range(len(columns))]
    typer.echo(f"\n{title}")
    for row in ([column.upper() for column in columns], *cells):
        typer.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_rich(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]], styles: Mapping[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    Console().print(table)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    import orjson

    typer.echo(orjson.dumps(redaction().clean(value), option=orjson.OPT_INDENT_2).decode())


def complain(text: str) -> None:
    """Print lines on stderr."""
    for line in text.splitlines():
        if line:
            typer.echo(text_of(line), err=True)
