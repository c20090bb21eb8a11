"""
Webhook bodies as Paddle writes them, fast: the plugin's own sample is made once for each price, then its ids are
replaced. Pure.
"""

from datetime import UTC, datetime
from functools import cache

from gateway.sdk import Attribution, Money, RevenueKind
from providers.paddle.stand_in.objects import timestamp
from providers.paddle.stand_in.samples import sample
from tests.chaos.market import Event

MADE = datetime(2026, 1, 1, tzinfo=UTC)
MADE_TEXT = timestamp(MADE).encode()


@cache
def template(kind: str, amount: int, currency: str, *, ids: bool, visitor: bool, subscribed: bool) -> bytes:
    """Return a body with marks where the ids go."""
    who = Attribution(visitor_id="@VISITOR@", session_id="session-of-@VISITOR@") if visitor else Attribution()
    return sample(
        RevenueKind(kind),
        now=MADE,
        amount=Money(amount, currency),
        reference="@ORDER@" if ids else None,
        attribution=who if ids else Attribution(),
        payment_id="@PAYMENT@",
        subscription_id="@SUBSCRIPTION@" if subscribed else None,
        adjustment_id="@ADJUSTMENT@",
        event_id="@EVENT@",
        simulated=False,
    )


def body_of(event: Event, at: datetime) -> bytes:
    """Return the body of an event that happened at `at`."""
    movement = event.movement
    body = template(
        movement.kind,
        movement.amount,
        movement.currency,
        ids=event.with_ids,
        visitor=movement.visitor is not None,
        subscribed=movement.subscription_id is not None,
    )
    marks = {
        b"@EVENT@": event.id,
        b"@PAYMENT@": movement.payment_id,
        b"@ADJUSTMENT@": movement.key.partition(":")[2],
        b"@ORDER@": movement.reference or "",
        b"@SUBSCRIPTION@": movement.subscription_id or "",
        b"@VISITOR@": movement.visitor or "",
        MADE_TEXT: timestamp(at),
    }
    for mark, value in marks.items():
        body = body.replace(mark, value.encode())
    if event.type == "transaction.updated":
        body = body.replace(b'"transaction.completed"', b'"transaction.updated"', 1)
    if event.type == "transaction.paid":
        body = body.replace(b'"transaction.completed"', b'"transaction.paid"', 1)
        body = body.replace(b'"status":"completed"', b'"status":"paid"', 1)
    return body
