"""Single fields of Razorpay's entities: what Razorpay set is checked, what others set is dropped if odd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.sdk import Malformed, Money, text_from

Entity = Mapping[str, Any]

ID = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
"""A prefix, an underscore and 14 letters and digits; ids become parts of keys and of addresses."""

EARLIEST, LATEST = 946_684_800, 4_765_046_400
"""Unix times that Razorpay takes and gives (https://razorpay.com/docs/api/payments/fetch-all-payments)."""

TRUE = (True, "1", "true")
"""`captured` is a boolean in payment events and "1" in subscription events (https://razorpay.com/docs/webhooks/subscriptions)."""

LINK = re.compile(r"#([A-Za-z0-9]{14})", re.ASCII)
"""
The description of a payment link's payment: the link's id without its prefix. Undocumented, but so in every sample of
https://razorpay.com/docs/webhooks/payment-links since 2020.
"""


def object_of(parent: Entity, name: str) -> Entity:
    """Return the object in a field; an empty one where the field holds anything else (empty notes are a list)."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def link(entity: Entity, name: str) -> str | None:
    """Return the id in a field; None where there is none; raise `Malformed` for what is no id."""
    value = entity.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise Malformed(f"{name} is not an id")
    return value


def required(entity: Entity, name: str) -> str:
    """Return the id in a field that must have one."""
    found = link(entity, name)
    if found is None:
        raise Malformed(f"there is no {name}")
    return found


def money(entity: Entity, name: str) -> Money:
    """
    Return an amount: a whole number of the currency's smallest unit.

    Razorpay counts in the units of ISO 4217: 295 JPY are 295, 295.99 KWD are 295990
    (https://razorpay.com/docs/api/payments/payment-links/create-standard).
    """
    return Money(entity.get(name), entity.get("currency"))  # type: ignore[arg-type]  # Money checks both


def instant(entity: Entity, name: str) -> datetime:
    """Return the time that Unix seconds name."""
    value = entity.get(name)
    if type(value) is not int or not EARLIEST <= value <= LATEST:
        raise Malformed(f"{name} is not a Unix time in seconds")
    return datetime.fromtimestamp(value, UTC)


def is_captured(payment: Entity) -> bool:
    """Say whether the money arrived; a payment that was refunded without ever being captured never did."""
    status = payment.get("status")
    return status in ("captured", "refunded") and payment.get("captured", status == "captured") in TRUE


def left(payment: Entity, amount: Money) -> Money | None:
    """
    Return what is left after Razorpay's fee, GST on it included; None while the fee is not known.

    The fee is in the account's own currency, so nothing can be said of a payment in another one.
    """
    fee, own = payment.get("fee"), (payment.get("base_currency"), payment.get("base_amount"))
    if type(fee) is not int or own[0] not in (None, amount.currency) or own[1] not in (None, amount.minor):
        return None
    return Money(amount.minor - fee, amount.currency)


def payment_link_id(payment: Entity) -> str | None:
    """Return the payment link that the payment's description names."""
    found = LINK.fullmatch(text_from(payment, ("description",), 64) or "")
    return f"plink_{found[1]}" if found else None
