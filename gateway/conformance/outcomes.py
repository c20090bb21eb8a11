"""Calls into the plugin under test, whose answers and errors are both outcomes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from gateway.sdk import (
    Accepted,
    Answered,
    Provider,
    Refused,
    RevenueEvent,
    SupportsStandIn,
    WebhookRequest,
)


def signature(signer: SupportsStandIn, body: bytes, at: datetime, url: str) -> Mapping[str, str]:
    """Return the plugin's own headers for a body; `url` goes to those that sign the address and so ask for it."""
    if "url" in inspect.signature(signer.sign).parameters:
        return signer.sign(body, at, url=url)  # type: ignore[call-arg]
    return signer.sign(body, at)


def judged(provider: Provider, request: WebhookRequest) -> Accepted | Refused | Answered | Exception:
    """Return the verdict, or what `verify` raised."""
    try:
        return provider.verify(request)
    except Exception as error:  # noqa: BLE001 - a call into the plugin under test
        return error


async def attempt(call: Callable[[], Awaitable[object]]) -> object:
    """Return what a call returns or raises; lists become tuples, so that outcomes can be compared."""
    try:
        found = await call()
    except Exception as error:  # noqa: BLE001 - a call into the plugin under test
        return error
    return tuple(found) if isinstance(found, list) else found


def events_of(outcome: object) -> tuple[RevenueEvent, ...]:
    """Return the events of an outcome; none for everything else."""
    if not isinstance(outcome, tuple):
        return ()
    return tuple(event for event in outcome if isinstance(event, RevenueEvent))
