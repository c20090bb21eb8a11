"""Stripe against the rules of the provider interface."""

from pathlib import Path

import providers.stripe
from gateway.conformance import Conformance
from providers.stripe.stand_in import SELLER

FOLDER = Path(providers.stripe.__file__).parent


CONFIG = {
    "environment": "sandbox",
    "api_key": "rk_test_made_up_key_1",
    "webhook_secrets": ["whsec_made_up_1", "whsec_made_up_2"],
}


class TestStripe(Conformance):
    plugin = providers.stripe.plugin
    config = CONFIG
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"

    @staticmethod
    def prepare(application):
        application[SELLER].settings.scale = 0.001
