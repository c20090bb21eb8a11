"""What the plugin finds out about one checkout, where it can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

from gateway.conformance.calling import money
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import attempt
from gateway.conformance.selling import Sale, sale
from gateway.conformance.trial import Trial
from gateway.sdk import RevenueEvent, SupportsLookup


@check(
    "`find` gives the keys, kinds and amounts that the webhooks of a checkout gave, and nothing else.",
    "A checkout about which no webhook came is looked up: another key counts the money twice once the webhook comes.",
)
async def a_lookup_has_the_webhooks_keys(trial: Trial) -> AsyncIterator[Evidence]:
    async with sale(trial, refund=True) as sold:
        if not isinstance(sold.provider, SupportsLookup):
            raise NotApplicable("the plugin has no `find`")
        if sold.trouble or sold.purchase is None:
            raise NotApplicable("no webhook came: see a_checkout_brings_back_what_it_sent")
        if sold.checkout.checkout_id is None:
            raise NotApplicable("the provider's checkouts have no id")
        found = await attempt(partial(sold.provider.find, sold.checkout.checkout_id))
        for evidence in _unlike_found(sold, sold.purchase, found):
            yield evidence


def _unlike_found(sold: Sale, purchase: RevenueEvent, found: object) -> Iterator[Evidence]:
    sent = f"a purchase and what followed at the stand-in, then find({sold.checkout.checkout_id!r})"
    if not isinstance(found, (list, tuple)) or not all(isinstance(event, RevenueEvent) for event in found):
        yield Evidence(sent, shown(found), "return the movements of the checkout; the stand-in must serve them too")
        return
    webhooks = {event.key: event for event in sold.events}
    if purchase.key not in {event.key for event in found}:
        came_back = f"find gives {sorted(event.key for event in found)}"
        yield Evidence(f"{sent}; the webhook gave {purchase.key}", came_back, "read both with one function")
    for event in found:
        twin = webhooks.get(event.key)
        if twin is None:
            yield Evidence(f"{sent}; the webhooks gave {sorted(webhooks)}", event.key, "give what webhooks give")
        elif (twin.kind, twin.amount, twin.payment_id) != (event.kind, event.amount, event.payment_id):
            came_back = f"find gives {money(event)}"
            yield Evidence(f"{sent}; the webhook gave {money(twin)}", came_back, "read both with one function")
