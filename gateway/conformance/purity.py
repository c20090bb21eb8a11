"""What `open`, `verify` and `extract` must not reach for, wait for or remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from time import perf_counter

from gateway.conformance import tampering
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import judged
from gateway.conformance.proofs import spots
from gateway.conformance.recordings import Recording
from gateway.conformance.tampering import Spot
from gateway.conformance.traps import Sprung, watched
from gateway.conformance.trial import Trial
from gateway.sdk import Accepted, Provider, Refused, Runtime, WebhookRequest, headers_of

STALL_SECONDS = 0.1
"""What the gateway's watchdog names a plugin for; all other webhooks of the process wait meanwhile."""


@check(
    "`open` touches nothing: no network, no files, no environment, no clock, and no state that connections share.",
    "Every site's connections are opened at the start and at each reload; one that blocks or fails stops all of them.",
)
async def opening_touches_nothing(trial: Trial) -> AsyncIterator[Evidence]:
    config = trial.subject.plugin.config_model.model_validate(trial.settings())
    runtime = Runtime(http=trial.http, now=trial.clock)
    readings = trial.clock.readings
    with watched() as sprung:
        trial.subject.plugin.open(config, runtime)
    for found in _reached(sprung, "open(config, runtime)", "keep the arguments; do the work in the methods"):
        yield found
    for place in [*sprung.clocks, *sprung.environment]:
        yield Evidence("open(config, runtime)", place, "everything that open needs is in config and runtime")
    if trial.clock.readings != readings:
        yield Evidence("open(config, runtime)", "runtime.now was called", "keep runtime; call now() when it is needed")
    for found in _shared(trial):
        yield found


def _shared(trial: Trial) -> Iterator[Evidence]:
    try:
        genuine, _, _ = trial.proven()
    except NotApplicable:
        return
    foreign = tuple(secret for secret in trial.subject.secrets if secret not in genuine.secrets)
    if not foreign:
        return
    first = trial.open(genuine.secrets)
    trial.open(foreign)
    verdict = judged(first, genuine.request)
    if not isinstance(verdict, Accepted):
        sent = "a webhook of the first connection, after a second one was opened with another secret"
        yield Evidence(sent, shown(verdict), "keep what belongs to a connection in its provider object")


@check(
    "`verify` does no I/O and does not wait.",
    "It runs while the provider waits for its answer, some for 5 seconds only, and all other webhooks stand still.",
)
async def verify_touches_nothing(trial: Trial) -> AsyncIterator[Evidence]:
    for sent, sprung in _verified(trial):
        mend = 'answer Accepted(proof="none") and ask the provider in `extract`'
        for found in _reached(sprung, sent, mend):
            yield found
        for place in sprung.environment:
            yield Evidence(sent, f"the environment was read {place}", "everything that verify needs is in the config")


@check(
    "`verify` knows no time but `received_at`.",
    "A webhook is verified again when it is replayed or looked into; with another clock the verdict would change.",
)
async def verify_reads_no_clock(trial: Trial) -> AsyncIterator[Evidence]:
    for sent, sprung in _verified(trial):
        for place in sprung.clocks:
            yield Evidence(sent, place, "use request.received_at")


@check(
    "Digests are compared in constant time.",
    "`==` stops at the first difference; whoever measures the answers learns a signature byte by byte.",
)
async def digests_are_compared_in_constant_time(trial: Trial) -> AsyncIterator[Evidence]:
    if trial.subject.constant_time:
        raise NotApplicable(trial.subject.constant_time)
    genuine, provider, _ = trial.proven()
    for spot in spots(trial, genuine):
        wrong = tampering.flipped(spot.value(genuine.request))
        request = spot.put(genuine.request, wrong)
        if wrong is None or not isinstance(judged(provider, request), Refused):
            continue
        with watched() as sprung:
            judged(provider, request)
        if not sprung.comparisons:
            mend = "use `matching_secret` of gateway.sdk or hmac.compare_digest; a library that does it: constant_time"
            yield Evidence(f"{spot} with one character changed", "refused without hmac.compare_digest", mend)


@check(
    "The same webhook gives the same verdict and the same events, every time and after any other.",
    "The core reads again: after a crash, for `replay`, when a repeat comes. What was seen before it knows itself.",
)
async def nothing_is_remembered(trial: Trial) -> AsyncIterator[Evidence]:
    recordings = list(trial.readable())
    try:
        genuine, provider, first = trial.accepted()
    except NotApplicable:
        genuine = None
    if genuine is not None:
        again = judged(provider, genuine.request)
        if again != first:
            yield Evidence(
                "the same webhook twice to one provider", f"{shown(first)}, then {shown(again)}", "keep no state"
            )
    async for found in _read_again(trial, recordings):
        yield found


async def _read_again(trial: Trial, recordings: list[Recording]) -> AsyncIterator[Evidence]:
    with_api = [recording for recording in recordings if recording.api or trial.fetches()]
    for recording in with_api:
        async with trial.with_api(recording.api) as (opened, _):
            provider, request = opened(), trial.request_of(recording)
            outcomes = [await trial.read_by(provider, request) for _ in range(2)]
        if not same(*outcomes):
            yield Evidence(f"{recording.name} twice", " and then ".join(map(shown, outcomes)), "keep no state")
    provider, rest = trial.open(), [recording for recording in recordings if recording not in with_api]
    before = {recording.name: await trial.read(recording) for recording in rest}
    for recording in [*rest, *reversed(rest)]:
        outcome = await trial.read_by(provider, trial.request_of(recording))
        if not same(outcome, before[recording.name]):
            came_back = f"{shown(before[recording.name])}, then {shown(outcome)}"
            yield Evidence(f"{recording.name}, once alone and once among others", came_back, "keep no state in extract")
            return


def same(first: object, second: object) -> bool:
    """Say whether two outcomes are equal; errors are if they are of one class."""
    if isinstance(first, Exception) or isinstance(second, Exception):
        return type(first) is type(second)
    return first == second


@check(
    "`extract` works without the signature and the secret headers.",
    "The core stores no secrets, so they are gone when a webhook is read; a replay has no fresh signature either.",
)
async def extract_needs_no_secret_header(trial: Trial) -> AsyncIterator[Evidence]:
    try:
        names = {spot.name for spot in spots(trial, trial.genuine()) if not spot.in_query}
    except NotApplicable:
        names = set()
    for recording in trial.readable():
        request = trial.request_of(recording)
        bare = replace(request, headers=headers_of([kept for kept in request.headers.items() if kept[0] not in names]))
        async with trial.with_api(recording.api) as (opened, _):
            whole = await trial.read_by(opened(), request)
            outcome = await trial.extracted(opened(), bare)
        if not isinstance(whole, Refused) and not same(whole, outcome):
            sent = f"{recording.name} without {', '.join(sorted(names)) or 'its secret headers'}"
            yield Evidence(sent, shown(outcome), "read only the body and headers that are no secrets")
            return


@check(
    "`extract` never computes for long without awaiting.",
    "All sites share one event loop: while a plugin sleeps or blocks, no webhook of anybody is answered.",
)
async def extract_does_not_block(trial: Trial) -> AsyncIterator[Evidence]:
    for recording in trial.readable():
        request = trial.request_of(recording)
        async with trial.with_api(recording.api) as (opened, _):
            stalls = [await _longest_stall(trial, opened(), request) for _ in range(2)]
        if min(stalls) > STALL_SECONDS:
            mend = "await the client that runtime.http is; no time.sleep, requests or blocking library"
            yield Evidence(recording.name, f"the loop stood still for {min(stalls) * 1000:.0f} ms", mend)
            return


async def _longest_stall(trial: Trial, provider: Provider, request: WebhookRequest) -> float:
    """Return the longest time between two turns of the loop while the plugin reads."""
    longest, last = 0.0, perf_counter()
    reading = asyncio.ensure_future(trial.read_by(provider, request))
    while not reading.done():
        await asyncio.sleep(0)
        longest, last = max(longest, perf_counter() - last), perf_counter()
    return longest


def _verified(trial: Trial) -> Iterator[tuple[str, Sprung]]:
    """Verify a genuine, a wrong and a garbage webhook, and yield what `verify` reached for each time."""
    genuine, provider, _ = trial.accepted()
    where = spots(trial, genuine)[:1] or [Spot("X-Signature")]
    requests = [
        ("a genuine webhook", genuine.request),
        ("a webhook with another body", replace(genuine.request, body=genuine.request.body + b" ")),
        ("garbage in place of a signature", where[0].put(genuine.request, "garbage")),
    ]
    for _, request in requests:
        judged(provider, request)  # imports that happen once are not looked at
    for sent, request in requests:
        readings = trial.clock.readings
        with watched() as sprung:
            judged(provider, request)
        if trial.clock.readings != readings:
            sprung.clocks.append("runtime.now was called")
        yield sent, sprung


def _reached(sprung: Sprung, sent: str, mend: str) -> Iterator[Evidence]:
    for place in sprung.touches:
        yield Evidence(sent, place, mend)
    for place in sprung.sleeps:
        yield Evidence(sent, f"time.sleep {place}", mend)
