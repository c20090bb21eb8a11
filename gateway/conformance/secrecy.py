"""Secrets stay where they are: in no detail, repr, log line or error."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from gateway.conformance import tampering
from gateway.conformance.findings import Evidence, NotApplicable, check
from gateway.conformance.loopback import FailingApi, Failure, serving
from gateway.conformance.orders import order
from gateway.conformance.outcomes import attempt, judged
from gateway.conformance.proofs import spots
from gateway.conformance.trial import DAY, Trial
from gateway.sdk import Accepted, Refused

SHORTEST = 6
"""Characters. A shorter made-up secret would be found in ordinary words."""


def secrets_of(trial: Trial) -> frozenset[str]:
    """Return the secret values of the made-up settings."""
    config = trial.subject.plugin.config_model.model_validate(trial.settings())
    found = {*_secrets(config), *trial.subject.secrets}
    return frozenset(secret for secret in found if len(secret) >= SHORTEST)


def _secrets(value: Any) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case Mapping():
            for part in value.values():
                yield from _secrets(part)
        case list() | tuple() | set() | frozenset():
            for part in value:
                yield from _secrets(part)


@check(
    "A refusal's detail and reply hold no secret and no digest.",
    "They are answered to whoever knocks, kept with the refusals and shown to operators: an expected digest is a key.",
)
async def refusals_show_no_secret(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, provider, _ = trial.proven()
    request, hidden = genuine.request, secrets_of(trial)
    worse = [replace(request, body=request.body + b" "), replace(request, received_at=request.received_at + DAY)]
    for spot in spots(trial, genuine):
        worse += [spot.put(request, value) for value in (None, "garbage", tampering.flipped(spot.value(request)))]
    values = [*request.headers.values()]
    if trial.can_sign():
        values += trial.signed(worse[0].body).headers.values()
    for each in worse:
        verdict = judged(provider, each)
        if isinstance(verdict, Refused):
            shown = f"{verdict.detail} {verdict.reply.body!r}"
            leaked = [secret for secret in (*hidden, *tampering.digests(values)) if secret in shown]
            if leaked:
                came_back = f"a detail that holds {_masked(leaked[0])}"
                yield Evidence("a webhook that is refused", came_back, "say which step failed and by how much")
                return


@check(
    "Secrets are SecretStr, and neither the config, the provider nor a mistake in the config shows one.",
    "A repr ends in tracebacks and log lines; a mistyped config is reported with what was typed.",
)
async def reprs_show_no_secret(trial: Trial) -> AsyncIterator[Evidence]:
    model, settings, hidden = trial.subject.plugin.config_model, trial.settings(), secrets_of(trial)
    config = model.model_validate(settings)
    plain = [secret for secret in trial.subject.secrets if secret not in set(_secrets(config))]
    if plain:
        field = trial.subject.secrets_field
        yield Evidence(f"the field {field!r} of config_model", "it is not of SecretStr", "make it list[SecretStr]")
    for what, text in (("the config", repr(config)), ("the provider", f"{trial.open()!r} {trial.open()}")):
        for secret in hidden:
            if secret in text:
                yield Evidence(f"repr of {what}", f"it holds {_masked(secret)}", "SecretStr, and field(repr=False)")
                break
    for field in settings:
        for wrong in (_wrapped(settings[field]), {**settings, "no_such_key": True}):
            try:
                model.model_validate({**settings, field: wrong} if not isinstance(wrong, dict) else wrong)
            except ValidationError as error:
                if any(secret in str(error) for secret in hidden):
                    mend = "model_config = ConfigDict(hide_input_in_errors=True)"
                    yield Evidence(f"settings with a wrong {field}", "the error quotes a secret", mend)
                    return


def _wrapped(value: Any) -> list[Any]:
    return [[value]]


@check(
    "A shared token is named in `secret_headers` or `secret_query`.",
    "The core keeps headers and addresses of webhooks, except those that the plugin names as secret.",
)
async def a_token_is_declared_secret(trial: Trial) -> AsyncIterator[Evidence]:
    genuine, _, _ = trial.accepted()
    plugin, request = trial.subject.plugin, genuine.request
    headers = {name.lower() for name in getattr(plugin, "secret_headers", ())}
    for name, value in request.headers.items():
        if name.lower() not in headers and _holds(value, genuine.secrets):
            yield Evidence(f"the header {name}", "it holds the secret itself", "name it in the plugin's secret_headers")
    for name, value in parse_qsl(urlsplit(request.url).query):
        if name not in getattr(plugin, "secret_query", ()) and _holds(value, genuine.secrets):
            yield Evidence(
                f"the parameter {name}", "it holds the secret itself", "name it in the plugin's secret_query"
            )


def _holds(value: str, secrets: tuple[str, ...]) -> bool:
    encoded = [base64.b64encode(secret.encode()).decode() for secret in secrets]
    return any(secret in value for secret in (*secrets, *encoded) if secret)


@check(
    "Nothing secret is logged or quoted in an error, by `verify`, `extract` or the calls of the provider's API.",
    "Logs are read by more people than the configuration, and kept longer.",
)
async def nothing_secret_is_logged(trial: Trial) -> AsyncIterator[Evidence]:
    hidden = secrets_of(trial)
    with _captured() as lines:
        raised = [error async for error in _everything(trial)]
    for line in lines:
        if any(secret in line for secret in hidden):
            came_back = f"the log line {line[:40]!r}... holds a secret"
            yield Evidence("a webhook and calls of a failing API", came_back, "log ids and outcomes only")
            return
    for what, error in raised:
        secret = next((secret for secret in hidden if any(secret in text for text in _texts(error))), None)
        if secret:
            yield Evidence(
                what, f"{type(error).__name__} holds {_masked(secret)}", "raise it `from None`, with your own words"
            )
            return


async def _everything(trial: Trial) -> AsyncIterator[tuple[str, Exception]]:
    """Do everything that a connection does, well and badly, and yield what was raised."""
    try:
        genuine = trial.genuine()
    except NotApplicable:
        genuine = None
    for recording in trial.readable()[:5]:
        await trial.read(recording)
    if genuine is not None:
        provider = trial.open(genuine.secrets or None)
        for request in (genuine.request, replace(genuine.request, body=b"x"), replace(genuine.request, url="")):
            verdict = judged(provider, request)
            if isinstance(verdict, Exception):
                yield "a webhook", verdict
            elif isinstance(verdict, Accepted):
                await trial.extracted(provider, request)
    for failure in (
        Failure(name="400", status=400),
        Failure(name="500", status=500),
        Failure(name="drops", drops=True),
    ):
        api = FailingApi(failure)
        async with serving(api.application) as address:
            provider = trial.open(address=address)
            for call in (
                partial(provider.create_checkout, order(trial)),
                partial(provider.list_revenue, trial.subject.now, None),
            ):
                error = await attempt(call)
                if isinstance(error, Exception):
                    yield f"an API that answers {failure.name}", error


def _texts(error: BaseException | None) -> Iterator[str]:
    """Yield what a traceback shows of an error and its causes."""
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@contextmanager
def _captured() -> Iterator[list[str]]:
    """Collect what is logged at any level, by the standard library's loggers."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.__dict__}")

    root, collector = logging.getLogger(), Collector(level=0)
    level = root.level
    root.addHandler(collector)
    root.setLevel(1)
    try:
        yield lines
    finally:
        root.removeHandler(collector)
        root.setLevel(level)


def _masked(secret: str) -> str:
    return f"{secret[:3]}... ({len(secret)} characters)"
