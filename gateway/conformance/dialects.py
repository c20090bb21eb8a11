"""What else `verify` must know of a provider: addresses that are signed, types of the future, signatures of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.conformance.documents import document
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import judged
from gateway.conformance.proofs import not_refused
from gateway.conformance.subject import Subject
from gateway.conformance.tampering import Spot
from gateway.conformance.trial import Trial
from gateway.sdk import Accepted, Ignored, Refused, WebhookRequest

FUTURE_TYPE = "kit.type_of_the_future"


@check(
    "Where the provider signs its address, another address is refused, and the Host header changes nothing.",
    "The address comes from the configuration: behind a proxy Host is another, and anybody can send any Host.",
)
async def the_address_is_signed(trial: Trial) -> AsyncIterator[Evidence]:
    if not trial.subject.signs_url:
        raise NotApplicable("the scheme does not sign the address")
    genuine, provider, _ = trial.proven()
    request = genuine.request
    for url in (request.url.replace("https://", "https://evil."), request.url + "/other", request.url + "?a=b"):
        for found in not_refused(provider, replace(request, url=url), f"the webhook of {request.url} at {url}"):
            yield found
    for name in ("Host", "X-Forwarded-Host"):
        verdict = judged(provider, Spot(name).put(request, "evil.example"))
        if not isinstance(verdict, Accepted):
            yield Evidence(
                f"a genuine webhook with {name}: evil.example", shown(verdict), "sign request.url, never Host"
            )


@check(
    "A webhook of an unknown type is accepted by `verify` and ignored by `extract`.",
    "Providers add types all the time; one that answers 4xx to them gets its endpoint disabled.",
)
async def an_unknown_type_is_ignored(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, verdict = trial.accepted()
    request = of_type(genuine.request, verdict.event_type, FUTURE_TYPE)
    if request is None:
        raise NotApplicable("verify names no event type that stands in the body or in a header")
    if trial.can_sign():
        kept = {name: value for name, value in request.headers.items() if value == FUTURE_TYPE}
        request = trial.signed(request.body, headers=kept)
        judgement = judged(provider, request)
        if not isinstance(judgement, Accepted):
            mend = "a signed webhook is accepted whatever it says; what it means is decided in extract"
            yield Evidence(f"a signed webhook of the type {FUTURE_TYPE}", shown(judgement), mend)
            return
    outcome = await trial.extracted(provider, request)
    if not isinstance(outcome, Ignored) and outcome != ():
        yield Evidence(f"a webhook of the type {FUTURE_TYPE}", shown(outcome), 'return Ignored("not_revenue")')


def of_type(request: WebhookRequest, known: str | None, wanted: str) -> WebhookRequest | None:
    """Return the request with another event type where its own stands; None where it stands nowhere."""
    found = document(request.body)
    places = found.places_of(known) if found and known else []
    if found and places:
        return replace(request, body=found.changed(places[:1], wanted))
    for name, value in request.headers.items():
        if known and value == known:
            return Spot(name).put(request, wanted)
    return None


@check(
    "Recorded signatures get the verdict that is recorded with them, and at least one of them is valid.",
    "`sign` and `verify` of one author agree also where both misread the documentation; only foreign signatures tell.",
    quick=False,
)
async def recorded_signatures_are_judged_right(trial: Trial) -> AsyncIterator[Evidence]:
    recorded = trial.vectors()
    if not recorded and trial.fetches():
        raise NotApplicable('the provider signs nothing (proof "none")')
    if not any(vector.accepted for vector in recorded):
        yield Evidence(_folder(trial.subject), "no valid vector in it", "record a webhook, or sign one with openssl")
    for vector in recorded:
        verdict = judged(trial.open(vector.secrets), vector.request)
        right = isinstance(verdict, Accepted if vector.accepted else Refused)
        if isinstance(verdict, Refused) and vector.reason is not None:
            right = right and verdict.reason == vector.reason
        if not right:
            wanted = "accepted" if vector.accepted else f"refused{f': {vector.reason}' if vector.reason else ''}"
            yield Evidence(f"the vector {vector.name!r}, which must be {wanted}", shown(verdict))


def _folder(subject: Subject) -> str:
    return f"the folder {subject.vectors.name}" if subject.vectors else "no `vectors` folder in the test class"
