"""What `extract` must do with money: exact amounts, and nothing at all where the figures are strange."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

from gateway.conformance.documents import Document, Path, document
from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.outcomes import events_of
from gateway.conformance.recordings import Recording
from gateway.conformance.trial import Trial
from gateway.sdk import Money, RevenueEvent, RevenueKind, SupportsStandIn

AMOUNTS = (*range(0, 2000, 7), 1999, 4035, 8190, 113_115, 999_999_999_999_999, 900_719_925_474_099)
"""Minor units. Among them are those that `int(float("19.99") * 100)` and `round` get wrong by one."""

CURRENCIES = ("USD", "EUR", "INR", "JPY", "KWD")
"""With two, none and three decimal places, as far as the plugin's sample can make them."""


@check(
    "Amounts come out to the last unit, in every currency.",
    "A float is off by one cent in some amounts, and by 100 in currencies with no or three decimal places.",
)
async def amounts_are_exact(trial: Trial) -> AsyncIterator[Evidence]:
    if trial.fetches():
        raise NotApplicable("amounts come from the provider's API: see a_checkout_brings_back_what_it_sent")
    provider = trial.open()
    if not isinstance(provider, SupportsStandIn):
        raise NotApplicable("the plugin has no `sample`; let fixtures hold odd amounts and other currencies")
    for currency in CURRENCIES:
        for minor in AMOUNTS:
            body = _sample(provider, Money(minor, currency), trial)
            if body is None:
                break
            outcome = await trial.read_by(provider, trial.request_of(Recording(name="sample", body=body)))
            if [event.amount for event in events_of(outcome)] != [Money(minor, currency)]:
                mend = "count in integers of the minor unit; `from_major` in gateway.sdk reads decimal strings"
                yield Evidence(f"a sample of {Money(minor, currency)}", _amounts(outcome), mend)
                break


def _sample(provider: SupportsStandIn, amount: Money, trial: Trial) -> bytes | None:
    try:
        return provider.sample(RevenueKind.PURCHASE, amount=amount, simulated=False, occurred_at=trial.subject.now)
    except Exception:  # noqa: BLE001 - a call into the plugin under test, which may not sell in this currency
        return None


@check(
    "An amount that is a fraction, a text, too large or absent, and a currency that nobody knows, are `Malformed`.",
    "A figure that is guessed is booked and sent to Faurya; one that is `Malformed` is shown to a person.",
)
async def strange_money_is_malformed(trial: Trial) -> AsyncIterator[Evidence]:
    seen: set[str] = set()
    for recording in trial.readable():
        if recording.event_type in seen or trial.fetches():
            continue
        events, found = events_of(await trial.read(recording)), document(recording.body)
        if len(events) != 1 or found is None or events[0].amount.minor < 2:
            continue
        seen.add(recording.event_type)
        request, provider = trial.request_of(recording), trial.open()
        for what, body in _strange(found, events[0]):
            outcome = await trial.extracted(provider, replace(request, body=body))
            if events_of(outcome):
                mend = "take whole numbers and decimal texts that are exact, and raise Malformed for the rest"
                yield Evidence(f"{recording.name} with {what}", _amounts(outcome), mend)
    if not seen:
        raise NotApplicable("no body holds the amount that comes out of it")


def _strange(found: Document, event: RevenueEvent) -> Iterator[tuple[str, bytes]]:
    minor, major = event.amount.minor, event.amount.major()
    figures = [path for path, value in found.parts() if _is_figure(value, minor, major)]
    fraction = f"{major}5" if "." in str(major) and _has_text(found, str(major)) else f"{minor}.5"
    for figure in (minor + 0.5, fraction, "a lot", "", True, 10**30, float("inf"), "١٢", "1e3", [minor], None):
        if figures:
            yield f"{_places(figures)} = {figure!r}", found.changed(figures, figure)
    currency = event.amount.currency
    places = [path for path, value in found.parts() if isinstance(value, str) and value.upper() == currency]
    for odd in ("ZZZ", "dollars", "", "XXX", 840, None):
        if places:
            yield f"{_places(places)} = {odd!r}", found.changed(places, odd)


def _has_text(found: Document, text: str) -> bool:
    return any(value == text for _, value in found.parts() if isinstance(value, str))


def _is_figure(value: object, minor: int, major: Decimal) -> bool:
    return (type(value) is int and value == minor) or value in (str(minor), str(major))


def _places(paths: list[Path]) -> str:
    return " and ".join(".".join(map(str, path)) for path in paths[:3])


def _amounts(outcome: object) -> str:
    events = events_of(outcome)
    return " and ".join(str(event.amount) for event in events) if events else shown(outcome)
