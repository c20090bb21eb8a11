"""
`api: revenue`, the dialect of Faurya's guides.

Facts: "Backend: record the purchase in Faurya" of https://docs.faurya.com/docs/revenue-attribution/paddle-checkout-api;
refunds as negative amounts from https://docs.faurya.com/docs/revenue-attribution/polar-other-methods. The endpoint
promises no dedupe, so an attempt whose outcome is unclear can count twice when it is repeated.
"""

from dataclasses import dataclass, field

from pydantic import SecretStr

from gateway.domain.delivery import Due, OutgoingRequest
from gateway.domain.revenue import RevenueKind
from gateway.faurya.judging import judge
from gateway.faurya.payload import json_amount, post

__all__ = ["RevenueTarget", "build", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueTarget:
    """Where a site's revenue goes in this dialect."""

    url: str
    site_id: str
    write_key: SecretStr = field(repr=False)


def build(due: Due, target: RevenueTarget) -> OutgoingRequest:
    """Return the call that records one movement: refunds as `refund` with a negative amount, the rest as `purchase`."""
    is_refund = due.kind is RevenueKind.REFUND
    minor = -abs(due.amount_minor) if is_refund else due.amount_minor
    payload = {
        "event": "refund" if is_refund else "purchase",
        "amount": json_amount(minor, due.currency, due.amount_unit),
        "currency": due.currency,
        "orderId": due.order_id_sent,
        "provider": due.plugin,
        "providerPaymentId": due.payment_id,
        "attribution": {
            "faVisitorId": due.attribution.visitor_id,
            "faSessionId": due.attribution.session_id,
            "faAttributionToken": due.attribution.token,
        },
    }
    return post(
        due,
        f"{target.url.rstrip('/')}/api/revenue",
        payload,
        shown={"x-faurya-site-id": target.site_id},
        secret={"x-faurya-write-key": target.write_key.get_secret_value()},
    )
