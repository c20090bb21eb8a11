"""Lemon Squeezy against the rules of the provider interface."""

from pathlib import Path

from aiohttp import web

import providers.lemonsqueezy
from gateway.conformance import Conformance
from providers.lemonsqueezy.stand_in import STORE

FOLDER = Path(providers.lemonsqueezy.__file__).parent


class TestLemonSqueezy(Conformance):
    plugin = providers.lemonsqueezy.plugin
    config = {
        "environment": "sandbox",
        "api_key": "made-up-api-key",
        "webhook_secrets": ["made-up-secret-1", "made-up-secret-2"],
        "store_id": "4711",
        "settling_minutes": 0,  # the kit lists a sale at once
    }
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"
    signs_time = False

    @staticmethod
    def prepare(application: web.Application) -> None:
        application[STORE].settings.scale = 0.001
