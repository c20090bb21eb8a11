"""What the handlers share, put into the application by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.flows.context import Context
from gateway.flows.receive import Receiver
from gateway.plugins import Live
from gateway.web.bodies import BytesInFlight
from gateway.web.limiter import CheckoutLimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The running gateway, as the web layer sees it. `live()` is the configuration in force right now."""

    context: Context
    live: Callable[[], Live]
    receiver: Receiver
    in_flight: BytesInFlight
    limiter: CheckoutLimiter
    worker_beats: Callable[[], bool]


GATEWAY = web.AppKey("gateway", Gateway)
