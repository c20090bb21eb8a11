"""What was decided reaches the tables, in the one transaction that holds the site's lock."""

from datetime import datetime
from typing import Literal

from gateway.domain.books import refs_of
from gateway.flows.decide import Writing
from gateway.store import inbox, ledger, outbox
from gateway.store.pool import Connection


async def write_down(
    connection: Connection, site: str, writing: Writing, now: datetime, source: Literal["webhook", "sweep"]
) -> None:
    """Write ledger, outbox and outcomes; attribute siblings, and wake what waited for the money that is new."""
    new = [booked.entry for booked in writing.new]
    filled = [booked.entry for booked in writing.filled]
    if new or filled:
        await ledger.insert(connection, site, new, source)
        await ledger.fill(connection, site, filled)
        dispatches = [booked.dispatch for booked in (*writing.new, *writing.filled) if booked.dispatch]
        await outbox.put(connection, site, dispatches, now)
        await ledger.attribute_siblings(connection, site, [*new, *filled], now)
    if writing.outcomes:
        await inbox.settle(connection, site, writing.outcomes)
    refs = {(entry.connection, ref) for entry in new for ref in refs_of(entry.event)}
    refs |= {(outcome.connection, ref) for outcome in writing.outcomes for ref in outcome.refs}
    if refs:
        await inbox.wake(connection, site, sorted(refs), now)
