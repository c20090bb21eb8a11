"""A provider plugin that does what a test says, and entry points to it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gateway.plugins import PluginRegistry
from gateway.sdk import API, Accepted, Checkout, Delivery, MetadataLimits, Runtime, Unsupported, WebhookRequest
from providers.example import plugin as example

EVENT = "X-Event"


class ScriptedConfig(BaseModel):
    """Nothing but the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Literal["sandbox", "live"]


class Scripted:
    """A plugin. `readings` maps event ids to what `extract` returns, or to what it calls."""

    api: Any = API
    config_model: Any = ScriptedConfig
    metadata_limits: Any = MetadataLimits(keys=10, key_chars=40, value_chars=500)

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.readings: dict[str, Any] = {}
        self.asked: list[str] = []
        self.listing: Callable[[Any, str | None], Any] | None = None
        self.checkout: Callable[[Any], Any] = lambda _request: Unsupported()
        self.lookup: Callable[[str], Any] | None = None
        self.verdict: Callable[[WebhookRequest], Any] = lambda request: Accepted(
            proof="signature", event_id=request.headers.get(EVENT), event_type="scripted"
        )

    def open(self, config: Any, runtime: Runtime) -> Any:
        return ScriptedProvider(self) if self.lookup is None else LookingProvider(self)


class ScriptedProvider:
    """A connection of the plugin."""

    def __init__(self, plugin: Scripted) -> None:
        self.plugin = plugin

    def verify(self, request: WebhookRequest) -> Any:
        return self.plugin.verdict(request)

    async def extract(self, delivery: Delivery) -> Any:
        event_id = delivery.request.headers[EVENT]
        self.plugin.asked.append(event_id)
        reading = self.plugin.readings[event_id]
        if not callable(reading):
            return reading
        found = reading()
        return await found if hasattr(found, "__await__") else found

    async def create_checkout(self, request: Any) -> Any:
        return await answered(self.plugin.checkout(request))

    async def list_revenue(self, since: Any, cursor: Any) -> Any:
        if self.plugin.listing is None:
            raise Unsupported
        return await answered(self.plugin.listing(since, cursor))


class LookingProvider(ScriptedProvider):
    """One that can be asked about a checkout."""

    async def find(self, checkout_id: str) -> Any:
        assert self.plugin.lookup is not None
        return await answered(self.plugin.lookup(checkout_id))


def checkout(request: Any) -> Checkout:
    """A checkout with an id of its own."""
    return Checkout(url="https://pay.example.com/c", checkout_id=f"chk-{request.reference}")


async def answered(found: Any) -> Any:
    """Raise an error that is given as an answer, await what can be awaited."""
    if hasattr(found, "__await__"):
        found = await found
    if isinstance(found, BaseException):
        raise found
    return found


class Entry:
    """What `importlib.metadata` finds, without an installed package."""

    def __init__(self, name: str, load: Callable[[], Any], *, value: str = "", package: str | None = None) -> None:
        self.name, self.load, self.value = name, load, value or f"{name}_plugin:plugin"
        self.dist = type("Dist", (), {"name": package})() if package else None


def registry(*plugins: Any) -> PluginRegistry:
    """The example plugin and these."""
    found: Mapping[str, Any] = {plugin.name: plugin for plugin in (example, *plugins)}
    entries: Any = [Entry(name, lambda plugin=plugin: plugin) for name, plugin in found.items()]
    return PluginRegistry(entries)
