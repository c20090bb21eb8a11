"""
What the stand-ins of providers share: webhooks that are sent until they are kept, levers, pages.

Import it inside a stand-in only: it needs aiohttp and Jinja2, which a gateway that serves does not load for this.
A stand-in says how its company sends (`Manner`, the waits between attempts, the signature), in which order events
happen, and what its own levers and pages do; `install` adds the rest to its application.
"""

from gateway.sdk.stand_in.installing import install
from gateway.sdk.stand_in.levers import Change, Lever, Levers, change
from gateway.sdk.stand_in.pages import Pages, web_address
from gateway.sdk.stand_in.sending import Attempt, Deliveries, Manner, Webhook
from gateway.sdk.stand_in.settings import Failure, NotPossible, Settings

__all__ = [
    "Attempt",
    "Change",
    "Deliveries",
    "Failure",
    "Lever",
    "Levers",
    "Manner",
    "NotPossible",
    "Pages",
    "Settings",
    "Webhook",
    "change",
    "install",
    "web_address",
]
