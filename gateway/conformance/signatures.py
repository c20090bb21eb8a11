"""What `verify` must accept and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from gateway.conformance import tampering
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import judged
from gateway.conformance.proofs import not_refused, spots
from gateway.conformance.trial import Genuine, Trial
from gateway.sdk import Accepted, WebhookRequest


@check(
    "A genuine webhook is accepted, with the proof that the provider really gives.",
    "Providers disable an endpoint that refuses, and `proof` decides whether the core lets `extract` believe the body.",
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
    "During a rotation old and new webhooks arrive side by side, for a day and longer; refused ones are lost sales.",
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
        for found in not_refused(
            trial.open(secrets), genuine.request, "a webhook signed with a secret of another site"
        ):
            yield found
    for spot in spots(trial, genuine):
        value = spot.value(genuine.request)
        for wrong, what in (
            (tampering.flipped(value), "one character changed"),
            (tampering.shortened(value), "cut to half"),
        ):
            if wrong is not None:
                sent = f"{spot} with its digest {what}"
                for found in not_refused(provider, spot.put(genuine.request, wrong), sent):
                    yield found


def _foreign(trial: Trial, genuine: Genuine) -> list[tuple[str, ...]]:
    others = tuple(secret for secret in trial.subject.secrets if secret not in genuine.secrets)
    return [others] if others else []


@check(
    "A body that differs in one byte is refused where the proof is a signature.",
    "The signature covers the bytes as received: a body parsed and written again is another one; a token covers none.",
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
    "`hmac.compare_digest` raises TypeError for such text, and `str.isdigit` is true for digits that `int` may refuse.",
)
async def non_ascii_is_refused(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    for spot in spots(trial, genuine):
        value = spot.value(genuine.request)
        for odd in (*tampering.NON_ASCII, value + "é", value + "\udcff", value.translate(tampering.ARABIC)):
            if odd != value:
                for found in not_refused(provider, spot.put(genuine.request, odd), f"{spot} = {odd[:80]!a}"):
                    yield found
