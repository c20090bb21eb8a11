"""Which event loop runs the gateway: uvloop where it is installed."""

import asyncio

try:
    import uvloop
except ImportError:  # Windows, or an interpreter that uvloop has no build for
    UVLOOP = False
else:
    UVLOOP = True


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    return uvloop.new_event_loop() if UVLOOP else asyncio.new_event_loop()
