"""`check --online`: do the keys work, and is our clock right? Nothing is created or changed at the other side."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import aiohttp

from gateway.config import Payments, Site
from gateway.flows.finding import Finding
from gateway.plugins import Live, Opened
from gateway.sdk import ProviderError, SupportsProbe

CLOCK_NOTED = timedelta(seconds=5)
CLOCK_WRONG = timedelta(seconds=30)
"""Providers date their signatures; half a minute is half of what the strictest of them allows."""

MADE_UP_VISITOR = "faurya-gateway-check-made-up"


async def probe_all(live: Live, http: aiohttp.ClientSession, now: Callable[[], datetime]) -> list[Finding]:
    """Prove every connection's key and every site's Faurya key, all at the same time."""
    connections = [_probe(opened, live.config.plugins.deadline, now) for _, opened in sorted(live.connections.items())]
    sites = [_probe_faurya(site, http) for site in live.config.sites.values()]
    return list(await asyncio.gather(*connections, *sites))


async def _probe(opened: Opened, deadline: timedelta, now: Callable[[], datetime]) -> Finding:
    about = f"{opened.site}/{opened.name}"
    if not isinstance(opened.provider, SupportsProbe):
        text = f"the plugin {opened.connection.plugin} cannot prove its key without a sale"
        return Finding(level="note", about=about, text=text)
    asked = now()
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            clock = await opened.provider.probe()
    except ProviderError as error:
        return Finding(level="problem", about=about, text=f"the key could not be proven: {error}")
    except TimeoutError:
        text = f"no answer within {deadline.total_seconds():g} seconds"
        return Finding(level="problem", about=about, text=text)
    except Exception as error:  # noqa: BLE001 - a plugin's fault is a finding, not the end of the report
        text = f"the plugin {opened.connection.plugin} raised {type(error).__name__} in probe"
        return Finding(level="problem", about=about, text=text)
    return of_clock(about, asked, clock, now())


def of_clock(about: str, asked: datetime, clock: datetime | None, answered: datetime) -> Finding:
    """Judge the server's clock, read between two readings of ours, to its own resolution of a second. Pure."""
    if clock is None:
        return Finding(level="fine", about=about, text="the key works")
    middle = asked + (answered - asked) / 2
    off = middle - clock
    seconds = round(off.total_seconds())
    facts = {"clock_off_seconds": seconds}
    if abs(off) < CLOCK_NOTED:
        return Finding(level="fine", about=about, text="the key works, and the clocks agree", facts=facts)
    side = "ahead of" if seconds > 0 else "behind"
    text = f"the key works; this machine's clock is {abs(seconds)} seconds {side} the provider's: let NTP set it"
    return Finding(level="problem" if abs(off) >= CLOCK_WRONG else "warning", about=about, text=text, facts=facts)


async def _probe_faurya(site: Site, http: aiohttp.ClientSession) -> Finding:
    if not isinstance(site.faurya, Payments):
        text = "Faurya: a write key cannot be proven without recording a sale; a first sale shows it"
        return Finding(level="note", about=site.name, text=text)
    # https://www.faurya.com/docs/api-reference/api-get-visitor
    url = f"{site.faurya.url.rstrip('/')}/api/v1/visitors/{MADE_UP_VISITOR}"
    headers = {"Authorization": f"Bearer {site.faurya.api_key.get_secret_value()}"}
    try:
        async with http.get(url, headers=headers, allow_redirects=False) as answer:
            return of_visitor_answer(site.name, answer.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        text = f"Faurya does not answer at {site.faurya.url} ({type(error).__name__})"
        return Finding(level="problem", about=site.name, text=text)


def of_visitor_answer(site: str, status: int) -> Finding:
    """Judge the answer to a question about a visitor that does not exist. Pure."""
    facts = {"status_code": status}
    match status:
        case 404 | 200:
            return Finding(level="fine", about=site, text="Faurya: the API key works", facts=facts)
        case 401 | 403:
            text = f"Faurya refuses the API key ({status}): correct faurya.api_key"
            return Finding(level="problem", about=site, text=text, facts=facts)
        case _:
            text = f"Faurya answered {status}, which proves nothing about the key: check faurya.url and try later"
            return Finding(level="warning", about=site, text=text, facts=facts)
