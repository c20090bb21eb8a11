"""What the plugin must do with the provider's API: the stand-in's, a failing one, and none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from gateway.conformance.findings import Evidence, NotApplicable, check, shown
from gateway.conformance.loopback import FailingApi, Failure, serving
from gateway.conformance.orders import IDEMPOTENCY_KEY, REFERENCE, VISITOR, order
from gateway.conformance.outcomes import attempt, events_of
from gateway.conformance.selling import Sale, sale
from gateway.conformance.trial import DAY, Trial
from gateway.sdk import (
    Malformed,
    Page,
    Provider,
    ProviderError,
    Rejected,
    RevenueEvent,
    Unavailable,
    Unsupported,
)

RETRY_AFTER = 7

FAILURES: tuple[tuple[Failure, tuple[type, ...]], ...] = (
    (Failure(name="400", status=400), (Rejected,)),
    (Failure(name="401", status=401), (Rejected,)),
    (Failure(name="403", status=403), (Rejected,)),
    (Failure(name="422", status=422), (Rejected,)),
    (Failure(name="429", status=429, headers={"Retry-After": str(RETRY_AFTER)}), (Unavailable,)),
    (Failure(name="500", status=500), (Unavailable,)),
    (Failure(name="503 with a page of a proxy", status=503, body="<html>busy</html>"), (Unavailable,)),
    (Failure(name="400 with a page of a proxy", status=400, body="<html>no</html>"), (ProviderError,)),
    (Failure(name="a redirect", status=302, headers={"Location": "/elsewhere"}), (ProviderError,)),
    (Failure(name="200 with a page", body="<html>hello</html>"), (Unavailable, Rejected, Malformed)),
    (Failure(name="200 with JSON of another kind", body='{"data": 7, "items": "x"}'), (ProviderError, Page)),
    (Failure(name="a dropped connection", drops=True), (Unavailable,)),
    (Failure(name="no answer in time", hangs=True), (Unavailable,)),
)
"""What an API does, and what may come of it."""


@check(
    "What the provider's API answers becomes the right error: Rejected, Unavailable, Malformed or Unsupported.",
    "Unavailable is tried again and shown as 503, Rejected is shown to the caller; others are the plugin's fault.",
)
async def api_errors_are_told_apart(trial: Trial) -> AsyncIterator[Evidence]:
    if trial.subject.base_url_field not in trial.subject.plugin.config_model.model_fields:
        raise NotApplicable("config_model has no `base_url`, so nobody can play the provider")
    for failure, right in FAILURES:
        api = FailingApi(failure)
        async with serving(api.application) as address:
            calls = _calls(trial, trial.open(address=address))
            outcomes = await asyncio.gather(*(attempt(call) for call in calls.values()))
            for name, outcome in zip(calls, outcomes, strict=True):
                expected = (*right, Unsupported)
                if not isinstance(outcome, expected) or (isinstance(outcome, Page) and outcome.events):
                    names = " or ".join(sorted(error.__name__ for error in right))
                    yield Evidence(f"{name}, where the API answers {failure.name}", shown(outcome), f"raise {names}")
                for found in _waits(name, failure, outcome):
                    yield found


def _waits(name: str, failure: Failure, outcome: object) -> Iterator[Evidence]:
    wait = outcome.retry_after if isinstance(outcome, Unavailable) else None
    if wait is not None and (failure.status != 429 or wait != timedelta(seconds=RETRY_AFTER)):
        sent = f"{name}, where the API answers {failure.name}, Retry-After {dict(failure.headers).get('Retry-After')}"
        yield Evidence(sent, f"retry_after {wait!r}", "pass on what Retry-After says, as a timedelta, or nothing")


def _calls(trial: Trial, provider: Provider) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "create_checkout": partial(provider.create_checkout, order(trial)),
        "list_revenue": partial(provider.list_revenue, trial.subject.now, None),
    }


@check(
    "A POST that failed is not sent again, unless it carries the idempotency key.",
    "Nobody knows whether the first one arrived: the buyer would be left with two checkouts, and may pay both.",
)
async def a_post_is_not_repeated(trial: Trial) -> AsyncIterator[Evidence]:
    if trial.subject.base_url_field not in trial.subject.plugin.config_model.model_fields:
        raise NotApplicable("config_model has no `base_url`, so nobody can play the provider")
    for failure in (Failure(name="500", status=500), Failure(name="503", status=503), Failure(name="429", status=429)):
        api = FailingApi(failure, idempotency_key=IDEMPOTENCY_KEY)
        async with serving(api.application) as address:
            provider = trial.open(address=address)
            await attempt(partial(provider.create_checkout, order(trial)))
        for call in {call for call, _ in api.asked if call.startswith("POST ")}:
            keyed = [with_key for asked, with_key in api.asked if asked == call]
            if len(keyed) > 1 and not all(keyed):
                came_back = f"{call} was sent {len(keyed)} times"
                yield Evidence(f"create_checkout, where the API answers {failure.name}", came_back, "raise Unavailable")


@check(
    "What `create_checkout` sends comes back: the reference, the visitor's ids and the amount of the order.",
    "This is what the gateway is for: without the ids a sale belongs to nobody, without the reference nobody finds it.",
)
async def a_checkout_brings_back_what_it_sent(trial: Trial) -> AsyncIterator[Evidence]:
    async with sale(trial) as sold:
        for found in _came_back(trial, sold):
            yield found


def _came_back(trial: Trial, sold: Sale) -> Iterator[Evidence]:
    sent = f"an order with reference {REFERENCE!r} and {VISITOR}, paid on the stand-in's page"
    if sold.trouble:
        yield Evidence(sent, sold.trouble[0], "see the stand-in's page and its webhooks")
        return
    event, wanted = sold.purchase, order(trial)
    limits = trial.subject.plugin.metadata_limits
    if event is None:
        yield Evidence(sent, f"no purchase came out of {len(sold.webhooks)} webhooks", "does the stand-in send one?")
        return
    if event.reference != REFERENCE:
        yield Evidence(sent, f"reference {event.reference!r}", "put it into the provider's metadata and read it back")
    if limits.keys >= 4 and event.attribution != VISITOR:
        yield Evidence(sent, shown(event.attribution), "put the ids into the provider's metadata and read them back")
    if event.checkout_id is not None and sold.checkout.checkout_id not in (None, event.checkout_id):
        came_back = f"checkout_id {event.checkout_id!r}, but create_checkout said {sold.checkout.checkout_id!r}"
        yield Evidence(sent, came_back, "the checkout's id is what the core finds its own checkout by")
    if wanted.amount is not None and event.amount != wanted.amount:
        yield Evidence(f"an order of {wanted.amount}", f"a purchase of {event.amount}", "charge the plan's amount")


@check(
    "`list_revenue` gives the keys, kinds and amounts that the webhooks gave, refunds too, over all its pages.",
    "Reconciling books what is missing by its key: another key books money twice, a missing refund never counts.",
)
async def the_listing_has_the_webhooks_keys(trial: Trial) -> AsyncIterator[Evidence]:
    async with sale(trial, refund=True) as sold:
        if sold.trouble or sold.purchase is None:
            raise NotApplicable("no webhook came: see a_checkout_brings_back_what_it_sent")
        since = sold.clock.moment - timedelta(hours=1)
        pages = await _listed(sold, since)
        if isinstance(pages, list) and not {event.key for event in sold.events} <= {event.key for event in pages}:
            sold.clock.moment += DAY  # some leave young sales to their webhooks and list them later
            pages = await _listed(sold, since)
        for found in _unlike(sold, pages):
            yield found


def _unlike(sold: Sale, pages: list[RevenueEvent] | Exception) -> Iterator[Evidence]:
    if isinstance(pages, Unsupported):
        raise NotApplicable(f"the provider lists nothing: {pages}")
    sent = "a purchase and what followed at the stand-in, then list_revenue from an hour before"
    if isinstance(pages, Exception):
        yield Evidence(sent, shown(pages), "the stand-in must serve the list too")
        return
    listed = {event.key: event for event in pages}
    for event in sold.events:
        twin = listed.get(event.key)
        if twin is None:
            came_back = f"the list gives {sorted(listed)}, also a day later"
            yield Evidence(f"{sent}; the webhook gave {event.key}", came_back, "read both with one function")
        elif (twin.kind, twin.amount, twin.payment_id) != (event.kind, event.amount, event.payment_id):
            came_back = f"the list gives {money(twin)}"
            yield Evidence(f"{sent}; the webhook gave {money(event)}", came_back, "read both with one function")


async def _listed(sold: Sale, since: datetime) -> list[RevenueEvent] | Exception:
    """Return all pages; an error for a cursor that goes round in circles."""
    found: list[RevenueEvent] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        page = await attempt(partial(sold.provider.list_revenue, since, cursor))
        if isinstance(page, Exception):
            return page
        if not isinstance(page, Page):
            return TypeError(f"list_revenue returned a {type(page).__name__}, not a Page")
        found.extend(page.events)
        cursor = page.next_cursor
        if cursor is None:
            return found
        if cursor in seen:
            return Malformed(f"the cursor {cursor!r} came twice: next_cursor must be None at the end")
        seen.add(cursor)


def money(event: RevenueEvent) -> str:
    return f"{event.kind} of {event.amount} on {event.payment_id}"


@check(
    'Nothing in an unsigned webhook is believed: with proof "none" money comes from the provider\'s API only.',
    "Anybody can post such a webhook. It is a hint to look, and what is seen there counts.",
)
async def an_unsigned_body_is_not_believed(trial: Trial) -> AsyncIterator[Evidence]:
    async for sent, outcome in _without_api(trial):
        if events_of(outcome):
            yield Evidence(sent, shown(outcome), "fetch the payment and read the answer, not the body")


@check(
    "A fetch that fails in `extract` raises Unavailable.",
    "The webhook then stays `received` and is read again with growing pauses; any other answer ends it.",
)
async def a_failed_fetch_is_unavailable(trial: Trial) -> AsyncIterator[Evidence]:
    async for sent, outcome in _without_api(trial):
        if not isinstance(outcome, Unavailable) and not events_of(outcome):
            yield Evidence(
                sent, shown(outcome), "let Unavailable out of extract; never return Ignored or nothing instead"
            )


async def _without_api(trial: Trial) -> AsyncIterator[tuple[str, object]]:
    """Read a purchase while the provider's API is down in several ways."""
    if not trial.fetches():
        raise NotApplicable("webhooks are proven by verify")
    money = [recording for recording in trial.recordings() if recording.api and events_of(await trial.read(recording))]
    bodies = [(recording.name, trial.request_of(recording)) for recording in money[:1]]
    if not bodies:
        bodies = [("the webhook of a purchase", trial.genuine().request)]
    for failure in (failure for failure, right in FAILURES if right == (Unavailable,)):
        api = FailingApi(failure)
        async with serving(api.application) as address:
            for name, request in bodies:
                provider = trial.open(address=address)
                yield f"{name}, while the API answers {failure.name}", await trial.read_by(provider, request)
