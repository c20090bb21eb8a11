"""`faurya-gateway schema`: the configuration's JSON Schema, for editors."""

from gateway.cli.options import AsJson
from gateway.cli.output import complain, show_json


def schema(as_json: AsJson = True) -> None:  # noqa: ARG001 - taken because every command takes it; this is always JSON
    """Print the JSON Schema of config.yaml for the installed provider plugins."""
    from gateway.config import PluginUnknown
    from gateway.config import schema as schema_of
    from gateway.plugins import PluginRegistry

    registry, usable = PluginRegistry(), []
    for name in registry.names():
        try:
            registry.plugin(name)
            usable.append(name)
        except PluginUnknown as error:
            complain(f"left out: {error}")
    show_json(schema_of(registry, usable))
