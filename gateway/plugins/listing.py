"""
The calls that ask a provider what it knows: its list of movements, and the movements of one checkout.

Guarded like the calls of a webhook. What comes back is checked here, so that a sweep meets nothing but values.
"""

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from gateway.domain.errors import Malformed
from gateway.domain.text import checked
from gateway.plugins.calls import guarded, with_usable_wait
from gateway.plugins.faults import PluginFault, is_ours, where
from gateway.plugins.opening import Opened
from gateway.sdk import Page, ProviderError, RevenueEvent, SupportsLookup, Unavailable, Unsupported

MAX_LISTED = 5000
"""Events of one page. The largest pages of the providers that we know hold 200 entries, some of several movements."""

MAX_CURSOR = 4096
"""Characters of a cursor; some providers put a whole query into it."""

Result = TypeVar("Result")


async def list_revenue(opened: Opened, since: datetime, cursor: str | None, deadline: timedelta) -> Page:
    """
    Return a page of the provider's own list.

    Raises the plugin's `ProviderError`, `Unavailable` also after the deadline, and `PluginFault` for everything else,
    among it a cursor that leads back to the same page.
    """
    name = opened.connection.plugin
    return await _asked(
        opened,
        "list_revenue",
        lambda: opened.provider.list_revenue(since, cursor),
        deadline,
        lambda answer: _page(name, answer, cursor),
    )


async def find(opened: Opened, checkout_id: str, deadline: timedelta) -> Sequence[RevenueEvent]:
    """
    Return the movements of one checkout.

    Raises as `list_revenue` does, and `Unsupported` where the plugin has no `find`.
    """
    provider = opened.provider
    if not isinstance(provider, SupportsLookup):
        raise Unsupported(f"the plugin {opened.connection.plugin!r} cannot look up a checkout")
    name = opened.connection.plugin
    return await _asked(
        opened, "find", lambda: provider.find(checkout_id), deadline, lambda answer: _events(name, "find", answer)
    )


async def _asked(
    opened: Opened,
    call: str,
    start: Callable[[], Coroutine[Any, Any, Any]],
    deadline: timedelta,
    read: Callable[[Any], Result],
) -> Result:
    try:
        return read(await guarded(opened, call, start, deadline))
    except Unavailable as error:
        raise with_usable_wait(opened, error) from error.__cause__
    except (ProviderError, PluginFault):
        raise
    except BaseException as error:
        if is_ours(error):
            raise
        raise PluginFault(f"the plugin {opened.connection.plugin!r} raised in {call}: {where(error)}") from error


def _page(name: str, answer: Any, cursor: str | None) -> Page:
    if not isinstance(answer, Page):
        raise PluginFault(f"the plugin {name!r} answered list_revenue with a {type(answer).__name__}")
    events, following = _events(name, "list_revenue", answer.events), answer.next_cursor
    if following is None:
        return Page(events=events)
    try:
        checked(following, "next_cursor", MAX_CURSOR)
    except Malformed as error:
        raise PluginFault(f"the plugin {name!r} gave a cursor that cannot be kept: {error}") from error
    if following == cursor:
        raise PluginFault(f"the plugin {name!r} says that the list goes on at the page that it just gave")
    return Page(events=events, next_cursor=following)


def _events(name: str, call: str, found: Any) -> Sequence[RevenueEvent]:
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise PluginFault(f"the plugin {name!r} answered {call} with a {type(found).__name__} for its events")
    if len(found) > MAX_LISTED:
        raise PluginFault(f"the plugin {name!r} gave {len(found)} events in one {call}; {MAX_LISTED} are accepted")
    wrong = [type(event).__name__ for event in found if not isinstance(event, RevenueEvent)]
    if wrong:
        raise PluginFault(f"the plugin {name!r} gave a {wrong[0]} among the events of {call}")
    return tuple(found)
