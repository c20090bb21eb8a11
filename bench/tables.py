"""Markdown tables and the formats of figures. Pure."""

from collections.abc import Sequence
from math import isnan


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are figures, set to the right."""
    line = "| " + " | ".join(head) + " |"
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([line, rule, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def figure(value: float, unit: str = "") -> str:
    """Return a figure with three significant digits or none after the point, and `-` where there is none."""
    if isnan(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{unit}"


def times(value: float) -> str:
    """Return a ratio."""
    return "-" if isnan(value) else f"{value:.2f} x"


def megabytes(value: float) -> str:
    """Return bytes in MB."""
    return f"{value / 1e6:.1f} MB"
