"""What the readings of one site become: lines of the ledger, deliveries, and an outcome for each webhook. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.config import Config, Connection, Site
from gateway.domain.booking import RANK, Already, Booked, OtherSite, Wait, decide, in_order
from gateway.domain.books import Books, Rules
from gateway.domain.messages import Ignored
from gateway.domain.revenue import RevenueEvent
from gateway.domain.text import printable
from gateway.flows.read import Failed, Reading
from gateway.store.inbox import Claimed, Outcome

MAX_DETAIL = 500


@dataclass(slots=True)
class Writing:
    """What one booking transaction is about to write."""

    new: list[Booked] = field(default_factory=list)
    filled: list[Booked] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def rules_of(site: Site, connection: Connection) -> Rules:
    """Return what the configuration says about the money of one connection."""
    return Rules(
        connection=connection.name,
        plugin=connection.plugin,
        live=connection.environment == "live",
        claims=connection.claims,
        forward=connection.forward,
        api=site.faurya.api,
        basis=site.faurya.amount,
        amount_unit=site.faurya.amount_unit,
        forward_refunds=site.faurya.forward_refunds,
        forward_test=site.faurya.forward_test,
        currencies=site.faurya.currencies,
    )


def decide_all(
    config: Config, site: str, readings: Sequence[Reading], books: Books, now: datetime, clean: Callable[[str], str]
) -> Writing:
    """
    Decide webhook by webhook, those with sales first, so that a refund in the same batch finds its sale.

    `books` is brought up to date. `clean` takes secrets out of a text.
    """
    writing, configured, rules = Writing(), config.sites[site], dict[str, Rules]()
    for reading in sorted(readings, key=_sales_first):
        name = reading.webhook.connection
        if name not in rules:
            rules[name] = rules_of(configured, configured.providers[name])
        match reading.found:
            case Failed() as failed:
                outcome = _failed(reading.webhook, failed, now, clean)
            case Ignored(reason):
                outcome = _ended(reading.webhook, "ignored", reason)
            case events:
                outcome = _decide_events(config, reading.webhook, in_order(events), rules[name], books, writing, now)
        writing.outcomes.append(outcome)
    return writing


def _sales_first(reading: Reading) -> tuple[int, datetime]:
    if not reading.events:
        return 0, reading.webhook.received_at
    return min((RANK[event.kind], event.occurred_at) for event in reading.events)


def _failed(webhook: Claimed, failed: Failed, now: datetime, clean: Callable[[str], str]) -> Outcome:
    detail = printable(clean(failed.detail), MAX_DETAIL)
    if failed.again_in is None:
        return _ended(webhook, "unreadable", failed.reason, detail=detail)
    return _ended(webhook, "received", failed.reason, detail=detail, due_at=now + failed.again_in)


def _decide_events(
    config: Config,
    webhook: Claimed,
    events: Sequence[RevenueEvent],
    rules: Rules,
    books: Books,
    writing: Writing,
    now: datetime,
) -> Outcome:
    ends = webhook.received_at + config.booking.wait
    decisions = []
    for event in events:
        decision = decide(event, rules, books, now=now, event_key=webhook.event_key, may_wait=now < ends)
        decisions.append(decision)
        if isinstance(decision, Booked):
            take(decision, books, writing)
    refs = tuple(ref for decision in decisions if isinstance(decision, OtherSite) for ref in decision.refs)
    waits = next((decision.waits_for for decision in decisions if isinstance(decision, Wait)), None)
    if waits is not None:
        return _ended(webhook, "received", "waiting_for_sale", due_at=ends, waits_for=waits, refs=refs)
    return _ended(webhook, *_outcome(webhook, decisions), refs=refs)


def _ended(webhook: Claimed, outcome: str, reason: str | None, **more: Any) -> Outcome:
    return Outcome(connection=webhook.connection, event_key=webhook.event_key, outcome=outcome, reason=reason, **more)


def _outcome(webhook: Claimed, decisions: Sequence[object]) -> tuple[str, str | None]:
    """Booked if anything in it is booked by this webhook, now or when it was read before."""
    others = 0
    for decision in decisions:
        match decision:
            case Booked(fills=False) | Already(event_key=webhook.event_key):
                return "booked", None
            case OtherSite():
                others += 1
            case _:
                pass
    if not decisions:
        return "ignored", "not_revenue"
    return "ignored", "other_site" if others == len(decisions) else "already_booked"


def take(booked: Booked, books: Books, writing: Writing) -> None:
    """Note what is to be written, and let the books know of it at once."""
    (writing.filled if booked.fills else writing.new).append(booked)
    place = (booked.entry.connection, booked.entry.event.key)
    books.learn(booked.entry, booked.dispatch.status if booked.dispatch else books.statuses[place])
