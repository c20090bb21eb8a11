"""
The long form: storms, one seed after the other.

    make chaos
    make chaos SEED=7 SALES=20000 SEEDS=1
    .venv/bin/python -m tests.chaos --seed 7 --sales 20000 --report chaos.md

Everything is real but Paddle and Faurya: gateway processes, Postgres, the sockets between them. The seed decides what
is sold, which faults happen in which order, and how Faurya errs; when exactly a process is hit is decided by the
machine, so a seed gives the same storm, not the same microsecond. Exit: 0 nothing lost, nothing wrongly doubled and the
rates back each time; 1 otherwise.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from gateway.app.event_loop import new_event_loop
from tests.chaos import report
from tests.chaos.checker import check
from tests.chaos.faults import FAULTS
from tests.chaos.plan import new_seed, plan
from tests.chaos.storm import run

RATE = 50.0
"""Sales per second: well below what two cores carry, so that "back to 95 %" means something. See `make bench`."""

LONGEST_SECONDS = 1800.0
"""Of one storm, whatever happens in it."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Storms over a real gateway.")
    parser.add_argument("--seed", type=int, help="of the first storm; the next ones count on (default: a new one)")
    parser.add_argument("--seeds", type=int, default=3, help="how many storms")
    parser.add_argument("--sales", type=int, default=20_000, help="at least so many in each")
    parser.add_argument("--rate", type=float, default=RATE, help="sales per second")
    parser.add_argument("--faults", type=int, default=len(FAULTS), help="how many in each storm")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="only this kind; may be repeated")
    parser.add_argument("--swallowed", type=int, default=500, help="webhooks that never come")
    parser.add_argument("--keep", type=Path, help="leave the logs and the database here")
    parser.add_argument("--report", type=Path, help="write a page in Markdown")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def one(seed: int, given: argparse.Namespace) -> tuple[bool, str]:
    """Run one storm; return whether all was well, and its page."""
    drawn = plan(seed, sales=given.sales, rate=given.rate, faults=given.faults, swallowed=given.swallowed)
    if given.only:
        drawn = replace(drawn, faults=[given.only[number % len(given.only)] for number in range(given.faults)])
    say(f"seed {seed}: {given.sales} sales, {len(drawn.faults)} faults")
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-", dir=given.keep))
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            result = runner.run(asyncio.wait_for(run(drawn, folder, say), LONGEST_SECONDS))
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    violations = check(result.history)
    print("\n" + report.text(result, violations) + "\n", flush=True)
    fine = not violations and not report.late(result) and result.swept.found == result.swept.swallowed
    return fine, report.markdown(result, violations)


def main() -> int:
    given = arguments()
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    first = given.seed if given.seed is not None else new_seed()
    outcomes = [one(first + number, given) for number in range(given.seeds)]
    if given.report is not None:
        given.report.write_text("\n".join(page for _, page in outcomes))
    for number, (fine, _) in enumerate(outcomes):
        say(f"seed {first + number}: {'fine' if fine else 'NOT FINE'}")
    return 0 if all(fine for fine, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
