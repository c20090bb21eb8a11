"""Razorpay against the rules of the provider interface."""

from pathlib import Path

import providers.razorpay
from gateway.conformance import Conformance
from providers.razorpay.stand_in import SELLER

FOLDER = Path(providers.razorpay.__file__).parent


class TestRazorpay(Conformance):
    plugin = providers.razorpay.plugin
    config = {
        "environment": "sandbox",
        "key_id": "rzp_test_MadeUpKeyId000",
        "key_secret": "made_up_key_secret_1",
        "webhook_secrets": ["made up webhook secret 1", "made up webhook secret 2"],
    }
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"
    signature_header = "X-Razorpay-Signature"
    signs_time = False

    @staticmethod
    def prepare(application):
        application[SELLER].settings.scale = 0.0001
