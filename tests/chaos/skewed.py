"""
The gateway's commands under a clock that is wrong.

    python -m tests.chaos.skewed SECONDS [--alone] work --config config.yaml

With `--alone` the worker does not set its clock by the database's either: as if that much time had passed.
"""

import sys
from datetime import datetime, timedelta
from functools import partial

from gateway.app import serving
from gateway.app.assembly import running, utc_now
from gateway.cli import main

SHIFT = timedelta(seconds=float(sys.argv.pop(1)))
ALONE = sys.argv[1] == "--alone"


def wrong_now() -> datetime:
    """Return the present moment as this process sees it."""
    return utc_now() + SHIFT


if __name__ == "__main__":
    if ALONE:
        sys.argv.pop(1)
    serving.running = partial(running, now=wrong_now, shared_clock=not ALONE)
    main()
