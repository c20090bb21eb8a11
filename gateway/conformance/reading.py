"""What `extract` must make of the webhooks that the author captured."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.conformance import documents
from gateway.conformance.findings import Check, Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import events_of, judged
from gateway.conformance.recordings import Recording, expectation_of
from gateway.conformance.tampering import Spot
from gateway.conformance.trial import DAY, Trial
from gateway.sdk import (
    Accepted,
    Ignored,
    Malformed,
    ProviderError,
    RevenueKind,
    WebhookRequest,
)

WORDS = {
    RevenueKind.PURCHASE: "payment",
    RevenueKind.RENEWAL: "payment",
    RevenueKind.REFUND: "refund",
    RevenueKind.REFUND_REVERSAL: "reversal",
}

STORY = ("purchase", "refund", "not_final", "not_revenue")
"""What a fixtures folder holds at least, unless the provider never sends it."""

NONSENSE = (b"", b"null", b"7", b'"text"', b"{", b"[[[", b"\xff\xfe\x00", b"NaN", b"[" * 100_000, b"<xml/>")
"""Bodies of which no event can be read."""

MAX_SHAPES = 1500
"""Odd shapes of one recording; a Paddle transaction has about 900 and each is read in 50 microseconds."""


async def _fixture(trial: Trial, recording: Recording) -> AsyncIterator[Evidence]:
    """Yield where a fixture gives something else than `expected.json` says."""
    expected = trial.expected().get(recording.name)
    outcome = await trial.read(recording)
    if isinstance(outcome, Exception) and not isinstance(outcome, Malformed):
        yield Evidence(recording.name, shown(outcome), "extract raises Malformed or Unavailable and nothing else")
        return
    if not isinstance(outcome, (Ignored, Malformed, tuple)):
        yield Evidence(recording.name, shown(outcome), "sign it as the provider does; verify and extract must take it")
        return
    found = expectation_of(outcome)
    if expected is None:
        mend = "python -m gateway.conformance <the file of the test class> writes it; then read what it wrote"
        yield Evidence(f"{recording.name}, for which expected.json says nothing", json.dumps(found), mend)
    elif found != expected:
        yield Evidence(f"{recording.name}; expected {_differing(expected, found)}", _differing(found, expected))


def _differing(this: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return what `this` says otherwise than `other`, without what they agree on."""
    mine, theirs = this.get("events"), other.get("events")
    if mine is None or theirs is None or len(mine) != len(theirs):
        return json.dumps(this, ensure_ascii=False)
    names = [sorted({*event, *twin}) for event, twin in zip(mine, theirs, strict=True)]
    parts = [
        {name: event.get(name) for name in every if event.get(name) != twin.get(name)}
        for event, twin, every in zip(mine, theirs, names, strict=True)
    ]
    return json.dumps(parts, ensure_ascii=False)


@check(
    "Every fixture gives what `expected.json` says.",
    "The fixtures are what the provider really sends; what comes out of them is booked as money.",
    quick=False,
)
async def fixtures_give_what_is_expected(trial: Trial) -> AsyncIterator[Evidence]:
    for recording in trial.recordings():
        async for found in _fixture(trial, recording):
            yield found


def a_fixture(recording: Recording) -> Check:
    """Return the check of one fixture alone."""

    async def run(trial: Trial) -> AsyncIterator[Evidence]:
        async for found in _fixture(trial, recording):
            yield found

    return replace(fixtures_give_what_is_expected, name=recording.name, run=run)


@check(
    "The fixtures hold a purchase, a refund, money that is not final yet, and an event that is no money.",
    "Provisional money is the most expensive mistake: authorized and pending payments look much like paid ones.",
    quick=False,
)
async def the_fixtures_tell_the_whole_story(trial: Trial) -> AsyncIterator[Evidence]:
    told: set[str] = set()
    gone = sorted(set(trial.expected()) - {recording.name for recording in trial.recordings()})
    if gone:
        yield Evidence(
            f"expected.json names {', '.join(gone)}", "there is no such fixture", "take it out or capture it"
        )
    for expected in trial.expected().values():
        told.add(expected.get("ignored", ""))
        told.update("refund" if "refund" in event["kind"] else event["kind"] for event in expected.get("events", ()))
    for part in STORY:
        if part not in told and part not in trial.subject.never:
            mend = f"capture one; if the provider has no such thing, say never = {{{part!r}: 'the reason'}}"
            yield Evidence(f"{len(trial.recordings())} fixtures", f"none of them is expected to be {part}", mend)


@check(
    "Keys are `payment:ID`, `refund:ID` and `reversal:ID`, or `refunds:PAYMENT:TOTAL` where only totals are known.",
    "The key is what makes money count once, over webhook, repeat and listing; its first word says what moved.",
)
async def keys_have_the_agreed_form(trial: Trial) -> AsyncIterator[Evidence]:
    for recording in trial.readable():
        for event in events_of(await trial.read(recording)):
            if event.cumulative:
                wanted = f"refunds:{event.payment_id}:{event.amount.minor}"
                right = event.key == wanted
            else:
                wanted = f"{WORDS[event.kind]}:ID"
                right = event.key.startswith(f"{WORDS[event.kind]}:") and len(event.key) > len(wanted) - 2
            if not right:
                yield Evidence(f"{recording.name}, a {event.kind}", f"the key {event.key!r}", f"make it {wanted}")


@check(
    "A key names the movement of money, not the delivery: another event id, other headers and a later arrival keep it.",
    "Providers repeat a webhook under a new id, and a listing has no delivery ids: the money would be booked twice.",
)
async def a_key_outlives_its_delivery(trial: Trial) -> AsyncIterator[Evidence]:
    for recording in trial.readable():
        request = trial.request_of(recording)
        async with trial.with_api(recording.api) as (opened, _):
            first = events_of(await trial.read_by(opened(), request))
            verdict = judged(opened(), request)
            event_id = verdict.event_id if isinstance(verdict, Accepted) and not trial.fetches() else None
            for what, other in _redelivered(request, event_id):
                again = events_of(await trial.extracted(opened(), other))
                if first and [event.key for event in again] != [event.key for event in first]:
                    came_back = f"the keys {[event.key for event in first]}, then {[event.key for event in again]}"
                    yield Evidence(
                        f"{recording.name} {what}", came_back, "build the key of the payment's or refund's id"
                    )


def _redelivered(request: WebhookRequest, event_id: str | None) -> list[tuple[str, WebhookRequest]]:
    """Return the webhook delivered a day later, and under another event id."""
    found = [("delivered a day later", replace(request, received_at=request.received_at + DAY))]
    taken_apart = documents.document(request.body)
    places = taken_apart.places_of(event_id) if taken_apart and event_id else []
    if taken_apart and event_id and len(places) == 1:
        body = taken_apart.changed(places, documents.other_id(event_id))
        found.append((f"with the event id {documents.other_id(event_id)}", replace(request, body=body)))
    return found


@check(
    "The event id is covered by the proof: signed again later it is the same, and unsigned headers do not change it.",
    "The core keeps one row per event id. An id that anybody can write lets a forged repeat replace or hide a sale.",
)
async def the_event_id_is_proven(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, verdict = trial.accepted()
    if verdict.proof == "none" and verdict.event_id is not None:
        mend = "leave event_id out; the core then knows a repeat by its body"
        yield Evidence("a webhook without any proof", f"event_id {verdict.event_id!r}", mend)
        return
    if verdict.event_id is None:
        raise NotApplicable("verify names no event id")
    if trial.can_sign():
        later = trial.signed(genuine.request.body, at=trial.subject.now + DAY / 2880)
        again = judged(provider, later)
        if isinstance(again, Accepted) and again.event_id != verdict.event_id:
            came_back = f"event_id {verdict.event_id!r}, then {again.event_id!r}"
            yield Evidence("the same body, signed 30 seconds later", came_back, "take it from the signed body")
    for name, value in genuine.request.headers.items():
        other = judged(provider, Spot(name).put(genuine.request, documents.other_id(value)))
        if isinstance(other, Accepted) and other.event_id != verdict.event_id:
            yield Evidence(
                f"another {name} header", f"accepted as event {other.event_id!r}", "the header is not signed"
            )


@check(
    "Signed nonsense is `Malformed`.",
    "It is kept for a person to look at and never tried again; any other error looks like a bug in the plugin.",
)
async def nonsense_is_malformed(trial: Trial) -> AsyncIterator[Evidence]:
    if trial.fetches():
        raise NotApplicable('nothing in the body is believed (proof "none"), so nonsense may also be ignored')
    provider = trial.open()
    for body in NONSENSE:
        request = trial.request_of(Recording(name="nonsense", body=body))
        outcome = await trial.read_by(provider, request)
        if not isinstance(outcome, (Malformed, Ignored)) or (isinstance(outcome, Ignored) and body[:1] not in b"{[<"):
            yield Evidence(
                f"the signed body {body[:40]!r}", shown(outcome), "verify accepts it, extract raises Malformed"
            )


@check(
    "A part that is missing, null or of another type is `Malformed` or not used; `extract` raises no other error.",
    "Providers change their payloads without notice. A KeyError says nothing to whoever has to find out what changed.",
)
async def odd_shapes_raise_nothing_else(trial: Trial) -> AsyncIterator[Evidence]:
    seen: set[str] = set()
    for recording in trial.readable():
        taken_apart = documents.document(recording.body)
        if taken_apart is None or recording.event_type in seen or not events_of(await trial.read(recording)):
            continue
        seen.add(recording.event_type)
        request = trial.request_of(recording)
        async with trial.with_api(recording.api) as (opened, _):
            provider = opened()
            for number, (what, body) in enumerate(documents.odd_shapes(taken_apart)):
                if number >= MAX_SHAPES:
                    break
                outcome = await trial.extracted(provider, replace(request, body=body))
                if isinstance(outcome, Exception) and not isinstance(outcome, ProviderError):
                    yield Evidence(f"{recording.name} with {what}", shown(outcome), "check it and raise Malformed")
