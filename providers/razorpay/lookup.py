"""Answering what a reading asks: the one place where rules about money and Razorpay's API meet."""

from __future__ import annotations

from aiohttp import ClientSession

from gateway.sdk import Rejected, Unavailable
from providers.razorpay.api import RAZORPAY, Account, get
from providers.razorpay.events import Reading, Result
from providers.razorpay.fields import Entity


async def answered(http: ClientSession, account: Account, reading: Reading) -> Result:
    """
    Return what a reading read, asking Razorpay for what it wants to know.

    A refused question is `Unavailable` too: a wrong key is mended, and the webhook is worth waiting for it.
    """
    try:
        path = next(reading)
        while True:
            path = reading.send(await _asked(http, account, path))
    except StopIteration as done:
        result: Result = done.value
        return result


async def _asked(http: ClientSession, account: Account, path: str) -> Entity:
    try:
        return RAZORPAY.content(await get(http, account, path))
    except Rejected as error:
        raise Unavailable(f"a webhook lacks what GET {path} would tell: {error}") from error
