"""
The gateway's commands under a clock that is wrong.

    python -m tests.chaos.skewed SECONDS work --config config.yaml
"""

import sys
from datetime import datetime, timedelta
from functools import partial

from gateway.app import serving
from gateway.app.assembly import running, utc_now
from gateway.cli import main

SHIFT = timedelta(seconds=float(sys.argv.pop(1)))


def wrong_now() -> datetime:
    """Return the present moment as this process sees it."""
    return utc_now() + SHIFT


if __name__ == "__main__":
    serving.running = partial(running, now=wrong_now)
    main()
