"""What was decided reaches the tables, in the one transaction that holds the site's lock."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from gateway.domain.booking import Booked
from gateway.domain.books import refs_of
from gateway.flows.decide import Writing
from gateway.store import bookings, ledger
from gateway.store.bookings import Place
from gateway.store.inbox import Outcome
from gateway.store.pool import Connection


async def write_down(
    connection: Connection, site: str, writing: Writing, now: datetime, source: Literal["webhook", "sweep"]
) -> None:
    """Write ledger, outbox and outcomes; attribute siblings, and wake what waited for the money that is new."""
    new, filled = _latest(writing)
    refs = {(booked.entry.connection, ref) for booked in writing.new for ref in refs_of(booked.entry.event)}
    refs |= {(outcome.connection, ref) for outcome in writing.outcomes for ref in outcome.refs}
    entries = [booked.entry for booked in (*new, *filled)]
    if not (entries or writing.outcomes):
        return
    await ledger.fill(connection, site, [booked.entry for booked in filled])
    may_be_unattributed = await bookings.write(
        connection,
        site,
        now,
        source,
        lines=[booked.entry for booked in new],
        deliveries=[booked.dispatch for booked in (*new, *filled) if booked.dispatch],
        outcomes=[_woken(outcome, refs, now) for outcome in writing.outcomes],
        refs=sorted(refs),
    )
    if may_be_unattributed:
        await ledger.attribute_siblings(connection, site, entries, now)


def _latest(writing: Writing) -> tuple[Sequence[Booked], Sequence[Booked]]:
    """Return each line once, as it was in the end: one statement writes a row only once."""
    if not writing.filled:
        return writing.new, ()
    new = {(booked.entry.connection, booked.entry.event.key): booked for booked in writing.new}
    filled: dict[Place, Booked] = {}
    for booked in writing.filled:
        place = (booked.entry.connection, booked.entry.event.key)
        known = new if place in new else filled
        before = known.get(place)
        dispatch = booked.dispatch or (before.dispatch if before else None)
        known[place] = replace(booked, dispatch=dispatch)
    return list(new.values()), list(filled.values())


def _woken(outcome: Outcome, refs: set[Place], now: datetime) -> Outcome:
    """Return what does not wait any more, because what it waits for is in the same batch, as due at once."""
    waits = outcome.waits_for is not None and (outcome.connection, outcome.waits_for) in refs
    return replace(outcome, due_at=now) if waits else outcome
