"""What a bench found, as a table and plots, and the page of a whole run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.tables import markdown

INTRODUCTION = """\
Made by `make bench` ({form}). Everything in one section ran in one run, in turns, on one Postgres and one machine, the
load beside it on the same cores. Ratios are medians over rounds; absolute figures are this machine's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One bench's result: `plots` are SVG texts by file name, `figures` is everything measured."""

    name: str
    title: str
    text: str
    plots: Mapping[str, str] = field(default_factory=dict)
    figures: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A bench that could not be finished, and why."""

    name: str
    problem: str


def page(machine: Mapping[str, str], sections: Sequence[Section], failed: Sequence[Failed], *, form: str) -> str:
    """Return the whole run as markdown."""
    parts = ["# Benchmarks\n", INTRODUCTION.format(form=form), markdown(["machine", ""], list(machine.items()))]
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts.append(section.text)
        parts += [f"![{name.removesuffix('.svg')}]({name})\n" for name in section.plots]
    parts += [f"**{one.name} was not finished:** {one.problem}\n" for one in failed]
    return "\n".join(parts)


def write(folder: Path, text: str, sections: Sequence[Section], machine: Mapping[str, str]) -> None:
    """Write the page, the plots and the raw figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text)
    for section in sections:
        for name, plot in section.plots.items():
            (folder / name).write_text(plot)
    raw = {"machine": machine, **{section.name: section.figures for section in sections}}
    (folder / "results.json").write_bytes(orjson.dumps(raw, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
