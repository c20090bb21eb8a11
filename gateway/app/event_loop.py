"""Which event loop runs the gateway: uvloop where it is installed."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

try:
    import uvloop
except ImportError:  # Windows, or an interpreter that uvloop has no build for
    UVLOOP = False
else:
    UVLOOP = True


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    return uvloop.new_event_loop() if UVLOOP else asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def survive_early_hangup() -> None:
    """Let a SIGHUP that comes before anything listens to it pass by: the configuration is about to be read anyway."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
