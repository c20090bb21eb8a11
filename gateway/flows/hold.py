"""
An answer of Faurya holds a site, or shows that it works again.

Many calls of a site are under way when its key goes bad. The first bad answer begins the hold; after that only the
probe's answer counts, so that neither the stragglers' failures lengthen the wait nor an old success lifts the hold.

A circuit is a hold too: after several calls without a usable answer the site's deliveries stop, one at a time probes
every few seconds, and no other delivery spends its schedule on a Faurya that is not there.
"""

from dataclasses import replace
from datetime import timedelta

from gateway.domain.delivery import Answer, AttemptVerdict, Hold, HoldReason, Verdict
from gateway.domain.holds import NOT_FOUND_STREAK, Circuits, next_probe
from gateway.flows.context import Context
from gateway.store import holds, outbox
from gateway.store.errors import StoreError
from gateway.store.holds import SiteHold
from gateway.store.pool import Connection
from gateway.telemetry import log

PROBE_PAUSE = timedelta(seconds=30)
"""Until a held site's next probe where the last one told nothing about the hold (a timeout, a 5xx)."""


FAILED = frozenset({AttemptVerdict.UNCLEAR, AttemptVerdict.NOT_SENT})
"""What a call came to that tells nothing about the payment: Faurya was not there, or not well."""


def counted(circuits: Circuits, site: str, verdict: Verdict, answer: Answer, *, probed: SiteHold | None) -> Verdict:
    """
    Return the verdict, with a hold where this was one failure too many, or one more of the probe of an open circuit.

    `probed` is the hold whose probe this was. Any other hold's probe that failed so tells nothing about the hold.
    """
    if _never_asked(verdict, answer):
        return verdict
    failed = verdict.attempt in FAILED
    opens = circuits.opens(site, failed=failed)
    if probed is not None:
        opens = failed and probed.reason == HoldReason.UNAVAILABLE
    if not opens:
        return verdict
    return replace(verdict, hold=Hold(reason=HoldReason.UNAVAILABLE, retry_after=answer.retry_after))


def _never_asked(verdict: Verdict, answer: Answer) -> bool:
    return verdict.attempt is AttemptVerdict.NOT_SENT and answer.error is None


async def hold_before(context: Context, site: str, verdict: Verdict, *, probe: bool) -> None:
    """Hold the site if the answer says so: before its delivery is due again, so that nobody sends it meanwhile."""
    if verdict.hold is None:
        return
    try:
        async with context.database.transaction() as connection:
            await _hold(context, connection, site, verdict.hold, probe=probe)
    except StoreError as error:
        log().warning("site.hold_not_noted", site=site, error=str(error))


async def learn_after(context: Context, site: str, verdict: Verdict, answer: Answer, *, probe: bool) -> None:
    """Hold a site whose visitors are all unknown; lift the hold of one whose probe was answered."""
    not_found = verdict.attempt is AttemptVerdict.NOT_FOUND
    if verdict.hold is not None or not (not_found or probe):
        return
    try:
        async with context.database.transaction() as connection:
            if not_found and await outbox.not_found_in_a_row(connection, site, NOT_FOUND_STREAK) >= NOT_FOUND_STREAK:
                await _hold(context, connection, site, Hold(reason=HoldReason.VISITORS_NOT_FOUND), probe=probe)
            elif probe:
                await _end_probe(context, connection, site, verdict, answer)
    except StoreError as error:
        log().warning("site.hold_not_noted", site=site, error=str(error))


async def _hold(context: Context, connection: Connection, site: str, hold: Hold, *, probe: bool) -> None:
    now, standing = context.now(), await holds.find(connection, site)
    probes = standing.probes + 1 if standing else 0
    wait = next_probe(hold.reason, probes, hold.retry_after, context.draw())
    until = now + wait if wait is not None else None
    if probe:
        await holds.set_hold(connection, site, now=now, until=until, reason=hold.reason.value)
    elif not await holds.begin(connection, site, now=now, until=until, reason=hold.reason.value):
        return
    log().error("site.held", site=site, reason=hold.reason.value, until=until and until.isoformat())


async def _end_probe(context: Context, connection: Connection, site: str, verdict: Verdict, answer: Answer) -> None:
    works = verdict.attempt not in FAILED
    again_in = timedelta(0) if _never_asked(verdict, answer) else PROBE_PAUSE
    await holds.end_probe(connection, site, lift=works, now=context.now(), again_in=again_in)
    if works:
        log().info("site.lifted", site=site)
