"""
A local imitation of Razorpay, for `dev`, demonstrations and tests: no account, no network.

It serves the API calls that the plugin makes, a payment page for the buyer, and sends the signed webhooks of a sale
with Razorpay's retries. `app[SELLER].settings` (or `POST /stand-in/settings`) changes how it behaves; the README of the
plugin lists all levers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import ClientSession, web

from gateway.sdk import BodyHmac
from gateway.sdk.stand_in import install
from providers.razorpay.config import RazorpayConfig
from providers.razorpay.stand_in import api, control, pages
from providers.razorpay.stand_in.deliveries import MANNER, RETRIES, Deliveries
from providers.razorpay.stand_in.seller import Seller
from providers.razorpay.stand_in.state import CONFIG, DELIVERIES, SELLER, STORIES
from providers.razorpay.stand_in.stories import Stories

__all__ = ["DELIVERIES", "SELLER", "STORIES", "application"]


def application(
    config: RazorpayConfig,
    signature: BodyHmac,
    address: str,
    deliver_to: str,
    http: ClientSession,
    now: Callable[[], datetime],
) -> web.Application:
    """Return the application that will be served at `address` and sends its webhooks to `deliver_to`."""
    secrets = [secret.get_secret_value() for secret in config.webhook_secrets]

    def sign(body: bytes, secret: int) -> Mapping[str, str]:
        return signature.sign(body, secrets[secret % len(secrets)])

    seller = Seller(address=address.rstrip("/"), now=now)
    deliveries = Deliveries(
        manner=MANNER,
        target=deliver_to,
        http=http,
        settings=seller.settings,
        now=now,
        retries=RETRIES,
        sign=sign,
    )
    app = web.Application()
    app[CONFIG] = config
    app[SELLER] = seller
    app[DELIVERIES] = deliveries
    app[STORIES] = Stories(seller, deliveries)
    app.add_routes([*api.routes(), *pages.routes()])
    install(app, deliveries, levers=control.LEVERS, pages=pages.PAGES, address=seller.address)
    return app
