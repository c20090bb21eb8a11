"""A sale at the plugin's own stand-in: a checkout is opened, a buyer pays on its page, webhooks come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from time import monotonic
from urllib.parse import urljoin

import aiohttp

from gateway.conformance.findings import NotApplicable
from gateway.conformance.loopback import Receiver, serving
from gateway.conformance.orders import order
from gateway.conformance.outcomes import attempt, events_of
from gateway.conformance.trial import Clock, Trial, trial
from gateway.sdk import (
    Checkout,
    Provider,
    RevenueEvent,
    RevenueKind,
    SupportsStandIn,
    Unsupported,
    WebhookRequest,
)

PATIENCE = 15.0
"""Seconds to wait for a webhook; stand-ins imitate the pauses of their providers."""

BACK = (RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL)


@dataclass(slots=True)
class Sale:
    """What happened: the checkout, the webhooks, and what came out of them."""

    provider: Provider
    checkout: Checkout
    clock: Clock
    webhooks: list[WebhookRequest] = field(default_factory=list)
    events: list[RevenueEvent] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def purchase(self) -> RevenueEvent | None:
        """The money that came in."""
        return next((event for event in self.events if event.kind not in BACK), None)


@asynccontextmanager
async def sale(of: Trial, *, refund: bool = False) -> AsyncIterator[Sale]:
    """Yield a sale while the stand-in still runs; raise `NotApplicable` where there is no stand-in or no checkout."""
    of.signer()
    if of.subject.base_url_field not in of.subject.plugin.config_model.model_fields:
        raise NotApplicable("config_model has no `base_url`, so its stand-in cannot be reached")
    began = datetime.now(UTC)  # stand-ins sign with the time on the wall
    receiver = Receiver(now=lambda: began)
    async with trial(replace(of.subject, now=began)) as inner, serving(receiver.application) as gateway:
        target = f"{gateway}/webhooks/acme/{of.subject.plugin.name}"
        provider: Provider = inner.open()

        def stand_in(address: str) -> aiohttp.web.Application:
            nonlocal provider
            provider = inner.open(address=address)
            receiver.provider = provider
            if not isinstance(provider, SupportsStandIn):
                raise NotApplicable("the plugin has no stand-in")
            application = provider.stand_in(address, target, inner.http)
            if of.subject.prepare is not None:
                of.subject.prepare(application)
            return application

        async with serving(stand_in):
            checkout = await attempt(partial(provider.create_checkout, order(inner, target)))
            if isinstance(checkout, Unsupported):
                raise NotApplicable(f"the provider opens no checkouts: {checkout}")
            if not isinstance(checkout, Checkout):
                trouble = f"create_checkout at the stand-in gave {checkout!r}"
                yield Sale(provider, Checkout(url="http://127.0.0.1"), inner.clock, trouble=[trouble])
                return
            sold = Sale(provider, checkout, inner.clock)
            await _act(inner, sold, receiver, "pay", lambda event: event.kind not in BACK)
            if refund and not sold.trouble and "refund" not in of.subject.never:
                await _act(inner, sold, receiver, "refund", lambda event: event.kind in BACK)
            yield sold


async def _act(of: Trial, sold: Sale, receiver: Receiver, button: str, done: Callable[[RevenueEvent], bool]) -> None:
    """Press a button of the checkout's page and read webhooks until what it should cause has come."""
    pressed = await _press(of.http, sold.checkout.url, button)
    if pressed is not None:
        sold.trouble.append(pressed) if button == "pay" else None
        return
    until = monotonic() + PATIENCE
    while monotonic() < until:
        while len(sold.webhooks) < len(receiver.accepted):
            webhook, _ = receiver.accepted[len(sold.webhooks)]
            sold.webhooks.append(webhook)
            outcome = await of.extracted(sold.provider, webhook)
            sold.events.extend(events_of(outcome))
            if isinstance(outcome, Exception):
                sold.trouble.append(f"extract raised {outcome!r} for a webhook of the stand-in")
        sold.trouble.extend(receiver.trouble)
        if sold.trouble or any(done(event) for event in sold.events):
            return
        receiver.arrived.clear()
        try:
            await asyncio.wait_for(receiver.arrived.wait(), 0.1)
        except TimeoutError:
            continue


async def _press(http: aiohttp.ClientSession, url: str, button: str) -> str | None:
    """Open a page and send the form with the button of this id; return what went wrong."""
    try:
        async with http.get(url) as answer:
            page, status = await answer.text(), answer.status
        form = Forms(button).find(page)
        if form is None:
            return f"{url} answered {status} without a button id={button!r} in a form"
        async with http.request(
            form.method, urljoin(url, form.action), data=form.fields, allow_redirects=False
        ) as answer:
            return None if answer.status < 400 else f"pressing {button!r} was answered {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"the stand-in's page {url} does not answer: {type(error).__name__}"


@dataclass(slots=True)
class Form:
    """A form of a page, as far as it has been read."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Forms(HTMLParser):
    """Finds the form that holds the element of one id, with the fields that a browser would send."""

    def __init__(self, button: str) -> None:
        super().__init__()
        self._button = button
        self._form: Form | None = None
        self._found: Form | None = None

    def find(self, page: str) -> Form | None:
        """Return the form; None where the page has no such button."""
        self.feed(page)
        return self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, hidden fields and the button."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(values.get("method", "get").upper(), values.get("action", ""))
        elif self._form is not None and values.get("id") == self._button:
            self._found = self._form
            if values.get("name"):
                self._form.fields[values["name"]] = values.get("value", "")
        elif self._form is not None and tag == "input" and values.get("name"):
            self._form.fields.setdefault(values["name"], values.get("value", ""))
