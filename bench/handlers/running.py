"""A process of the bench: uvloop, and an end at SIGTERM."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop


async def told_to_stop() -> None:
    """Return at SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
