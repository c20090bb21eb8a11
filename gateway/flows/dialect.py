"""Which of Faurya's two dialects a site speaks now, and what a delivery is in it. Pure."""

from gateway.config import Payments, Site
from gateway.domain.delivery import Answer, AttemptVerdict, Due, OutgoingRequest, Reason, Status, Verdict
from gateway.domain.revenue import RevenueKind
from gateway.faurya import payments, revenue
from gateway.plugins import Live
from gateway.store.outbox import ClaimedDelivery


def not_carried(delivery: ClaimedDelivery, site: Site) -> Verdict | None:
    """A site may have changed its dialect after booking: what the new one cannot carry is not sent."""
    if not isinstance(site.faurya, Payments):
        return None
    if delivery.kind not in (RevenueKind.PURCHASE, RevenueKind.RENEWAL):
        return Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.SKIPPED, reason=Reason.UNSUPPORTED_BY_DESTINATION)
    if not delivery.attribution.visitor_id:
        return Verdict(attempt=AttemptVerdict.NOT_SENT, status=Status.UNATTRIBUTED, reason=Reason.NO_VISITOR_ID)
    return None


def request_for(live: Live, delivery: ClaimedDelivery, site: Site) -> OutgoingRequest:
    """Return the call that records a delivery; raise `ValueError` or `Malformed` if it has no form in it."""
    faurya = site.faurya
    due = Due(
        site=delivery.site,
        connection=delivery.connection,
        plugin=delivery.plugin,
        key=delivery.key,
        own_id=delivery.order_id_sent,
        kind=delivery.kind,
        payment_id=delivery.payment_id,
        order_id=delivery.order_id,
        order_id_sent=delivery.order_id_sent,
        subscription_id=delivery.subscription_id,
        amount_minor=delivery.amount_minor,
        # the unit belongs to the dialect: frozen for the one it was booked for, the present one's where that changed
        amount_unit=delivery.amount_unit if delivery.api == faurya.api else faurya.amount_unit,
        currency=delivery.currency,
        attribution=delivery.attribution,
        globally_unique=live.connections[delivery.site, delivery.connection].globally_unique,
    )
    if isinstance(faurya, Payments):
        return payments.build(due, payments.PaymentsTarget(url=faurya.url, api_key=faurya.api_key))
    target = revenue.RevenueTarget(url=faurya.url, site_id=faurya.site_id, write_key=faurya.write_key)
    return revenue.build(due, target)


def judged(answer: Answer, delivery: ClaimedDelivery, site: Site) -> Verdict:
    """Return what Faurya's answer means in the site's dialect."""
    judge = payments.judge if isinstance(site.faurya, Payments) else revenue.judge
    return judge(answer, delivery.earlier)
