"""What a buyer, a seller or a bank can do to a sale, checked and begun; the stories run in the background."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.sdk.stand_in import NotPossible
from providers.stripe.stand_in.objects import Entity
from providers.stripe.stand_in.seller import Payment
from providers.stripe.stand_in.stories import Stories


def sale_of(stories: Stories, session_id: object) -> Entity:
    """Return the session of that id."""
    sale = stories.seller.sessions.get(session_id) if isinstance(session_id, str) else None
    if sale is None:
        raise NotPossible("there is no such checkout session")
    return sale


def payment_of(stories: Stories, name: object) -> Payment:
    """Return the payment of a session or of a PaymentIntent's id."""
    if isinstance(name, str) and name in stories.seller.payments:
        return stories.seller.payments[name]
    payment = stories.seller.payment_of(sale_of(stories, name))
    if payment is None:
        raise NotPossible("nothing is paid yet")
    return payment


def pay(stories: Stories, sale: Entity) -> None:
    """Begin a payment by card; a second click changes nothing."""
    _begin(stories, sale, stories.pay(sale))


def pay_later(stories: Stories, sale: Entity, *, fails: bool = False) -> None:
    """Begin a payment by bank debit."""
    if sale["mode"] != "payment":
        raise NotPossible("the stand-in debits banks for one-off sales only")
    _begin(stories, sale, stories.pay_later(sale, fails=fails))


def decline(stories: Stories, sale: Entity) -> None:
    """Begin a payment that the bank declines."""
    _begin(stories, sale, stories.decline(sale))


def refund(
    stories: Stories, name: object, amount: int | None = None, *, pending: bool = False, fails: bool = False
) -> None:
    """Give all that is left, or a part, back."""
    payment = payment_of(stories, name)
    wanted = payment.left if amount is None else amount
    if not 1 <= wanted <= payment.left:
        raise NotPossible(f"{wanted} cannot go back: {payment.left} of this sale is left")
    stories.deliveries.start(stories.refund(payment, wanted, pending=pending, fails=fails))


def dispute(stories: Stories, name: object, closed: str | None = None) -> None:
    """Let the buyer's bank take the money back, or decide about what it took."""
    payment = payment_of(stories, name)
    if closed is None:
        if payment.left < payment.charge["amount"]:
            raise NotPossible("what is refunded or disputed cannot be disputed")
        stories.deliveries.start(stories.dispute(payment))
    elif payment.dispute is None or payment.dispute["status"] != "needs_response":
        raise NotPossible("there is no open dispute to close")
    else:
        stories.deliveries.start(stories.close_dispute(payment.dispute, won=closed == "won"))


def renew(stories: Stories, name: object) -> None:
    """Let the next month of a subscription be paid; `name` is its id or its session's."""
    found = stories.seller.subscriptions.get(name) if isinstance(name, str) else None
    if found is None:
        found = stories.seller.subscriptions.get(sale_of(stories, name)["subscription"] or "")
    if found is None:
        raise NotPossible("there is no such subscription")
    stories.deliveries.start(stories.renew(found))


def _begin(stories: Stories, sale: Entity, story: Coroutine[Any, Any, None]) -> None:
    if sale["status"] != "open" or sale["id"] in stories.seller.paying:
        story.close()
        return
    stories.seller.paying.add(sale["id"])
    stories.deliveries.start(_then_free(stories, sale, story))


async def _then_free(stories: Stories, sale: Entity, story: Coroutine[Any, Any, None]) -> None:
    try:
        await story
    finally:
        stories.seller.paying.discard(sale["id"])
