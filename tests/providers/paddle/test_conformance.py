"""Paddle against the rules of the provider interface."""

from pathlib import Path

from aiohttp import web

import providers.paddle
from gateway.conformance import Conformance
from providers.paddle.stand_in import SELLER

FOLDER = Path(providers.paddle.__file__).parent


class TestPaddle(Conformance):
    plugin = providers.paddle.plugin
    config = {
        "environment": "sandbox",
        "api_key": "pdl_sdbx_apikey_made_up",
        "webhook_secrets": ["pdl_ntfset_made_up_1", "pdl_ntfset_made_up_2"],
    }
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"
    signature_header = "Paddle-Signature"

    @staticmethod
    def prepare(application: web.Application) -> None:
        application[SELLER].settings.scale = 0.01
