"""
A checkout: remember it, ask the provider, note its id, answer with the URL.

It is written down before the provider is asked. A crash in between leaves an order id that the provider's webhook
brings back; nothing of the sale is lost.
"""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from gateway.config import Plan, Site
from gateway.domain.attribution import Attribution
from gateway.domain.errors import ProviderError, Rejected, Unavailable, Unsupported
from gateway.domain.ids import uuid7
from gateway.domain.listed import LOOKS
from gateway.domain.messages import Checkout, CheckoutRequest
from gateway.domain.money import Money
from gateway.domain.text import printable
from gateway.flows.book import webhook_url
from gateway.flows.context import Context
from gateway.flows.order import (
    CheckoutError,
    KeyInProgress,
    KeyReused,
    Order,
    ProviderAway,
    ProviderRefused,
    chosen_plan,
    chosen_quantity,
    fitting,
    kept_ids,
)
from gateway.plugins import Live, Opened, PluginFault, create_checkout
from gateway.sdk import SupportsLookup
from gateway.store import checkouts, watches
from gateway.store.errors import StoreError
from gateway.telemetry import log

LEASE_SLACK = timedelta(seconds=5)
"""Beyond the plugin's deadline, before another request with the same key may take the checkout over."""

STORE_SECONDS = 1.8
"""How long a buyer waits for the database. Away before the provider is asked: a 503; after it: the URL all the same."""

MAX_CODE = 128
"""Characters of a provider's error code and request id that the caller gets to see."""


@dataclass(frozen=True, slots=True)
class Created:
    """The answer for the caller."""

    url: str
    order_id: str
    checkout_id: str | None


async def create(context: Context, live: Live, site: Site, order: Order) -> Created:
    """Create a checkout, or return the one that the `Idempotency-Key` already names. Raises `CheckoutError`."""
    plan = chosen_plan(site, order)
    quantity = chosen_quantity(plan, order.quantity)
    opened = live.connections.get((site.name, plan.provider))
    if opened is None:
        raise ProviderAway(f"the plugin of the connection {plan.provider!r} is not loaded; see the gateway's log")
    attribution, dropped = kept_ids(order.ids)
    new = _new(context, live, site, plan, order, attribution, dropped)
    under_way = await _remembered(context, new)
    if isinstance(under_way, Created):
        log().info("checkout.repeated", site=site.name, order_id=under_way.order_id)
        return under_way
    return await _ask_provider(context, live, site, opened, plan, quantity, order, under_way)


async def _remembered(context: Context, new: checkouts.NewCheckout) -> checkouts.NewCheckout | Created:
    """Write the checkout down; return what its key already came to, or what to ask the provider for."""
    async with asyncio.timeout(STORE_SECONDS), context.database.transaction() as connection:
        before = await checkouts.remember(connection, new)
        if before is None:
            return new
        answer = _repeated(before, new.request_hash)
        if answer is not None:
            return answer
        again = replace(new, order_id=before.order_id)
        if await checkouts.take_over(
            connection, new.site, again.order_id, now=new.created_at, lease=new.lease, lease_until=new.lease_until
        ):
            return again
        raise KeyInProgress


def _new(
    context: Context,
    live: Live,
    site: Site,
    plan: Plan,
    order: Order,
    attribution: Attribution,
    dropped: tuple[str, ...],
) -> checkouts.NewCheckout:
    now = context.now()
    return checkouts.NewCheckout(
        site=site.name,
        order_id=str(uuid7(now, context.entropy(10))),
        connection=plan.provider,
        plan=plan.name,
        quantity=order.quantity,
        attribution=attribution,
        dropped=dropped,
        idempotency_key=order.idempotency_key,
        request_hash=_hash(plan, order, attribution),
        lease=UUID(bytes=context.entropy(16)),
        lease_until=now + live.config.plugins.deadline + LEASE_SLACK,
        created_at=now,
    )


def _hash(plan: Plan, order: Order, attribution: Attribution) -> bytes:
    who = (attribution.visitor_id, attribution.session_id, attribution.token)
    return hashlib.sha256(orjson.dumps([plan.name, order.quantity, who, order.customer_email])).digest()


def _repeated(before: checkouts.Remembered, request_hash: bytes) -> Created | None:
    """Return the earlier answer to the same request; None where it may be tried again."""
    if before.request_hash != request_hash:
        raise KeyReused
    if before.state == "created" and before.url is not None:
        return Created(before.url, before.order_id, before.checkout_id)
    return None


async def _ask_provider(
    context: Context,
    live: Live,
    site: Site,
    opened: Opened,
    plan: Plan,
    quantity: int,
    order: Order,
    new: checkouts.NewCheckout,
) -> Created:
    request = CheckoutRequest(
        reference=new.order_id,
        idempotency_key=new.order_id,
        items=tuple((item.price_id, item.quantity * quantity) for item in plan.items),
        amount=Money(plan.amount.minor * quantity, plan.amount.currency) if plan.amount else None,
        success_url=site.success_url,
        cancel_url=site.cancel_url,
        webhook_url=webhook_url(live.config, site.name, opened.name),
        attribution=fitting(new.attribution, opened.plugin.metadata_limits),
        customer_email=order.customer_email,
        customer_ip=order.customer_ip,
        options=plan.options,
    )
    try:
        checkout = await create_checkout(opened, request, live.config.plugins.deadline)
    except (ProviderError, PluginFault) as error:
        await _note_failure(context, opened, new, error)
        raise _for_caller(error, context, opened) from error
    await _note_success(context, opened, new, checkout)
    context.metrics.checkouts.labels(site.name, "created").inc()
    log().info(
        "checkout.created",
        site=site.name,
        connection=opened.name,
        plan=plan.name,
        order_id=new.order_id,
        checkout_id=checkout.checkout_id,
        attributed=bool(new.attribution.visitor_id),
        dropped=list(new.dropped) or None,
    )
    return Created(checkout.url, new.order_id, checkout.checkout_id)


def _for_caller(error: Exception, context: Context, opened: Opened) -> CheckoutError:
    text = context.redaction.clean(str(error))
    match error:
        case Rejected():
            return ProviderRefused(text, _told(context, error.code), _told(context, error.request_id))
        case Unavailable():
            return ProviderAway(text, error.retry_after)
        case Unsupported():
            return ProviderRefused(f"{opened.connection.plugin} cannot create checkouts: {text}", "unsupported", None)
        case _:
            return ProviderRefused("the provider's answer could not be used; see the gateway's log", None, None)


def _told(context: Context, value: Any) -> str | None:
    """Return what a provider calls an error or a request, whatever its type, fit to be shown."""
    return None if value is None else printable(context.redaction.clean(str(value)), MAX_CODE)


def _outcome(context: Context, opened: Opened, error: Exception) -> str:
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, PluginFault):
        context.metrics.plugin_failures.labels(opened.connection.plugin, "create_checkout").inc()
        return "plugin_failed"
    return "rejected"


async def _note_failure(context: Context, opened: Opened, new: checkouts.NewCheckout, error: Exception) -> None:
    context.metrics.checkouts.labels(new.site, _outcome(context, opened, error)).inc()
    problem = printable(context.redaction.clean(str(error)), 500)
    log().warning("checkout.failed", site=new.site, connection=opened.name, order_id=new.order_id, error=problem)
    try:
        async with asyncio.timeout(STORE_SECONDS), context.database.transaction() as connection:
            await checkouts.failed(connection, new.site, new.order_id, lease=new.lease, problem=problem)
    except (StoreError, TimeoutError) as away:
        log().error("checkout.not_noted", site=new.site, order_id=new.order_id, error=str(away))


async def _note_success(context: Context, opened: Opened, new: checkouts.NewCheckout, checkout: Checkout) -> None:
    """
    Note the provider's id, and watch for the payment where the provider can be asked about it.

    If the database just went away the buyer still gets the URL: the sale comes first.
    """
    try:
        async with asyncio.timeout(STORE_SECONDS), context.database.transaction() as connection:
            noted = await checkouts.created(
                connection,
                new.site,
                new.order_id,
                lease=new.lease,
                url=checkout.url,
                checkout_id=checkout.checkout_id,
                expires_at=checkout.expires_at,
            )
            if noted and checkout.checkout_id and isinstance(opened.provider, SupportsLookup):
                await watches.watch(
                    connection,
                    new.site,
                    new.order_id,
                    name=opened.name,
                    checkout_id=checkout.checkout_id,
                    due_at=context.now() + LOOKS[0],
                )
    except (StoreError, TimeoutError) as away:
        log().error("checkout.not_noted", site=new.site, order_id=new.order_id, error=str(away))
