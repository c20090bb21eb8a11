"""
Whose money it is, what it refers to, and what it waits for: the connection's claims, held against the books. Pure.
"""

from gateway.domain.books import SALES, Books, Entry, KnownCheckout, Rules, payment_ref, refs_of, subscription_ref
from gateway.domain.revenue import RevenueEvent, RevenueKind


def claimed(event: RevenueEvent, rules: Rules, books: Books) -> bool | None:
    """Say whether the money is this site's; None while what it refers to is unknown."""
    if rules.claims == "all":
        return True
    if isinstance(rules.claims, tuple) and event.account in rules.claims:
        return True
    if event.kind not in SALES:
        if (rules.connection, event.payment_id) in books.sales:
            return True
        return False if _is_foreign(payment_ref(event.payment_id), rules, books) else None
    if rules.claims != "own_checkouts":
        return _listed(event, rules, books)
    if _began(event, rules, books) or first_of(event, rules, books):
        return True
    if event.subscription_id is None or _names_another(event, rules, books):
        return False
    return False if _is_foreign(subscription_ref(event.subscription_id), rules, books) else None


def refs_in_the_end(event: RevenueEvent) -> tuple[str, ...]:
    """
    Return what later events can refer to, once money whose owner is undecided has waited long enough.

    A purchase that names no order was most likely its subscription's first sale, sold elsewhere. Of anything else the
    sale that says whose it is may still come; and should ours come after all, it is claimed in spite of this.
    """
    return refs_of(event) if event.kind is RevenueKind.PURCHASE and event.reference is None else ()


def _listed(event: RevenueEvent, rules: Rules, books: Books) -> bool | None:
    """Say whether a sale has one of the listed items; one without any follows its subscription."""
    if event.items or not event.subscription_id:
        return any(item in rules.claims for item in event.items)
    if first_of(event, rules, books):
        return True
    if event.kind is not RevenueKind.RENEWAL or _is_foreign(subscription_ref(event.subscription_id), rules, books):
        return False
    return None


def _is_foreign(ref: str, rules: Rules, books: Books) -> bool:
    return (rules.connection, ref) in books.foreign


def _began(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """
    Return the checkout of ours that this event began as.

    Where the provider's id was never noted (a crash between its answer and our note), our order id is enough to claim
    the money, though not to attribute it.
    """
    if event.checkout_id and (found := books.checkouts.get((rules.connection, event.checkout_id))):
        return found
    order = _order(event, rules, books)
    return order if order and (order.checkout_id is None or event.checkout_id is None) else None


def _order(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """Return the checkout of ours that the event's reference names; a browser may have written the reference."""
    order = books.orders.get(event.reference or "")
    return order if order and order.connection == rules.connection else None


def _names_another(event: RevenueEvent, rules: Rules, books: Books) -> bool:
    """Say whether a purchase names an order that is not ours. Later charges carry the order id they began with."""
    is_purchase = event.kind is RevenueKind.PURCHASE
    return is_purchase and event.reference is not None and _order(event, rules, books) is None


def first_of(event: RevenueEvent, rules: Rules, books: Books) -> Entry | None:
    """Return the first booking of the event's subscription, if it is known."""
    return books.firsts.get((rules.connection, event.subscription_id)) if event.subscription_id else None


def missing(event: RevenueEvent, rules: Rules, books: Books, *, undecided: bool) -> str | None:
    """Return what a refund or a renewal without ids, or money whose owner is undecided, still waits for."""
    if not undecided and (event.attribution or own_checkout(event, rules, books)):
        return None
    if event.kind not in SALES:
        has_sale = (rules.connection, event.payment_id) in books.sales
        return None if has_sale else payment_ref(event.payment_id)
    follows = undecided or event.kind is RevenueKind.RENEWAL
    if follows and event.subscription_id and not first_of(event, rules, books):
        return subscription_ref(event.subscription_id)
    return None


def own_checkout(event: RevenueEvent, rules: Rules, books: Books) -> KnownCheckout | None:
    """Return our checkout whose provider id is this event's, or with which this event's subscription began."""
    first = first_of(event, rules, books)
    for checkout_id in (event.checkout_id, first.event.checkout_id if first else None):
        if checkout_id and (found := books.checkouts.get((rules.connection, checkout_id))):
            return found
    return None
