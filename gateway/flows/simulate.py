"""A signed webhook to a running gateway, made and signed by the provider's own plugin, and what should come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

import aiohttp

from gateway.config import Config, Server
from gateway.domain.ids import event_key
from gateway.domain.messages import Accepted, WebhookRequest
from gateway.domain.revenue import RevenueKind
from gateway.domain.text import printable
from gateway.flows.book import webhook_url
from gateway.plugins import Live, Opened, PluginFault, verify
from gateway.sdk import SupportsStandIn, headers_of

MAX_ANSWER = 500

REFUSED = 401
"""What a webhook that is not genuine is answered where the plugin says nothing else."""


class CannotSimulate(Exception):
    """There is nothing to send; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What to send. `age` is how old the signature is (negative: from the future); `duplicate` how often it repeats."""

    site: str
    connection: str
    kind: RevenueKind
    duplicate: int = 0
    tamper: bool = False
    age: timedelta = timedelta(0)
    as_real: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A webhook ready to be sent, and the status that it should be answered with. `trace_id` finds it once kept."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    expected: int
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came back; `status` is None where nobody answered."""

    status: int | None
    answer: str
    as_expected: bool


def prepare(live: Live, simulation: Simulation, now: datetime, *, to: str | None = None) -> Prepared:
    """Make and sign the webhook; raise `CannotSimulate`. `to` is another base address of the gateway."""
    opened, provider = _allowed(live, simulation.site, simulation.connection)
    try:
        body = provider.sample(simulation.kind, simulated=not simulation.as_real, occurred_at=now)
        fresh = provider.sign(body, now)
        signed = provider.sign(body, now - simulation.age)
    except Exception as error:
        text = f"the plugin {opened.connection.plugin!r} raised {type(error).__name__} while it made the webhook"
        raise CannotSimulate(text) from error
    sent = _tampered(body) if simulation.tamper else body
    base, extra = (to.rstrip("/"), {}) if to else address(live.config.server)
    return Prepared(
        url=f"{base}/webhooks/{opened.site}/{opened.name}",
        headers={"Content-Type": "application/json", **signed, **extra},
        body=sent,
        expected=_expected(live.config, opened, sent, signed, now, tampered=simulation.tamper),
        trace_id=_trace_id(live.config, opened, body, fresh, now),
    )


def _allowed(live: Live, site: str, name: str) -> tuple[Opened, SupportsStandIn]:
    opened = live.connections.get((site, name))
    if opened is None:
        known = ", ".join(f"{site}/{name}" for site, name in sorted(live.connections)) or "none"
        raise CannotSimulate(f"{site}/{name} is not a connection of this configuration (there are: {known})")
    if opened.connection.environment == "live":
        raise CannotSimulate(f"{site}/{name} is live: webhooks are only simulated at connections with sandbox money")
    if not isinstance(opened.provider, SupportsStandIn):
        raise CannotSimulate(f"the plugin {opened.connection.plugin!r} makes no sample webhooks")
    return opened, opened.provider


def address(server: Server) -> tuple[str, dict[str, str]]:
    """
    Return where the gateway of this configuration is reached from this machine, and headers that it needs.

    With `require_https` that is its public address, unless it trusts this machine as a proxy.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - compared, not bound
    local = f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
    if not server.require_https:
        return local, {}
    if _trusts(server, host):
        return local, {"X-Forwarded-Proto": "https"}
    return server.public_url, {}


def _trusts(server: Server, host: str) -> bool:
    try:
        peer = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    return peer.is_loopback and any(peer in network for network in server.trusted_proxies)


def _tampered(body: bytes) -> bytes:
    """Return the body with one bit of its middle byte changed."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _request(config: Config, opened: Opened, body: bytes, headers: Mapping[str, str], now: datetime) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        url=webhook_url(config, opened.site, opened.name),
        headers=headers_of(list(headers.items())),
        body=body,
        received_at=now,
        remote_ip=None,
    )


def _expected(
    config: Config, opened: Opened, body: bytes, headers: Mapping[str, str], now: datetime, *, tampered: bool
) -> int:
    """Ask the plugin what it will say; a signature that still holds for a changed body is not what anybody expects."""
    try:
        verdict = verify(opened, _request(config, opened, body, headers, now))
    except PluginFault as fault:
        raise CannotSimulate(str(fault)) from fault
    if tampered and isinstance(verdict, Accepted) and verdict.proof == "signature":
        return REFUSED
    return verdict.reply.status


def _trace_id(config: Config, opened: Opened, body: bytes, headers: Mapping[str, str], now: datetime) -> str:
    verdict = verify(opened, _request(config, opened, body, headers, now))
    event_id = verdict.event_id if isinstance(verdict, Accepted) else None
    return event_key(event_id, body, "")


async def send(http: aiohttp.ClientSession, prepared: Prepared, times: int) -> Sequence[Sent]:
    """Send the webhook this many times (at least once), one after the other; stop where nobody answers."""
    sent = [await _send(http, prepared)]
    while len(sent) < times and sent[-1].status is not None:
        sent.append(await _send(http, prepared))
    return sent


async def _send(http: aiohttp.ClientSession, prepared: Prepared) -> Sent:
    call: Any = http.post(prepared.url, data=prepared.body, headers=prepared.headers, allow_redirects=False)
    try:
        async with call as response:
            answer = (await response.read()).decode("utf-8", "replace")
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        text = f"no gateway answers at {prepared.url} ({type(error).__name__}): start it with `faurya-gateway serve`"
        return Sent(status=None, answer=text, as_expected=False)
    return Sent(status=status, answer=printable(answer, MAX_ANSWER), as_expected=status == prepared.expected)
