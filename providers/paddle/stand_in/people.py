"""Customers, addresses, subscriptions and adjustments, with invented content. Pure but for the random part of an id."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from providers.paddle.stand_in.objects import MONTH, Entity, figures, new_id, timestamp


def customer(customer_id: str, at: datetime) -> Entity:
    """Return the buyer; the only entity with an e-mail address."""
    return {
        "id": customer_id,
        "name": "Invented Buyer",
        "email": "buyer@example.com",
        "marketing_consent": False,
        "status": "active",
        "custom_data": None,
        "locale": "en",
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
        "import_meta": None,
    }


def address(address_id: str, customer_id: str, at: datetime) -> Entity:
    """Return where the buyer lives."""
    return {
        "id": address_id,
        "customer_id": customer_id,
        "description": None,
        "first_line": "1 Example Street",
        "second_line": None,
        "city": "Exampletown",
        "postal_code": "00000",
        "region": None,
        "country_code": "US",
        "custom_data": None,
        "status": "active",
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
        "import_meta": None,
    }


def billing_period(at: datetime) -> Entity:
    """Return the month that a payment at `at` pays for."""
    return {"starts_at": timestamp(at), "ends_at": timestamp(at + MONTH)}


def subscription(subscription_id: str, first: Entity, at: datetime) -> Entity:
    """Return the subscription that the transaction `first` begins; its custom data goes to every renewal."""
    now = timestamp(at)
    return {
        "id": subscription_id,
        "status": "active",
        "customer_id": first["customer_id"],
        "address_id": first["address_id"],
        "business_id": None,
        "currency_code": first["currency_code"],
        "created_at": now,
        "updated_at": now,
        "started_at": now,
        "first_billed_at": now,
        "next_billed_at": timestamp(at + MONTH),
        "paused_at": None,
        "canceled_at": None,
        "discount": None,
        "collection_mode": "automatic",
        "billing_details": None,
        "current_billing_period": billing_period(at),
        "billing_cycle": {"interval": "month", "frequency": 1},
        "scheduled_change": None,
        "items": [{**item, "status": "active", "recurring": True} for item in first["items"]],
        "custom_data": first["custom_data"],
        "import_meta": None,
    }


def adjustment(sale: Entity, *, action: str, amount: int, status: str, at: datetime, **own: Any) -> Entity:
    """Return money going back (or forward) on `sale`; all figures are positive, the action gives the direction."""
    whole = amount == int(sale["details"]["totals"]["grand_total"])
    parts = {name: str(value) for name, value in figures(amount).items()}
    entity: Entity = {
        "id": new_id("adj", at),
        "action": action,
        "type": "full" if whole else "partial",
        "transaction_id": sale["id"],
        "subscription_id": sale["subscription_id"],
        "customer_id": sale["customer_id"],
        "reason": "requested by the buyer",
        "credit_applied_to_balance": None,
        "currency_code": sale["currency_code"],
        "status": status,
        "items": [
            {
                "id": new_id("adjitm", at),
                "item_id": sale["details"]["line_items"][0]["id"],
                "type": "full" if whole else "partial",
                "amount": str(amount),
                "proration": None,
                "totals": {"subtotal": parts["subtotal"], "tax": parts["tax"], "total": str(amount)},
            }
        ],
        "totals": {**parts, "total": str(amount), "currency_code": sale["currency_code"], "retained_fee": "0"},
        "payout_totals": None,
        "tax_rates_used": None,
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
    }
    return {**entity, **own}
