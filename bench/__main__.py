"""
Run benches and write what they found.

    python -m bench                     all of them
    python -m bench accept burst        some of them; the results of the others stay
"""

import argparse
import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench.children import BenchFailure
from bench.machine import describe
from bench.place import Place, place
from bench.report import Failed, Run, Section, write
from bench.scale import FULL, HOUR, QUICK, TINY, Scale

BENCHES = ("accept", "latency", "pipeline", "growth", "burst", "neighbours", "memory", "startup", "several")
RESULTS = Path(__file__).parent / "results"
TEN_MILLION = 10_000_000


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], metavar="NAME", help=", ".join(BENCHES))
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--hour", action="store_true", help="the whole sizes where they matter, fewer rounds")
    form.add_argument("--quick", action="store_true", help="fewer and shorter rounds: some minutes for everything")
    form.add_argument("--tiny", action="store_true", help="only see that every bench runs")
    parser.add_argument("--rounds", type=int, help="of each contender")
    parser.add_argument("--burst-seconds", type=float, help="how long the burst is")
    parser.add_argument("--burst-rate", type=int, help="webhooks a second in the burst")
    parser.add_argument("--memory", type=int, metavar="WEBHOOKS", help="after how many the memory is looked at again")
    parser.add_argument("--ten-million", action="store_true", help="growth: also with 10 million rows of history")
    parser.add_argument("--without-express", action="store_true", help="leave Node out")
    parser.add_argument("--folder", type=Path, help="where the data goes, instead of the folder for temporary files")
    parser.add_argument("--results", type=Path, help="where the results go, instead of bench/results")
    return parser.parse_args(given)


def scale_of(asked: argparse.Namespace) -> Scale:
    """Return how much is to be done."""
    scale = HOUR if asked.hour else QUICK if asked.quick else TINY if asked.tiny else FULL
    changes: dict[str, object] = {
        "rounds": asked.rounds,
        "burst_seconds": asked.burst_seconds,
        "burst_rate": asked.burst_rate,
        "memory_webhooks": asked.memory and (scale.memory_webhooks[0], asked.memory),
        "history": (asked.ten_million and (*scale.history, TEN_MILLION)) or None,
        "with_express": False if asked.without_express else None,
    }
    return replace(scale, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


def form_of(asked: argparse.Namespace) -> str:
    """Return the name of a run's form, and what was asked for otherwise."""
    names = {"hour": "the form that fits into an hour", "quick": "the quick form", "tiny": "the smallest form"}
    form = next((name for asking, name in names.items() if getattr(asked, asking)), "whole")
    changed = [
        f"{name.replace('_', ' ')} {getattr(asked, name):,}"
        for name in ("rounds", "burst_seconds", "burst_rate", "memory")
        if getattr(asked, name) is not None
    ]
    return ", ".join([form, *changed, *(["with ten million rows"] if asked.ten_million else [])])


Keep = Callable[[dict[str, str], Sequence[Section], Sequence[Failed]], None]


async def bench(
    names: Sequence[str], scale: Scale, folder: Path | None, say: Callable[[str], None], keep: Keep
) -> list[Failed]:
    """
    Run the benches one after the other on one Postgres; one that fails does not stop the others.

    What was found by then is kept after each, so that a run that is ended early leaves its results.
    """
    sections: list[Section] = []
    failed: list[Failed] = []
    async with place(scale, folder) as here:
        machine = describe(await here.settings(), here.folder)
        for name in names:
            started = time.monotonic()
            say(f"{name} ...")
            run: Callable[[Place], Awaitable[Section]] = import_module(f"bench.{name}").run
            try:
                section = await run(here)
            except BenchFailure as problem:
                failed.append(Failed(name, str(problem)))
                say(f"{name} was not finished: {problem}")
            except Exception:  # noqa: BLE001 - an hour of other figures must not be lost
                failed.append(Failed(name, traceback.format_exc(limit=-3)))
                say(traceback.format_exc())
            else:
                sections.append(section)
                say(f"{section.title} ({time.monotonic() - started:.0f} s)\n\n{section.text}")
            keep(machine, sections, failed)
    return failed


def main() -> int:
    """Run; return the exit code."""
    asked = arguments()
    names = asked.benches or list(BENCHES)
    folder = asked.results or (RESULTS / "quick" if asked.quick or asked.tiny else RESULTS)

    def keep(machine: dict[str, str], sections: Sequence[Section], failed: Sequence[Failed]) -> None:
        run = Run(form=form_of(asked), day=datetime.now(UTC).date().isoformat(), machine=machine)
        write(folder, run, sections, failed, BENCHES)

    failed = asyncio.run(bench(names, scale_of(asked), asked.folder, lambda line: print(line, flush=True), keep))
    print(f"written to {folder}/results.md")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
