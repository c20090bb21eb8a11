"""What the kit orders: a plan of the plugin's own, with a reference and a visitor that must come back."""

from __future__ import annotations

from typing import Any

from gateway.conformance.trial import Trial
from gateway.sdk import Attribution, CheckoutRequest, Money, from_major

REFERENCE = "kit_REF-0123456789abcdefghijklmnopqrst-9"
"""40 characters, the longest that the core makes, of every kind that it uses."""

VISITOR = Attribution(visitor_id="kit:visitor/1 ü", session_id="kit_session_1", token="kit.token")  # noqa: S106 - no secret
"""With what browsers really send: blanks, slashes, letters beyond ASCII."""

IDEMPOTENCY_KEY = "kit-idempotency-key-1"

PLAN = {"items": [{"price_id": "price_kit_1", "quantity": 1}]}


def order(trial: Trial, webhook_url: str = "") -> CheckoutRequest:
    """Return an order of the plugin's `demo_plan`, else of one catalogue price."""
    plugin = trial.subject.plugin
    plan: dict[str, Any] = dict(getattr(plugin, "demo_plan", PLAN))
    options = getattr(plugin, "checkout_options", None)
    amount = plan.get("amount")
    return CheckoutRequest(
        reference=REFERENCE,
        idempotency_key=IDEMPOTENCY_KEY,
        items=[(item["price_id"], item.get("quantity", 1)) for item in plan.get("items", ())],
        amount=_money(amount) if amount else None,
        success_url="https://shop.example.com/thanks",
        cancel_url="https://shop.example.com/pricing",
        webhook_url=webhook_url or trial.subject.url,
        attribution=VISITOR,
        customer_email="buyer@example.com",
        customer_ip="203.0.113.7",
        options=options.model_validate(plan.get("options", {})) if options else None,
    )


def _money(amount: Any) -> Money:
    return from_major(amount["value"], amount["currency"])
