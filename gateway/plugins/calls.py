"""
The calls into a plugin, and the guard around each.

Whatever a plugin raises becomes a `PluginFault` or a `ProviderError`, even `SystemExit` and a `CancelledError` of its
own making; only what is meant for us (our task cancelled, Ctrl-C) passes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from datetime import timedelta
from time import perf_counter
from typing import Any, Generic, TypeVar, get_args

from gateway.domain.messages import IgnoredReason, Proof
from gateway.plugins.faults import PluginFault, is_ours, text_of, where
from gateway.plugins.opening import Opened
from gateway.sdk import (
    Accepted,
    Answered,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Malformed,
    ProviderError,
    Refused,
    Reply,
    RevenueEvent,
    Unavailable,
    WebhookRequest,
)
from gateway.telemetry import log

BLOCKING_SECONDS = 0.1
"""A plugin that computes longer than this without awaiting stops every other webhook of the process meanwhile."""

MAX_EVENTS = 1000
"""Events of one webhook; the largest batches seen at 18 providers hold 250."""

GRACE_SECONDS = 1.0
"""What a plugin has for cleaning up once its deadline cut it; after that it is left to itself."""

PROOFS = frozenset(get_args(Proof))

Result = TypeVar("Result")


def verify(opened: Opened, request: WebhookRequest) -> Accepted | Refused | Answered:
    """Ask the plugin whether the webhook is genuine; raise `PluginFault` where it raises or answers something else."""
    name, started = opened.connection.plugin, perf_counter()
    try:
        verdict = opened.provider.verify(request)
    except BaseException as error:
        if is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in verify: {type(error).__name__}") from error
    _watch(opened, "verify", perf_counter() - started)
    if not isinstance(verdict, (Accepted, Refused, Answered)) or not isinstance(verdict.reply, Reply):
        raise PluginFault(f"the plugin {name!r} answered verify with a {type(verdict).__name__}")
    if isinstance(verdict, Accepted) and not _is_complete(verdict):
        raise PluginFault(f"the plugin {name!r} answered verify with fields of the wrong type")
    return verdict


def _is_complete(accepted: Accepted) -> bool:
    texts = (accepted.event_id, accepted.event_type)
    return accepted.proof in PROOFS and all(text is None or isinstance(text, str) for text in texts)


async def extract(opened: Opened, delivery: Delivery, deadline: timedelta) -> Sequence[RevenueEvent] | Ignored:
    """
    Read the money out of a webhook.

    Raises `Unavailable` where the plugin says so or misses its deadline, `Malformed` where it says that the webhook is
    nonsense, and `PluginFault` for everything else, with the plugin's name and the reason.
    """
    name = opened.connection.plugin
    try:
        return _readable(name, await guarded(opened, "extract", lambda: opened.provider.extract(delivery), deadline))
    except Unavailable as error:
        raise with_usable_wait(opened, error) from error.__cause__
    except (Malformed, PluginFault):
        raise
    except ProviderError as error:
        raise PluginFault(f"{name}: {type(error).__name__}: {text_of(error)}") from error
    except BaseException as error:
        if is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in extract: {where(error)}") from error


def with_usable_wait(opened: Opened, error: Unavailable) -> Unavailable:
    """Forget a `retry_after` that is no timedelta: the schedule has a wait of its own."""
    if error.retry_after is not None and not isinstance(error.retry_after, timedelta):
        log().warning("plugin.odd_retry_after", plugin=opened.connection.plugin, type=type(error.retry_after).__name__)
        error.retry_after = None
    return error


def _readable(name: str, found: Any) -> Sequence[RevenueEvent] | Ignored:
    if isinstance(found, Ignored):
        if found.reason not in get_args(IgnoredReason):
            raise PluginFault(f"the plugin {name!r} ignored a webhook for a reason that does not exist")
        return found
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise PluginFault(f"the plugin {name!r} answered extract with a {type(found).__name__}")
    if len(found) > MAX_EVENTS:
        raise PluginFault(f"the plugin {name!r} read {len(found)} events from one webhook; {MAX_EVENTS} are accepted")
    wrong = [type(event).__name__ for event in found if not isinstance(event, RevenueEvent)]
    if wrong:
        raise PluginFault(f"the plugin {name!r} returned a {wrong[0]} among its revenue events")
    return tuple(found)


async def create_checkout(opened: Opened, request: CheckoutRequest, deadline: timedelta) -> Checkout:
    """Open a checkout at the provider; raise a `ProviderError`, or `PluginFault` for everything else."""
    name = opened.connection.plugin
    try:
        checkout = await guarded(opened, "create_checkout", lambda: opened.provider.create_checkout(request), deadline)
    except Unavailable as error:
        raise with_usable_wait(opened, error) from error.__cause__
    except (ProviderError, PluginFault):
        raise
    except BaseException as error:
        if is_ours(error):
            raise
        raise PluginFault(f"the plugin {name!r} raised in create_checkout: {where(error)}") from error
    if not isinstance(checkout, Checkout):
        raise PluginFault(f"the plugin {name!r} answered create_checkout with a {type(checkout).__name__}")
    return checkout


async def guarded(
    opened: Opened, call: str, start: Callable[[], Coroutine[Any, Any, Result]], deadline: timedelta
) -> Result:
    """
    Return what the plugin's call returns; raise `Unavailable` once the deadline is over.

    The call runs in a task of its own: one that swallows its cancellation is left behind, and holds up nobody.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline.total_seconds()
    work = loop.create_task(_stepped(opened, call, start), name=f"{opened.connection.plugin}.{call}")
    try:
        await asyncio.sleep(0)  # most plugins wait for nothing and are done by now; a timer costs as much as they do
        if not work.done():
            await asyncio.wait({work}, timeout=until - loop.time())
        if work.done():
            return work.result()
        work.cancel()
        await asyncio.wait({work}, timeout=GRACE_SECONDS)
    finally:
        if work.done():
            _forgotten(work)
        else:
            work.cancel()
            work.add_done_callback(_forgotten)
    if not work.done():
        log().error("plugin.does_not_stop", plugin=opened.connection.plugin, site=opened.site, connection=opened.name)
    raise Unavailable(f"{opened.connection.plugin}: no answer from {call} within {deadline.total_seconds():g} seconds")


def _forgotten(work: "asyncio.Task[Any]") -> None:
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not complain about it


async def _stepped(opened: Opened, call: str, start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    def watch(seconds: float) -> None:
        _watch(opened, call, seconds)

    try:
        coroutine = start()
        if not isinstance(coroutine, Coroutine):
            raise PluginFault(f"the {call} of the plugin {opened.connection.plugin!r} is not async; mend it")
        return await _Stepwise(coroutine, watch)
    except SystemExit as error:  # a task hands it to the event loop, which ends
        raise PluginFault(f"the plugin {opened.connection.plugin!r} tried to end the process in {call}") from error


class _Stepwise(Generic[Result]):
    """Runs a coroutine and measures each stretch between two awaits: a long one blocked the event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], watch: Callable[[float], None]) -> None:
        self._coroutine = coroutine
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, Result]:
        send, value = self._coroutine.send, None
        while True:
            started = perf_counter()
            try:
                pending = send(value)
            except StopIteration as done:
                result: Result = done.value
                return result
            finally:
                self._watch(perf_counter() - started)
            try:
                value = yield pending
                send = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine, whose decision it is
                send, value = self._coroutine.throw, error


def _watch(opened: Opened, call: str, seconds: float) -> None:
    if seconds > BLOCKING_SECONDS:
        log().warning(
            "plugin.blocked",
            plugin=opened.connection.plugin,
            site=opened.site,
            connection=opened.name,
            call=call,
            milliseconds=round(seconds * 1000),
            hint="the plugin computed without awaiting; no other webhook of this process moved meanwhile",
        )
