"""A kept webhook is read by its plugin, which may call its provider. Nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.config import Config
from gateway.domain.delivery import next_wait
from gateway.domain.errors import Malformed, Unavailable
from gateway.domain.holds import LONGEST_RETRY_AFTER
from gateway.domain.messages import Delivery, Ignored, WebhookRequest
from gateway.domain.revenue import RevenueEvent
from gateway.flows.context import Context
from gateway.plugins import Live, Opened, PluginFault, extract
from gateway.store import inbox
from gateway.store.inbox import Claimed


@dataclass(frozen=True, slots=True)
class Failed:
    """The webhook could not be read. With `again_in` it is tried again then; without, it is unreadable."""

    reason: str
    detail: str
    again_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a plugin read in one webhook."""

    webhook: Claimed
    found: Sequence[RevenueEvent] | Ignored | Failed

    @property
    def events(self) -> Sequence[RevenueEvent]:
        """The movements of money in it; empty where there are none or it could not be read."""
        return () if isinstance(self.found, (Ignored, Failed)) else self.found


MOST_LOST = 5
"""
Readings lost with their process after which a webhook is not read again. From the second on it is read alone, so by
now it has ended the process three times without company.
"""


async def read(context: Context, live: Live, webhook: Claimed) -> Reading:
    """Return what the plugin makes of a webhook; its failures are values."""
    opened = live.connections[webhook.site, webhook.connection]
    if webhook.lost >= MOST_LOST:
        text = (
            f"{opened.connection.plugin}: {webhook.lost} times the process ended, or lost its lease, while reading it"
        )
        return Reading(webhook, Failed("plugin_failed", text))
    try:
        found = await extract(opened, _delivery(live.config, webhook), live.config.plugins.deadline)
    except Unavailable as error:
        return Reading(webhook, _later(context, live.config, opened, webhook, error))
    except Malformed as error:
        return Reading(webhook, Failed("malformed", f"{opened.connection.plugin}: {error}"))
    except PluginFault as fault:
        context.metrics.plugin_failures.labels(opened.connection.plugin, "extract").inc()
        return Reading(webhook, Failed("plugin_failed", str(fault)))
    return Reading(webhook, found)


def _delivery(config: Config, webhook: Claimed) -> Delivery:
    request = WebhookRequest(
        method=webhook.method,
        url=webhook_url(config, webhook.site, webhook.connection, webhook.query),
        headers=inbox.unpack_headers(webhook.headers),
        body=webhook.body,
        received_at=webhook.received_at,
        remote_ip=webhook.remote_ip,
    )
    return Delivery(request=request, proof=webhook.proof)


def webhook_url(config: Config, site: str, connection: str, query: str = "") -> str:
    """Return the public address of a connection's webhooks, always from the configuration."""
    address = f"{config.server.public_url.rstrip('/')}/webhooks/{site}/{connection}"
    return f"{address}?{query}" if query else address


def _later(context: Context, config: Config, opened: Opened, webhook: Claimed, error: Unavailable) -> Failed:
    wait = next_wait(config.retry.schedule, webhook.attempts, context.draw())
    if wait is None:
        text = f"{opened.connection.plugin} was unavailable {webhook.attempts} times, the last time: {error}"
        return Failed("waited_in_vain", text)
    asked = min(error.retry_after or wait, LONGEST_RETRY_AFTER)
    return Failed("provider_unavailable", str(error), again_in=max(wait, asked))
