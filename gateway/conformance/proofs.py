"""Where a proof stands in a request, and what the scheme covers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from gateway.conformance.findings import Evidence, shown
from gateway.conformance.outcomes import judged, signature
from gateway.conformance.tampering import Spot
from gateway.conformance.trial import DAY, Genuine, Trial
from gateway.sdk import Provider, Refused, WebhookRequest

EVERYDAY = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)
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
