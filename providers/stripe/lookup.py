"""Answering what a reading asks: the one place where rules about money and Stripe's API meet."""

from __future__ import annotations

from aiohttp import ClientSession

from gateway.sdk import Rejected, Unavailable
from providers.stripe.api import STRIPE, Account, get
from providers.stripe.questions import Entity, Question, Reading, Result


async def answered(http: ClientSession, account: Account, reading: Reading) -> Result:
    """
    Return what a reading read, asking Stripe for what it wants to know.

    A refused question is `Unavailable` too: a key without a right is mended, and the webhook is worth waiting for it.
    """
    try:
        question = next(reading)
        while True:
            question = reading.send(await _asked(http, account, question))
    except StopIteration as done:
        result: Result = done.value
        return result


async def _asked(http: ClientSession, account: Account, question: Question) -> Entity:
    try:
        return STRIPE.content(await get(http, account, question.path, question.query, question.account))
    except Rejected as error:
        raise Unavailable(f"an event lacks what GET {question.path} would tell: {error}") from error
