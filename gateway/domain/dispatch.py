"""
The delivery of a ledger line: which figure is sent, frozen, and whether it may go out now. Pure.
"""

from gateway.domain.books import SALES, Basis, Books, Dispatch, Entry, Rules
from gateway.domain.delivery import SUCCESSES, Reason, Status
from gateway.domain.revenue import RevenueEvent, RevenueKind


def freeze(entry: Entry, rules: Rules, books: Books) -> Dispatch:
    """Return the delivery of a ledger line: its amount, frozen, and whether it may go out now."""
    event = entry.event
    minor = figure(event, rules.basis)
    status, reason = standing(entry, rules, books, minor)
    if event.kind not in SALES:
        order_id_sent = event.own_id
    else:
        order_id_sent = entry.order_id if entry.carries_order and entry.order_id else event.payment_id
    return Dispatch(
        connection=entry.connection,
        key=event.key,
        payment_id=event.payment_id,
        is_sale=event.kind in SALES,
        order_id_sent=order_id_sent,
        api=rules.api,
        basis=rules.basis,
        amount_minor=minor,
        amount_unit=rules.amount_unit,
        currency=event.amount.currency,
        status=status,
        reason=reason,
        due=status is Status.PENDING and reason is None,
    )


def figure(event: RevenueEvent, basis: Basis) -> int | None:
    """Return the figure that the site records; None where the provider has not given it yet."""
    if basis == "gross":
        return event.amount.minor
    if basis == "net_of_tax":
        return None if event.tax is None else event.amount.minor - event.tax.minor
    return None if event.net is None else event.net.minor


def standing(entry: Entry, rules: Rules, books: Books, minor: int | None) -> tuple[Status, Reason | None]:
    """Return whether a ledger line may go out now, waits, or is never sent. `minor` is the figure to be sent."""
    never = _never_sent(entry, rules, minor)
    if never:
        return Status.SKIPPED, never
    if rules.api == "payments" and not entry.attribution.visitor_id:
        return Status.UNATTRIBUTED, Reason.NO_VISITOR_ID
    waiting = Reason.WAITING_FOR_AMOUNT if minor is None else None
    if entry.event.kind in SALES:
        return Status.PENDING, waiting
    return _behind_sale(entry, books, waiting)


def _never_sent(entry: Entry, rules: Rules, minor: int | None) -> Reason | None:
    event = entry.event
    if entry.test and not rules.forward_test:
        return Reason.TEST_MODE
    if not rules.forward:
        return Reason.FORWARDING_OFF
    if event.kind not in SALES and rules.api == "payments":
        return Reason.UNSUPPORTED_BY_DESTINATION
    if event.kind not in SALES and not rules.forward_refunds:
        return Reason.REFUND_NOT_FORWARDED
    if rules.currencies is not None and event.amount.currency not in rules.currencies:
        return Reason.CURRENCY_NOT_ACCEPTED
    if event.amount.minor <= 0 or (minor is not None and minor <= 0):
        return Reason.ZERO_AMOUNT
    return None


def _behind_sale(entry: Entry, books: Books, waiting: Reason | None) -> tuple[Status, Reason | None]:
    """A refund goes out only after its sale did; a reversal gives back no more than refunds took."""
    sale = books.sales.get((entry.connection, entry.event.payment_id))
    status = books.statuses.get((entry.connection, sale.event.key)) if sale else None
    if status is not Status.PENDING and status not in SUCCESSES:
        return Status.SKIPPED, Reason.SALE_NOT_RECORDED
    if entry.event.kind is RevenueKind.REFUND_REVERSAL and _refund_never_sent(entry, books):
        return Status.SKIPPED, Reason.REFUND_NOT_FORWARDED
    if status is Status.PENDING:
        return Status.PENDING, waiting or Reason.WAITING_FOR_SALE
    return Status.PENDING, waiting


def _refund_never_sent(reversal: Entry, books: Books) -> bool:
    """
    Say whether the refund that a reversal undoes was never sent, so that sending the reversal would count money twice.

    A reversal names only its payment: with some refund of it unsent, the sent ones must cover every reversal.
    """
    covered, some_unsent = -reversal.event.amount.minor, False
    for place, entry in books.entries.items():
        event = entry.event
        if (entry.connection, event.payment_id) != (reversal.connection, reversal.event.payment_id):
            continue
        is_sent = books.statuses[place] in (Status.PENDING, *SUCCESSES)
        if event.kind is RevenueKind.REFUND:
            some_unsent = some_unsent or not is_sent
            covered += event.amount.minor if is_sent else 0
        elif event.kind is RevenueKind.REFUND_REVERSAL and is_sent and event.key != reversal.event.key:
            covered -= event.amount.minor
    return some_unsent and covered < 0
