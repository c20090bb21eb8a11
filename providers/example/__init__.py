"""A make-believe payment company: the smallest complete plugin, and what the core's own tests use."""

from typing import Any

from gateway.sdk import API, MetadataLimits, Runtime
from providers.example.config import ExampleConfig
from providers.example.provider import ExampleProvider


class ExamplePlugin:
    """What the entry point names."""

    api = API
    name = "example"
    config_model = ExampleConfig
    metadata_limits = MetadataLimits(keys=10, key_chars=40, value_chars=500)

    def open(self, config: Any, runtime: Runtime) -> ExampleProvider:
        """Return the provider of one connection."""
        return ExampleProvider(config, runtime)


plugin = ExamplePlugin()
