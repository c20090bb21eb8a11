"""How old a webhook may be, and how that is proven."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from gateway.conformance import tampering
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import judged
from gateway.conformance.proofs import not_refused, signs_time
from gateway.conformance.trial import DAY, Genuine, Trial
from gateway.sdk import Accepted, Provider, RefusalReason, Refused


@check(
    "A webhook that was signed a day ago is refused as too old.",
    "Whoever once saw a signed webhook could send it again for ever; the reason helps the operator to compare clocks.",
)
async def a_stale_webhook_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    for found in _out_of_time(trial, 1, RefusalReason.TIMESTAMP_TOO_OLD):
        yield found


@check(
    "A webhook that was signed for tomorrow is refused as from the future.",
    "A timestamp of next year makes a replay that never gets old; official helpers of several providers let it pass.",
)
async def a_future_webhook_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    for found in _out_of_time(trial, -1, RefusalReason.TIMESTAMP_IN_FUTURE):
        yield found


def _out_of_time(trial: Trial, days: int, reason: RefusalReason) -> Iterator[Evidence]:
    genuine, provider, _ = _timed(trial)
    request = replace(genuine.request, received_at=genuine.request.received_at + days * DAY)
    verdict = judged(provider, request)
    if not isinstance(verdict, Refused) or verdict.reason is not reason:
        when = "before" if days > 0 else "after"
        mend = f"answer Refused(reason={reason.name}); `refused_by_age` in gateway.sdk looks both ways"
        yield Evidence(f"a genuine webhook, signed one day {when} it is received", shown(verdict), mend)


@check(
    "The time is part of what is signed: a new time pasted into an old signature is refused.",
    "If the signature does not cover the time, the age that it proves is whatever the sender wrote.",
)
async def the_time_is_signed(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = _timed(trial)
    received = genuine.request.received_at
    request = tampering.pasted_time(genuine.request, received, received + DAY)
    if request is None:
        raise NotApplicable("no header holds the time as a Unix time")
    for found in not_refused(provider, request, "yesterday's headers with today's time written into them"):
        yield found


def _timed(trial: Trial) -> tuple[Genuine, Provider, Accepted]:
    found = trial.proven()
    if found[2].proof != "signature" or not signs_time(trial):
        raise NotApplicable("the scheme signs no time; keys that name the movement make a replay harmless")
    return found
