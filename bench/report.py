"""
What a bench found, as a table and plots, and the page of all benches.

Benches that a run did not make keep their last results on the page, with the day and the form of their run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.tables import markdown

INTRODUCTION = """\
Made by `make bench`. Everything in one section ran in one run, in turns, on one Postgres and one machine, the load
beside it on the same cores. Ratios are medians over rounds; absolute figures are this machine's, and of that day.
"""

RAW = "results.json"
Known = dict[str, dict[str, Any]]
"""By bench, what its last run found and how it was made; kept as JSON."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run was made: its form in words, its day (ISO 8601), and the machine."""

    form: str
    day: str
    machine: Mapping[str, str]


def page(run: Run, known: Known, failed: Sequence[Failed]) -> str:
    """Return all that is known as markdown."""
    parts = ["# Benchmarks\n", INTRODUCTION, markdown(["machine", ""], list(run.machine.items()))]
    for each in known.values():
        elsewhere = "" if each["machine"] == run.machine else f", on another machine or other settings (see {RAW})"
        parts.append(f"## {each['title']}\n")
        parts.append(f"Run of {each['day']}, {each['form']}{elsewhere}.\n")
        parts.append(each["text"])
        parts += [f"![{name.removesuffix('.svg')}]({name})\n" for name in each["plots"]]
    parts += [f"**{one.name} was not finished:** {one.problem}\n" for one in failed]
    return "\n".join(parts)


def write(folder: Path, run: Run, sections: Sequence[Section], failed: Sequence[Failed], order: Sequence[str]) -> None:
    """Write the page, the plots and the raw figures; what other runs found stays, in the given order of benches."""
    folder.mkdir(parents=True, exist_ok=True)
    known = _known(folder / RAW)
    for section in sections:
        for name, plot in section.plots.items():
            (folder / name).write_text(plot)
        known[section.name] = {
            "title": section.title, "day": run.day, "form": run.form, "machine": dict(run.machine),
            "text": section.text, "plots": list(section.plots), "figures": section.figures,
        }  # fmt: skip
    known = {name: known[name] for name in order if name in known}
    (folder / "results.md").write_text(page(run, known, failed))
    (folder / RAW).write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def _known(raw: Path) -> Known:
    """Return what is on record; nothing where that cannot be read, or is of another form of this program."""
    try:
        known = orjson.loads(raw.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return {name: each for name, each in known.items() if isinstance(each, dict) and "text" in each}
