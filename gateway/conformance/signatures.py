"""What `verify` must accept and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from gateway.conformance import tampering
from gateway.conformance.documents import document
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.subject import Subject
from gateway.conformance.tampering import Spot
from gateway.conformance.trial import DAY, Genuine, Trial, judged, signature
from gateway.sdk import Accepted, Ignored, Provider, RefusalReason, Refused, WebhookRequest

EVERYDAY = frozenset({"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"})
FUTURE_TYPE = "kit.type_of_the_future"
REFUSED = "answer Refused with the reason; do not raise and do not accept"


def spots(trial: Trial, genuine: Genuine) -> list[Spot]:
    """Return where the proof stands: what `sign` makes differently for another body, time or secret."""
    subject, request = trial.subject, genuine.request
    secret = set(genuine.secrets)
    found = [Spot(name, in_query=True) for name, value in parse_qsl(urlsplit(request.url).query) if value in secret]
    if subject.signature_header:
        names = {subject.signature_header}
    elif trial.can_sign():
        names = _varying(trial)
    else:
        names = {name for name in request.headers if name.lower() not in EVERYDAY}
    return [*found, *(Spot(name) for name in sorted(names))]


def _varying(trial: Trial) -> set[str]:
    subject, body = trial.subject, trial.model_body()
    signer, now, url = trial.signer(), subject.now, subject.url
    first = dict(signature(signer, body, now, url))
    others = [signature(signer, body + b" ", now, url), signature(signer, body, now + DAY, url)]
    if len(subject.secrets) > 1:
        others.append(signature(trial.signer(subject.secrets[1:]), body, now, url))
    return {name for name, value in first.items() if any(other.get(name) != value for other in others)}


def signs_time(trial: Trial) -> bool:
    """Say whether the scheme signs a time: what the author says, else whether `sign` changes with it."""
    if trial.subject.signs_time is not None or not trial.can_sign():
        return trial.subject.signs_time is not False
    signer, body, url = trial.signer(), trial.model_body(), trial.subject.url
    now = trial.subject.now
    return dict(signature(signer, body, now, url)) != dict(signature(signer, body, now + DAY, url))


def not_refused(provider: Provider, request: WebhookRequest, sent: str, mend: str = REFUSED) -> Iterator[Evidence]:
    """Yield evidence if the request gets anything but `Refused`."""
    verdict = judged(provider, request)
    if not isinstance(verdict, Refused):
        yield Evidence(sent, shown(verdict), mend)


@check(
    "A genuine webhook is accepted, with the proof that the provider really gives.",
    "Providers try again for days and then disable the endpoint; `proof` decides whether the core lets `extract` believe "
    "the body.",
)
async def a_genuine_webhook_is_accepted(trial: Trial) -> AsyncIterator[Evidence]:
    genuine = trial.genuine()
    verdict = judged(trial.open(genuine.secrets or None), genuine.request)
    sent = "a webhook signed by the plugin's own `sign`" if trial.can_sign() else "a recorded webhook"
    if not isinstance(verdict, Accepted):
        yield Evidence(sent, shown(verdict), "compare the signed string byte by byte with a recorded signature")
    elif trial.subject.proof not in (None, verdict.proof):
        mend = 'a digest over the body is "signature", a shared token is "secret", nothing is "none"'
        yield Evidence(f"{sent}; the test class says proof = {trial.subject.proof!r}", shown(verdict), mend)


@check(
    "Each of several secrets is accepted, and `secret_index` says which it was.",
    "During a rotation old and new webhooks arrive side by side, for a day and longer; refusing the old ones loses sales.",
)
async def each_secret_is_accepted(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, _, _ = trial.proven()
    subject = trial.subject
    if subject.secrets_field is None:
        raise NotApplicable("the test class says that the plugin has no webhook secrets")
    if len(subject.secrets) < 2:
        name = subject.secrets_field
        mend = f"make {name} a list in config_model and give the kit two made-up secrets in it"
        yield Evidence(f"settings with {len(subject.secrets)} secrets in {name!r}", "nothing to rotate", mend)
        return
    for index, (secrets, request) in enumerate(_under_each(trial, genuine)):
        verdict = judged(trial.open(secrets), request)
        if not isinstance(verdict, Accepted) or verdict.secret_index not in (None, index):
            yield Evidence(
                f"a webhook signed with secret {index} of {len(secrets)}",
                shown(verdict),
                "try every secret; `matching_secret` in gateway.sdk does, and returns the index",
            )


def _under_each(trial: Trial, genuine: Genuine) -> Iterator[tuple[tuple[str, ...], WebhookRequest]]:
    subject = trial.subject
    if trial.can_sign():
        body = trial.model_body()
        for index in range(len(subject.secrets)):
            yield subject.secrets, trial.signed(body, secrets=subject.secrets[index:])
    else:
        others = tuple(secret for secret in subject.secrets if secret not in genuine.secrets)
        yield (*genuine.secrets, *others[:1]), genuine.request
        yield (*others[:1], *genuine.secrets), genuine.request


@check(
    "A signature of another secret, of another body, cut short or wrong in one character is refused.",
    "Anybody can post to a webhook address: a sale that nobody made would be booked.",
)
async def a_wrong_signature_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    for secrets in _foreign(trial, genuine):
        for found in not_refused(trial.open(secrets), genuine.request, "a webhook signed with a secret of another site"):
            yield found
    for spot in spots(trial, genuine):
        value = spot.value(genuine.request)
        for wrong, what in ((tampering.flipped(value), "one character changed"), (tampering.shortened(value), "cut to half")):
            if wrong is not None:
                sent = f"{spot} with its digest {what}"
                for found in not_refused(provider, spot.put(genuine.request, wrong), sent):
                    yield found


def _foreign(trial: Trial, genuine: Genuine) -> list[tuple[str, ...]]:
    others = tuple(secret for secret in trial.subject.secrets if secret not in genuine.secrets)
    return [others] if others else []


@check(
    "A body that differs in one byte is refused where the proof is a signature.",
    "The signature covers the bytes as received: a body parsed and written again is another one, and a token covers none.",
)
async def a_changed_byte_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, verdict = trial.proven()
    if verdict.proof != "signature":
        raise NotApplicable('a token covers no bytes (proof "secret")')
    mend = 'compute the digest over request.body as it is; if the header is only a token, say proof="secret"'
    for what, body in tampering.changed_bodies(genuine.request.body):
        for found in not_refused(provider, replace(genuine.request, body=body), f"the body with {what}", mend):
            yield found


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


@check(
    "A webhook without its signature, or with an empty one, is refused.",
    "A check that passes where there is nothing to check is how forged webhooks come in.",
)
async def a_missing_signature_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    where = spots(trial, genuine)
    if not where:
        mend = "sign the body, or set `signature_header` in the test class"
        yield Evidence("two bodies signed with `sign`", "the same headers: nothing that could prove them", mend)
    bare = genuine.request
    for spot in where:
        bare = spot.put(bare, None)
        for value, what in ((None, "left out"), ("", "empty"), ("   ", "blank")):
            for found in not_refused(provider, spot.put(genuine.request, value), f"{spot} {what}"):
                yield found
    if where:
        for found in not_refused(provider, bare, "a webhook without any of its proofs"):
            yield found


@check(
    "Garbage in place of a signature is refused and raises nothing.",
    "An exception in `verify` is a 503: the sender learns how to knock, and the log fills with tracebacks.",
)
async def garbage_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    for spot in spots(trial, genuine):
        for garbage in tampering.GARBAGE:
            sent = f"{spot} = {garbage[:60]!r} ({len(garbage)} characters)"
            for found in not_refused(provider, spot.put(genuine.request, garbage), sent):
                yield found


@check(
    "Bytes beyond ASCII in a signature are refused and raise nothing.",
    "`hmac.compare_digest` raises TypeError for such text, and `str.isdigit` is true for digits that no provider writes.",
)
async def non_ascii_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    for spot in spots(trial, genuine):
        value = spot.value(genuine.request)
        for odd in (*tampering.NON_ASCII, value + "é", value + "\udcff", value.translate(tampering.ARABIC)):
            if odd != value:
                for found in not_refused(provider, spot.put(genuine.request, odd), f"{spot} = {ascii(odd[:80])}"):
                    yield found


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
            yield Evidence(f"a genuine webhook with {name}: evil.example", shown(verdict), "sign request.url, never Host")


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
