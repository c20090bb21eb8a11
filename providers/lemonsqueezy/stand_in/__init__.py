"""
A local imitation of Lemon Squeezy, for `dev`, demonstrations and tests: no account, no network.

It serves the API calls that the plugin makes, a checkout page for the buyer, and sends signed webhooks in Lemon
Squeezy's order with its retries. `app[STORE].settings` (or `POST /stand-in/settings`) changes how it behaves; the
README of the plugin lists all levers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import ClientSession, web

from gateway.sdk.stand_in import install
from providers.lemonsqueezy import signature
from providers.lemonsqueezy.config import LemonSqueezyConfig
from providers.lemonsqueezy.stand_in import api, control, pages
from providers.lemonsqueezy.stand_in.actions import Actions
from providers.lemonsqueezy.stand_in.deliveries import MANNER, RETRIES, Deliveries
from providers.lemonsqueezy.stand_in.state import ACTIONS, API_KEY, DELIVERIES, STORE
from providers.lemonsqueezy.stand_in.store import Store

__all__ = ["ACTIONS", "DELIVERIES", "STORE", "application"]


def application(
    config: LemonSqueezyConfig, address: str, deliver_to: str, http: ClientSession, now: Callable[[], datetime]
) -> web.Application:
    """Return the application that will be served at `address` and sends its webhooks to `deliver_to`."""
    secret = config.webhook_secrets[0].get_secret_value()

    def sign(body: bytes) -> Mapping[str, str]:
        return signature.sign(body, secret)

    sandbox = config.environment == "sandbox"
    store = Store(address=address.rstrip("/"), store_id=int(config.store_id), test_mode=sandbox, now=now)
    deliveries = Deliveries(
        manner=MANNER,
        target=deliver_to,
        http=http,
        settings=store.settings,
        now=now,
        retries=RETRIES,
        sign=sign,
    )
    app = web.Application()
    app[API_KEY] = config.api_key
    app[STORE] = store
    app[DELIVERIES] = deliveries
    app[ACTIONS] = Actions(store, deliveries)
    app.add_routes([*api.routes(), *control.routes(), *pages.routes()])
    install(app, deliveries, levers=control.LEVERS, pages=pages.PAGES, address=store.address)
    return app
