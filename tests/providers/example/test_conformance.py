"""The make-believe company against the rules of the provider interface."""

from pathlib import Path

import providers.example
from gateway.conformance import Conformance

FOLDER = Path(providers.example.__file__).parent


class TestExample(Conformance):
    plugin = providers.example.plugin
    config = {
        "environment": "sandbox",
        "api_key": "example-key-made-up",
        "webhook_secrets": ["whsec_made_up_1", "whsec_made_up_2"],
    }
    fixtures = FOLDER / "fixtures"
    vectors = FOLDER / "vectors"
