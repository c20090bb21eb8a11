"""
A shared endpoint: one address for the events of many accounts.

Some providers (Stripe Connect, Shopify, Square) send the events of several accounts to one address and name the account
in each. A connection of the same plugin, at whatever site, whose `claims` list that account takes them over: the
webhook is kept in that site's inbox too, as received, and read there with that connection's own credentials.
"""

from collections.abc import Iterator, Sequence

from gateway.domain.ids import uuid7
from gateway.flows.context import Context
from gateway.flows.read import Reading
from gateway.plugins import Live, Opened
from gateway.store import inbox
from gateway.store.inbox import Claimed, Webhook
from gateway.telemetry import log


async def hand_over(context: Context, live: Live, readings: Sequence[Reading]) -> None:
    """Keep copies for the connections that claim an event's account; again after a crash, which then is a repeat."""
    copies = [
        _copy(context, reading.webhook, taker)
        for reading in readings
        for taker in _takers(live, reading.webhook, {event.account for event in reading.events if event.account})
    ]
    if not copies:
        return
    async with context.database.transaction() as connection:
        await inbox.keep(connection, copies)
    for copy in copies:
        log().info("webhook.handed_over", site=copy.site, connection=copy.connection, event_id=copy.event_id)
        context.wake(copy.site, "book")


def _takers(live: Live, webhook: Claimed, accounts: set[str]) -> Iterator[Opened]:
    if not accounts:
        return
    plugin = live.connections[webhook.site, webhook.connection].connection.plugin
    for place, opened in live.connections.items():
        claims = opened.connection.claims
        elsewhere = place != (webhook.site, webhook.connection) and opened.connection.plugin == plugin
        if elsewhere and isinstance(claims, tuple) and accounts & set(claims):
            yield opened


def _copy(context: Context, webhook: Claimed, taker: Opened) -> Webhook:
    return Webhook(
        site=taker.site,
        connection=taker.name,
        event_key=webhook.event_key,
        id=uuid7(webhook.received_at, context.entropy(10)),
        event_id=webhook.event_id,
        event_type=webhook.event_type,
        method=webhook.method,
        headers=webhook.headers,
        query=webhook.query,
        body=webhook.body,
        received_at=webhook.received_at,
        remote_ip=webhook.remote_ip,
        proof=webhook.proof,
    )
