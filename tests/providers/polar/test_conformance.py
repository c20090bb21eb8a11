"""Polar against the rules of the provider interface."""

from pathlib import Path

import providers.polar
from gateway.conformance import Conformance
from providers.polar.stand_in import SELLER

FOLDER = Path(providers.polar.__file__).parent


class TestPolar(Conformance):
    plugin = providers.polar.plugin
    config = {
        "environment": "sandbox",
        "access_token": "polar_oat_made_up",
        "webhook_secrets": ["whsec_made_up_number_1", "whsec_made_up_number_2"],
    }
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"

    @staticmethod
    def prepare(application):
        application[SELLER].settings.scale = 0.001
