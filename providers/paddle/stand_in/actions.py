"""What a buyer, a seller or a bank can do to a sale, checked and begun; the stories run in the background."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from gateway.sdk.stand_in import NotPossible
from providers.paddle.stand_in import people
from providers.paddle.stand_in.objects import Entity, timestamp
from providers.paddle.stand_in.stories import Stories

Story = Callable[[Entity], Awaitable[None]]


def sale_of(stories: Stories, transaction_id: object) -> Entity:
    """Return the transaction of that id."""
    sale = stories.seller.transactions.get(transaction_id) if isinstance(transaction_id, str) else None
    if sale is None:
        raise NotPossible("there is no such transaction")
    return sale


def pay(stories: Stories, sale: Entity) -> None:
    """Begin a payment that succeeds; a second click changes nothing."""
    _begin_payment(stories, sale, stories.purchase)


def decline(stories: Stories, sale: Entity) -> None:
    """Begin a payment that the bank declines."""
    _begin_payment(stories, sale, stories.decline)


def refund(
    stories: Stories, sale: Entity, amount: int | None = None, *, approve: bool = True, at_once: bool = False
) -> Entity:
    """Ask for all that is left, or a part, back. `at_once`: approved from the start, as Paddle does with small ones."""
    adjustment = _adjust(stories, sale, "refund", amount, "approved" if at_once else "pending_approval")
    if at_once:
        stories.deliveries.start(stories.chargeback(sale, adjustment))
    else:
        stories.deliveries.start(stories.refund(sale, adjustment, approve=approve))
    return adjustment


def chargeback(stories: Stories, sale: Entity, amount: int | None = None) -> Entity:
    """Let the buyer's bank take the money back."""
    adjustment = _adjust(stories, sale, "chargeback", amount, "approved")
    stories.deliveries.start(stories.chargeback(sale, adjustment))
    return adjustment


def reverse_chargeback(stories: Stories, sale: Entity) -> Entity:
    """Let the bank return what the latest standing chargeback took."""
    standing = [
        entity
        for entity in stories.seller.adjustments.values()
        if (entity["transaction_id"], entity["action"], entity["status"]) == (sale["id"], "chargeback", "approved")
    ]
    if not standing:
        raise NotPossible("there is no chargeback to reverse")
    amount = int(standing[-1]["totals"]["total"])
    reversal = people.adjustment(
        sale, action="chargeback_reverse", amount=amount, status="approved", at=stories.seller.now()
    )
    stories.seller.adjustments[reversal["id"]] = reversal
    stories.deliveries.start(stories.reverse(sale, standing[-1], reversal))
    return reversal


def renew(stories: Stories, subscription_id: object) -> None:
    """Let the next month of a subscription be paid."""
    found = stories.seller.subscriptions.get(subscription_id) if isinstance(subscription_id, str) else None
    if found is None:
        raise NotPossible("there is no such subscription")
    stories.deliveries.start(stories.renew(found))


def late(stories: Stories, sale: Entity, name: Literal["updated", "revised"]) -> None:
    """Report a sale once more under a new event id, as Paddle does when details of the buyer are corrected."""
    if name == "revised":
        stories.seller.touch(sale, revised_at=timestamp(stories.seller.now()))
    stories.deliveries.start(stories.happen(f"transaction.{name}", sale))


def _begin_payment(stories: Stories, sale: Entity, story: Story) -> None:
    if sale["status"] in ("draft", "ready") and sale["id"] not in stories.seller.paying:
        stories.seller.paying.add(sale["id"])
        stories.deliveries.start(_then_free(stories, sale, story))


async def _then_free(stories: Stories, sale: Entity, story: Story) -> None:
    try:
        await story(sale)
    finally:
        stories.seller.paying.discard(sale["id"])


def _adjust(stories: Stories, sale: Entity, action: str, amount: int | None, status: str) -> Entity:
    left = stories.seller.refundable(sale["id"])
    wanted = left if amount is None else amount
    if not 1 <= wanted <= left:
        raise NotPossible(f"{wanted} cannot go back: {left} of this sale is left")
    adjustment = people.adjustment(sale, action=action, amount=wanted, status=status, at=stories.seller.now())
    stories.seller.adjustments[adjustment["id"]] = adjustment
    return adjustment
