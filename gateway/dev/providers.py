"""
The providers of the demo: every installed plugin that has a stand-in, with made-up credentials.

A plugin need not know of the demo. Its `config_model` is filled: `base_url` with the stand-in's address, every required
secret or text with a made-up one. Where that is not enough the plugin has one of these optional attributes:

    demo_settings(address) -> Mapping    its part of a connection to the stand-in at `address`, without `environment`
    demo_plan: Mapping                   a plan without its `provider`, for providers without a catalogue
    title: str                           how people write its name
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from gateway.dev.ports import HOST
from gateway.plugins import PluginRegistry
from gateway.sdk import (
    Delivery,
    Ignored,
    Plugin,
    Provider,
    ProviderError,
    RevenueKind,
    Runtime,
    SupportsStandIn,
    WebhookRequest,
    from_major,
    headers_of,
)
from gateway.telemetry import log

ENVIRONMENT = "sandbox"
PLAN: Mapping[str, Any] = {"items": [{"price_id": "pri_demo_pro"}]}
NOWHERE = f"http://{HOST}:9"
"""An address for a provider that is only looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoProvider:
    """A provider that a buyer in the demo shop can choose. `price` is what its stand-in charges, if that is known."""

    name: str
    title: str
    price: str | None
    plan: Mapping[str, Any]
    plugin: Plugin = field(repr=False)

    def connection(self, site: str, address: str) -> dict[str, Any]:
        """Return the site's connection to the stand-in at `address`, as the configuration writes it."""
        return {"environment": ENVIRONMENT, **settings(self.plugin, site, address)}


async def demo_providers(registry: PluginRegistry, runtime: Runtime, first: str) -> tuple[DemoProvider, ...]:
    """Return the providers with a stand-in, `first` before the others; those that cannot be used are logged."""
    names = sorted(registry.names(), key=lambda name: (name != first, name))
    found = [await _looked_at(registry, name, runtime) for name in names]
    return tuple(provider for provider in found if provider is not None)


def settings(plugin: Plugin, site: str, address: str) -> dict[str, Any]:
    """Return made-up settings of a plugin for one site, as the configuration writes them."""
    own = getattr(plugin, "demo_settings", None)
    if own is not None:
        return dict(own(address))
    fields = plugin.config_model.model_fields
    filled = {
        name: _made_up(known.annotation, f"{site}-{plugin.name}-{name}")
        for name, known in fields.items()
        if known.is_required() and name not in ("environment", "base_url")
    }
    return filled | ({"base_url": address} if "base_url" in fields else {})


def _made_up(annotation: Any, what: str) -> Any:
    """Return a value that a field of this type may take; the same one every time, and another for every `what`."""
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return inner[0]
    if get_origin(annotation) in (list, tuple, set, frozenset, Sequence):
        return [_made_up(inner[0], what)]
    if annotation in (str, SecretStr) or not inner:
        return f"demo_{hashlib.sha256(what.encode()).hexdigest()[:24]}"
    return _made_up(inner[0], what)


async def _looked_at(registry: PluginRegistry, name: str, runtime: Runtime) -> DemoProvider | None:
    try:
        plugin = registry.plugin(name)
        provider = _opened(plugin, runtime)
        if not isinstance(provider, SupportsStandIn):
            return None
        plan = getattr(plugin, "demo_plan", PLAN)
        return DemoProvider(
            name=name,
            title=getattr(plugin, "title", name.title()),
            price=await _price(provider, plan, runtime.now()),
            plan=plan,
            plugin=plugin,
        )
    except Exception as error:  # noqa: BLE001 - calls into a plugin: the demo goes on without a broken one
        log().warning("demo.provider_left_out", provider=name, error=_why(error))
        return None


def _opened(plugin: Plugin, runtime: Runtime) -> Provider:
    model: type[BaseModel] = plugin.config_model
    environment = {"environment": ENVIRONMENT} if "environment" in model.model_fields else {}
    return plugin.open(model.model_validate({**environment, **settings(plugin, "demo", NOWHERE)}), runtime)


async def _price(provider: Provider, plan: Mapping[str, Any], now: datetime) -> str | None:
    """Return the plan's own price, else that of the plugin's sample: what a stand-in charges for any price id."""
    if "amount" in plan:
        return str(from_major(plan["amount"]["value"], plan["amount"]["currency"]))
    if not isinstance(provider, SupportsStandIn):
        return None
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    headers = headers_of(list(provider.sign(body, now).items()))
    request = WebhookRequest(method="POST", url=NOWHERE, headers=headers, body=body, received_at=now)
    try:
        events = await provider.extract(Delivery(request=request, proof="signature"))
    except ProviderError:  # it asks the provider, and nobody is there yet
        return None
    return None if isinstance(events, Ignored) or not events else str(events[0].amount)


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fields = sorted({".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)})
        return f"cannot be set up with made-up values ({', '.join(fields)}): give the plugin demo_settings"
    return f"{type(error).__name__}: {error}"
