"""A plugin under test at work: opened with made-up settings, webhooks signed for it, its calls watched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from gateway.conformance.findings import NotApplicable
from gateway.conformance.loopback import NOWHERE, RecordedApi, serving
from gateway.conformance.outcomes import attempt, judged, signature
from gateway.conformance.recordings import Recording, Unreadable, expectations, recordings
from gateway.conformance.subject import Subject
from gateway.conformance.vectors import Vector, vectors
from gateway.outbound import client_session
from gateway.sdk import (
    Accepted,
    Delivery,
    Provider,
    RevenueKind,
    Runtime,
    SupportsStandIn,
    WebhookRequest,
    headers_of,
)

TIMEOUT = timedelta(seconds=1)
"""For one call to a loopback server; long enough for a busy machine, short enough to wait for a server that hangs."""

DAY = timedelta(days=1)


@dataclass(slots=True)
class Clock:
    """The clock that the plugin is lent. It counts how often it is read."""

    moment: datetime
    readings: int = 0

    def __call__(self) -> datetime:
        self.readings += 1
        return self.moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Genuine:
    """A request that must be accepted by a provider opened with these secrets."""

    request: WebhookRequest
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(slots=True)
class Trial:
    """One plugin and everything a check needs to put questions to it."""

    subject: Subject
    http: ClientSession
    clock: Clock

    def settings(self, secrets: Sequence[str] | None = None, address: str = NOWHERE) -> dict[str, Any]:
        """Return a connection's settings with these secrets, its API at `address`."""
        subject, settings = self.subject, dict(self.subject.settings)
        fields = subject.plugin.config_model.model_fields
        if subject.base_url_field and subject.base_url_field in fields:
            settings[subject.base_url_field] = address
        if secrets is not None and subject.secrets_field:
            one = isinstance(settings.get(subject.secrets_field), str)
            settings[subject.secrets_field] = secrets[0] if one else list(secrets)
        return settings

    def open(self, secrets: Sequence[str] | None = None, address: str = NOWHERE) -> Provider:
        """Return the provider of one connection."""
        plugin = self.subject.plugin
        config = plugin.config_model.model_validate(self.settings(secrets, address))
        return plugin.open(config, Runtime(http=self.http, now=self.clock))

    def signer(self, secrets: Sequence[str] | None = None) -> SupportsStandIn:
        """Return the provider's own stand-in; raise `NotApplicable` where it has none."""
        provider = self.open(secrets)
        if not isinstance(provider, SupportsStandIn):
            raise NotApplicable("the plugin has no stand-in (stand_in, sample, sign)")
        return provider

    def can_sign(self) -> bool:
        """Say whether the plugin signs webhooks itself."""
        return isinstance(self.open(), SupportsStandIn)

    def signed(
        self,
        body: bytes,
        *,
        secrets: Sequence[str] | None = None,
        at: datetime | None = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> WebhookRequest:
        """Return a request that carries `body`, signed with the first of the secrets."""
        used = tuple(secrets or self.subject.secrets)
        url = url or self._url(used)
        own = signature(self.signer(used or None), body, at or self.subject.now, url)
        return WebhookRequest(
            method="POST",
            url=url,
            headers=headers_of([*(headers or {}).items(), *own.items()]),
            body=body,
            received_at=at or self.subject.now,
        )

    def genuine(self) -> Genuine:
        """Return a request that must be accepted: signed by the plugin, else recorded."""
        if self.can_sign():
            secrets = self.subject.secrets
            return Genuine(request=self.signed(self.model_body()), secrets=secrets[:1])
        for vector in self.vectors():
            if vector.accepted:
                return Genuine(request=vector.request, secrets=vector.secrets)
        raise NotApplicable("the plugin has neither a `sign` nor a recorded signature that is valid")

    def accepted(self) -> tuple[Genuine, Provider, Accepted]:
        """Return a genuine request with its verdict; raise `NotApplicable` where the plugin does not accept it."""
        genuine = self.genuine()
        provider = self.open(genuine.secrets or None)
        verdict = judged(provider, genuine.request)
        if not isinstance(verdict, Accepted):
            raise NotApplicable("the genuine webhook is not accepted: see a_genuine_webhook_is_accepted")
        return genuine, provider, verdict

    def proven(self) -> tuple[Genuine, Provider, Accepted]:
        """Like `accepted`, for plugins that prove their webhooks in `verify`."""
        found = self.accepted()
        if (self.subject.proof or found[2].proof) == "none":
            raise NotApplicable('the provider signs nothing (proof "none")')
        return found

    def model_body(self) -> bytes:
        """Return the body of a purchase: the plugin's sample, else the first recording."""
        provider = self.open()
        if isinstance(provider, SupportsStandIn):
            return provider.sample(RevenueKind.PURCHASE, simulated=False, occurred_at=self.subject.now)
        found = self.recordings()
        if not found:
            raise NotApplicable("the plugin has neither a `sample` nor a fixture")
        return found[0].body

    def recordings(self) -> tuple[Recording, ...]:
        """Return the author's fixtures; none where the class names no folder."""
        return recordings(self.subject.fixtures) if self.subject.fixtures else ()

    def readable(self) -> tuple[Recording, ...]:
        """Return the fixtures, and a sample of each kind where a body alone can be read."""
        provider = self.open()
        samples = []
        if isinstance(provider, SupportsStandIn) and not self.fetches():
            for kind in RevenueKind:
                body = provider.sample(kind, simulated=False, occurred_at=self.subject.now)
                samples.append(Recording(name=f"sample of a {kind}", body=body))
        return (*self.recordings(), *samples)

    def fetches(self) -> bool:
        """Say whether `extract` has to ask the provider's API: nothing else proves the webhook."""
        if self.subject.proof is not None:
            return self.subject.proof == "none"
        verdict = judged(self.open(), self.genuine().request)
        return isinstance(verdict, Accepted) and verdict.proof == "none"

    def vectors(self) -> tuple[Vector, ...]:
        """Return the author's recorded signatures."""
        return vectors(self.subject)

    def expected(self) -> Mapping[str, Any]:
        """Return what the author expects of the fixtures."""
        path = self.subject.expectations
        return expectations(path) if path else {}

    def request_of(self, recording: Recording) -> WebhookRequest:
        """Return a recording as a request, signed where the plugin can sign."""
        if self.can_sign():
            return self.signed(recording.body, headers=recording.headers)
        headers = headers_of(list(recording.headers.items()))
        return WebhookRequest(
            method="POST", url=self.subject.url, headers=headers, body=recording.body, received_at=self.subject.now
        )

    @asynccontextmanager
    async def with_api(self, answers: Mapping[str, Any]) -> AsyncIterator[tuple[Callable[[], Provider], list[str]]]:
        """Yield what opens a provider whose API gives these answers, and the list of what it is asked."""
        if not answers and not self.fetches():
            yield self.open, []
            return
        api = RecordedApi(answers)
        async with serving(api.application) as address:
            yield partial(self.open, address=address), api.asked

    async def read(self, recording: Recording) -> object:
        """Return what the plugin makes of a recording: its verdict if not accepted, its events, or what it raised."""
        request = self.request_of(recording)
        async with self.with_api(recording.api) as (opened, asked):
            outcome = await self.read_by(opened(), request)
        missing = [call for call in asked if call not in recording.api and call.partition("?")[0] not in recording.api]
        if missing and isinstance(outcome, Exception):
            raise Unreadable(
                f"{recording.name}: extract asked for {missing[0]}, which {recording.name}.api.json does not answer"
            )
        return outcome

    async def read_by(self, provider: Provider, request: WebhookRequest) -> object:
        """Verify where the plugin can sign, take away what the core never keeps, and extract."""
        if self.can_sign():
            verdict = judged(provider, request)
            if not isinstance(verdict, Accepted):
                return verdict
        return await self.extracted(provider, request)

    async def extracted(self, provider: Provider, request: WebhookRequest) -> object:
        """Extract from a webhook as the core keeps it."""
        proof = self.subject.proof or ("none" if self.fetches() else "signature")
        delivery = Delivery(request=self.kept(request), proof=proof)
        return await attempt(lambda: provider.extract(delivery))

    def kept(self, request: WebhookRequest) -> WebhookRequest:
        """Return the request as the core keeps it: without the plugin's secret headers."""
        secret = {name.lower() for name in getattr(self.subject.plugin, "secret_headers", ())}
        pairs = [(name, value) for name, value in request.headers.items() if name.lower() not in secret]
        return replace(request, headers=headers_of(pairs))

    def _url(self, secrets: Sequence[str]) -> str:
        """A token may stand in the address: there it is replaced as in the settings."""
        first = self.subject.secrets[:1]
        return self.subject.url.replace(quote(first[0]), quote(secrets[0])) if first and secrets else self.subject.url


@asynccontextmanager
async def trial(subject: Subject, patience: timedelta = TIMEOUT) -> AsyncIterator[Trial]:
    """Yield a plugin under test with the HTTP client that the gateway lends, only more impatient."""
    async with client_session(patience) as http:
        yield Trial(subject, http, Clock(subject.now))
