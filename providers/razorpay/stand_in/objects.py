"""
Razorpay's entities as Razorpay writes them, with invented content. Pure but for the random part of an id.

Shapes: the sample payloads of https://razorpay.com/docs/webhooks/all and the entity pages of the API reference.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway.sdk import Money

Entity = dict[str, Any]

ID_ALPHABET = string.ascii_letters + string.digits

MONTH = timedelta(days=30)


def new_id(prefix: str) -> str:
    """Return an id in Razorpay's form: a prefix and 14 letters and digits."""
    return f"{prefix}_{''.join(secrets.choice(ID_ALPHABET) for _ in range(14))}"


def seconds(at: datetime) -> int:
    """Return Unix seconds."""
    return int(at.timestamp())


def fee_of(amount: int) -> tuple[int, int]:
    """Return Razorpay's fee of 2 % with 18 % GST on it, and that GST, in the smallest unit."""
    base = amount * 2 // 100
    tax = base * 18 // 100
    return base + tax, tax


def payment_link(form: Mapping[str, Any], address: str, at: datetime) -> Entity:
    """Return a payment link that nobody has paid yet."""
    name = new_id("plink")
    return {
        "accept_partial": False,
        "amount": form["amount"],
        "amount_paid": 0,
        "callback_method": form.get("callback_method", ""),
        "callback_url": form.get("callback_url", ""),
        "cancelled_at": 0,
        "created_at": seconds(at),
        "currency": form.get("currency", "INR"),
        "customer": form.get("customer", {}),
        "description": form.get("description", ""),
        "expire_by": form.get("expire_by", 0),
        "expired_at": 0,
        "first_min_partial_amount": 0,
        "id": name,
        "notes": form.get("notes") or None,
        "notify": {"email": False, "sms": False, "whatsapp": False},
        "payments": None,
        "reference_id": form.get("reference_id", ""),
        "reminder_enable": False,
        "reminders": [],
        "short_url": f"{address}/pay/{name}",
        "status": "created",
        "updated_at": seconds(at),
        "upi_link": False,
        "user_id": "",
        "whatsapp_link": False,
    }


def order(worth: Money, notes: Mapping[str, Any], receipt: str | None, at: datetime) -> Entity:
    """Return an order that is paid; empty notes are a list at Razorpay."""
    return {
        "id": new_id("order"),
        "entity": "order",
        "amount": worth.minor,
        "amount_due": 0,
        "amount_paid": worth.minor,
        "attempts": 1,
        "created_at": seconds(at),
        "currency": worth.currency,
        "notes": dict(notes) or [],
        "offer_id": None,
        "receipt": receipt,
        "status": "paid",
    }


def payment(worth: Money, notes: Mapping[str, Any], at: datetime, **own: Any) -> Entity:
    """Return a captured payment."""
    fee, tax = fee_of(worth.minor)
    return {
        "id": new_id("pay"),
        "entity": "payment",
        "amount": worth.minor,
        "currency": worth.currency,
        "base_amount": worth.minor,
        "status": "captured",
        "order_id": None,
        "invoice_id": None,
        "international": False,
        "method": "upi",
        "amount_refunded": 0,
        "amount_transferred": 0,
        "refund_status": None,
        "captured": True,
        "description": None,
        "card_id": None,
        "bank": None,
        "wallet": None,
        "vpa": "buyer@exampleupi",
        "email": "buyer@example.com",
        "contact": "+910000000000",
        "notes": dict(notes) or [],
        "fee": fee,
        "tax": tax,
        "error_code": None,
        "error_description": None,
        "error_source": None,
        "error_step": None,
        "error_reason": None,
        "acquirer_data": {"rrn": "000000000000"},
        "created_at": seconds(at),
        "upi": {"payer_account_type": "bank_account", "vpa": "buyer@exampleupi"},
        **own,
    }


def refund(paid: Entity, amount: int, at: datetime, **own: Any) -> Entity:
    """Return a refund of a payment that has come through."""
    return {
        "id": new_id("rfnd"),
        "entity": "refund",
        "amount": amount,
        "currency": paid["currency"],
        "payment_id": paid["id"],
        "notes": [],
        "receipt": None,
        "acquirer_data": {"rrn": "000000000000"},
        "created_at": seconds(at),
        "batch_id": None,
        "status": "processed",
        "speed_processed": "normal",
        "speed_requested": "normal",
        **own,
    }


def dispute(paid: Entity, amount: int, at: datetime, **own: Any) -> Entity:
    """Return a dispute that a bank has opened."""
    return {
        "id": new_id("disp"),
        "entity": "dispute",
        "payment_id": paid["id"],
        "amount": amount,
        "currency": paid["currency"],
        "amount_deducted": 0,
        "reason_code": "goods_or_services_not_received_or_partially_received",
        "respond_by": seconds(at + timedelta(days=9)),
        "status": "open",
        "phase": "chargeback",
        "created_at": seconds(at),
        **own,
    }


def subscription(notes: Mapping[str, Any], at: datetime, **own: Any) -> Entity:
    """Return a subscription that begins at `at` and has not been charged yet."""
    return {
        "id": new_id("sub"),
        "entity": "subscription",
        "plan_id": "plan_00000000000001",
        "customer_id": new_id("cust"),
        "status": "active",
        "current_start": seconds(at),
        "current_end": seconds(at + MONTH),
        "ended_at": None,
        "quantity": 1,
        "notes": dict(notes) or [],
        "charge_at": seconds(at + MONTH),
        "start_at": seconds(at),
        "end_at": seconds(at + 12 * MONTH),
        "auth_attempts": 0,
        "total_count": 12,
        "paid_count": 0,
        "customer_notify": True,
        "created_at": seconds(at),
        "remaining_count": 12,
        **own,
    }


def invoice(plan: Entity, paid: Entity, at: datetime) -> Entity:
    """Return the invoice of one charge of a subscription, for the period that the subscription is in."""
    return {
        "id": new_id("inv"),
        "entity": "invoice",
        "receipt": None,
        "customer_id": plan["customer_id"],
        "order_id": paid["order_id"],
        "subscription_id": plan["id"],
        "payment_id": paid["id"],
        "status": "paid",
        "issued_at": seconds(at),
        "paid_at": seconds(at),
        "amount": paid["amount"],
        "amount_paid": paid["amount"],
        "amount_due": 0,
        "currency": paid["currency"],
        "notes": [],
        "billing_start": plan["current_start"],
        "billing_end": plan["current_end"],
        "type": "invoice",
        "created_at": seconds(at),
    }


def webhook(event: str, account: str, entities: Mapping[str, Entity], at: datetime) -> Entity:
    """Return the body of a webhook."""
    return {
        "entity": "event",
        "account_id": account,
        "event": event,
        "contains": list(entities),
        "payload": {name: {"entity": entity} for name, entity in entities.items()},
        "created_at": seconds(at),
    }
