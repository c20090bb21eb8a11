"""
A local imitation of Paddle, for `dev`, demonstrations and tests: no account, no network.

It serves the API calls that the plugin makes, a checkout page for the buyer, and sends signed webhooks in Paddle's
order with Paddle's retries. `app[SELLER].settings` (or `POST /stand-in/settings`) changes how it behaves; the
README of the plugin lists all levers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import ClientSession, web

from gateway.sdk.stand_in import install
from providers.paddle import signature
from providers.paddle.config import PaddleConfig
from providers.paddle.stand_in import api, control, pages
from providers.paddle.stand_in.deliveries import MANNER, RETRIES, Deliveries
from providers.paddle.stand_in.seller import Seller
from providers.paddle.stand_in.state import API_KEY, DELIVERIES, SELLER, STORIES
from providers.paddle.stand_in.stories import Stories

__all__ = ["DELIVERIES", "SELLER", "STORIES", "application"]


def application(
    config: PaddleConfig, address: str, deliver_to: str, http: ClientSession, now: Callable[[], datetime]
) -> web.Application:
    """Return the application that will be served at `address` and sends its webhooks to `deliver_to`."""
    secret = config.webhook_secrets[0].get_secret_value().encode()

    def sign(body: bytes, at: datetime) -> Mapping[str, str]:
        return signature.sign(secret, body, at)

    seller = Seller(address=address.rstrip("/"), now=now)
    deliveries = Deliveries(
        manner=MANNER,
        target=deliver_to,
        http=http,
        settings=seller.settings,
        now=now,
        retries=RETRIES[config.environment],
        sign=sign,
    )
    app = web.Application()
    app[API_KEY] = config.api_key
    app[SELLER] = seller
    app[DELIVERIES] = deliveries
    app[STORIES] = Stories(seller, deliveries)
    app.add_routes([*api.routes(), *control.routes(), *pages.routes()])
    install(app, deliveries, levers=control.LEVERS, pages=pages.PAGES, address=seller.address)
    return app
