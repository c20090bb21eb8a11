"""
From Lemon Squeezy's webhooks and lists to revenue events. Pure: both go through the same readers of one resource.

A webhook is `{"meta": {"event_name", "test_mode", "custom_data"}, "data": <order or subscription invoice>}`. Orders and
subscription invoices are numbered separately, so payments are `order-1` and `invoice-1`. The first payment of a
subscription is an order *and* an invoice (`billing_reason: initial`); the order counts, because it has the variant and
is there for every kind of sale. Refunds have no ids: both resources show the total refunded so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gateway.sdk import (
    Ignored,
    Malformed,
    Money,
    RevenueEvent,
    RevenueKind,
    attribution_from,
    checked,
    reference_from,
    time_of,
)
from providers.lemonsqueezy.values import figure, identifier, member

Resource = Mapping[str, Any]

SALE, REFUNDS = "sale", "refunds"

EVENTS: Mapping[str, tuple[str, Literal["sale", "refunds"]]] = {
    "order_created": ("orders", "sale"),
    "order_refunded": ("orders", "refunds"),
    "subscription_payment_success": ("subscription-invoices", "sale"),
    "subscription_payment_recovered": ("subscription-invoices", "sale"),
    "subscription_payment_refunded": ("subscription-invoices", "refunds"),
}
"""
Event to the resource that it carries and what is read there (https://docs.lemonsqueezy.com/help/webhooks/event-types).
`recovered` comes with a `success` of the same invoice: a second chance to hear of it, under the same key.
"""

WORDS = {"orders": "order", "subscription-invoices": "invoice"}
"""Resource to the first word of its payment id."""

PAID = frozenset({"paid", "partial_refund", "partial_refunded", "refunded"})
"""
Statuses of what was paid, whatever became of it since. `pending`, `failed`, `void` and `fraudulent` are not money
(https://docs.lemonsqueezy.com/api/orders/the-order-object, .../subscription-invoices/the-subscription-invoice-object).
"""

SIMULATED = "simulated-"
"""How the ids of our own samples begin. Lemon Squeezy's are numbers, and no browser can choose them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a webhook says beside its resource; a list says nothing of the kind."""

    custom_data: object = None
    test: bool = False


LISTED = Context()

Found = Sequence[RevenueEvent] | Ignored


def subscription_asked_for(webhook: Any) -> str | None:
    """Return the subscription whose order must be known before `read`; None where a webhook says all itself."""
    meta = webhook.get("meta") if isinstance(webhook, dict) else None
    name = meta.get("event_name") if isinstance(meta, dict) else None
    known = EVENTS.get(name) if isinstance(name, str) else None
    if known is None or known[1] != REFUNDS or known[0] != "subscription-invoices":
        return None
    resource = _resource(webhook, known[0])
    return None if _is_simulated(resource) else order_wanted(resource)


def order_wanted(invoice: Resource) -> str | None:
    """Return the subscription of a first invoice with refunds: they belong to its order, which the invoice lacks."""
    attributes = _attributes(invoice)
    if attributes.get("billing_reason") != "initial" or not has_refunds(invoice):
        return None
    return identifier(attributes.get("subscription_id"), "subscription_id")


def has_refunds(resource: Resource) -> bool:
    """Say whether some of an order's or an invoice's money went back; older payloads show only a status."""
    attributes = _attributes(resource)
    refunded = attributes.get("refunded_amount")
    return attributes.get("status") == "refunded" if refunded is None else refunded != 0


def read(webhook: Any, order_id: str | None = None) -> Found:
    """
    Return the movement of money that a webhook reports, or why there is none; raise `Malformed`.

    `order_id` is the order of the subscription that `subscription_asked_for` named.
    """
    if not isinstance(webhook, dict):
        raise Malformed(f"the webhook is not an object but {type(webhook).__name__}")
    meta = member(webhook, "meta")
    name = checked(meta.get("event_name"), "meta.event_name")
    if name not in EVENTS:
        return Ignored("not_revenue")
    kind, part = EVENTS[name]
    resource = _resource(webhook, kind)
    if _is_simulated(resource):
        return Ignored("simulated")
    context = Context(custom_data=meta.get("custom_data"), test=meta.get("test_mode") is True)
    return read_sale(resource, context) if part == SALE else read_refunds(resource, context, order_id)


def read_sale(resource: Resource, context: Context = LISTED) -> Found:
    """Return the sale that an order or a later invoice is, once it is paid."""
    attributes = _attributes(resource)
    invoice = resource.get("type") == "subscription-invoices"
    if invoice and checked(attributes.get("billing_reason"), "billing_reason") == "initial":
        return Ignored("not_revenue")
    if checked(attributes.get("status"), "status") not in PAID:
        return Ignored("not_final")
    currency = checked(attributes.get("currency"), "currency")
    payment_id = _payment_id(resource)
    sale = RevenueEvent(
        kind=RevenueKind.RENEWAL if invoice else RevenueKind.PURCHASE,
        key=f"payment:{payment_id}",
        payment_id=payment_id,
        amount=figure(attributes, "total", currency),
        occurred_at=time_of(attributes.get("created_at"), "created_at"),
        test=_is_test(attributes, context),
        tax=None if attributes.get("tax") is None else figure(attributes, "tax", currency),
        reference=reference_from(context.custom_data),
        subscription_id=identifier(attributes.get("subscription_id"), "subscription_id") if invoice else None,
        account=identifier(attributes.get("store_id"), "store_id"),
        items=_items(attributes.get("first_order_item")),
        attribution=attribution_from(context.custom_data),
        cause=attributes["billing_reason"] if invoice else None,
    )
    return [sale]


def read_refunds(resource: Resource, context: Context = LISTED, order_id: str | None = None) -> Found:
    """
    Return the total refunded so far of an order or an invoice.

    Refunds of a first invoice are those of its order, `order_id`: whichever of the two Lemon Squeezy reports, and be it
    both, the totals are of one payment and are booked once. The custom data is left out: a refund with ids of its own
    would not wait for its sale.
    """
    attributes = _attributes(resource)
    currency = checked(attributes.get("currency"), "currency")
    refunded = _refunded(attributes, currency)
    if refunded.minor == 0:
        return Ignored("not_final")
    first = resource.get("type") == "subscription-invoices" and attributes.get("billing_reason") == "initial"
    if first and order_id is None:
        raise Malformed("the order of the refunded first invoice is not known")
    payment_id = f"order-{order_id}" if first else _payment_id(resource)
    is_all = refunded == figure(attributes, "total", currency)
    subscription_id = attributes.get("subscription_id")
    refund = RevenueEvent(
        kind=RevenueKind.REFUND,
        key=f"refunds:{payment_id}:{refunded.minor}",
        payment_id=payment_id,
        amount=refunded,
        occurred_at=_refunded_at(attributes),
        test=_is_test(attributes, context),
        cumulative=True,
        tax=figure(attributes, "tax", currency) if is_all and attributes.get("tax") is not None else None,
        subscription_id=None if subscription_id is None else identifier(subscription_id, "subscription_id"),
        account=identifier(attributes.get("store_id"), "store_id"),
        cause="refund",
    )
    return [refund]


def _resource(webhook: Mapping[str, Any], kind: str) -> Resource:
    resource = member(webhook, "data")
    if resource.get("type") != kind:
        raise Malformed(f"data is not of the type {kind}")
    return resource


def _attributes(resource: Resource) -> Mapping[str, Any]:
    return member(resource, "attributes")


def _payment_id(resource: Resource) -> str:
    return f"{WORDS[resource['type']]}-{identifier(resource.get('id'), 'data.id')}"


def _is_simulated(resource: Resource) -> bool:
    name = resource.get("id")
    return isinstance(name, str) and name.startswith(SIMULATED)


def _is_test(attributes: Mapping[str, Any], context: Context) -> bool:
    return context.test or attributes.get("test_mode") is True


def _refunded(attributes: Mapping[str, Any], currency: str) -> Money:
    """Return the running total; older payloads have none and know full refunds only."""
    if attributes.get("refunded_amount") is None and attributes.get("status") == "refunded":
        return figure(attributes, "total", currency)
    refunded = figure(attributes, "refunded_amount", currency)
    if refunded.minor < 0:
        raise Malformed("refunded_amount is negative")
    return refunded


def _refunded_at(attributes: Mapping[str, Any]) -> datetime:
    """`refunded_at` is there once all is refunded; until then the latest change is the refund."""
    name = "updated_at" if attributes.get("refunded_at") is None else "refunded_at"
    return time_of(attributes.get(name), name)


def _items(item: object) -> Sequence[str]:
    """
    Return the variant, which is what plans sell, and the product.

    Both are numbers of their own series; `product-` keeps a product from being taken for a variant.
    """
    if not isinstance(item, dict):
        return ()
    places = (("", item.get("variant_id")), ("product-", item.get("product_id")))
    return tuple(f"{word}{value}" for word, value in places if type(value) is int and value >= 0)
