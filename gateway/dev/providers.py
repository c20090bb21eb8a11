"""
The providers of the demo: every installed plugin that has a stand-in, with made-up credentials.

A plugin need not know of the demo. Its `config_model` is filled: `base_url` with the stand-in's address, every required
secret or text with a made-up one. Where that is not enough the plugin has one of these optional attributes:

    demo_settings(address) -> Mapping    its part of a connection to the stand-in at `address`, without `environment`
    demo_plan: Mapping                   a plan of the configuration without `provider`, for providers without a catalogue
    title: str                           how people write its name
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from gateway.config import Connection, PluginUnknown
from gateway.dev.ports import HOST
from gateway.domain.messages import Accepted, Delivery, Ignored, WebhookRequest, headers_of
from gateway.domain.money import from_major
from gateway.plugins import Opened, PluginFault, PluginRegistry, extract, verify
from gateway.sdk import Plugin, ProviderError, RevenueKind, Runtime, SupportsStandIn
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
    filled = {
        field.alias or name: _made_up(field.annotation, f"{site}-{plugin.name}-{name}")
        for name, field in plugin.config_model.model_fields.items()
        if field.is_required() and name != "environment"
    }
    place = {"base_url": address} if "base_url" in plugin.config_model.model_fields else {}
    return {**filled, **place}


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
        opened = _opened(plugin, runtime)
        plan = getattr(plugin, "demo_plan", PLAN)
        title = getattr(plugin, "title", name.title())
        if not isinstance(opened.provider, SupportsStandIn):
            return None
        return DemoProvider(name=name, title=title, price=await _price(opened, plan, runtime), plan=plan, plugin=plugin)
    except (PluginUnknown, ValidationError) as error:
        log().warning("demo.provider_left_out", provider=name, error=_why(error))
        return None


def _opened(plugin: Plugin, runtime: Runtime) -> Opened:
    model: type[BaseModel] = plugin.config_model
    given = settings(plugin, "demo", NOWHERE)
    if "environment" in model.model_fields:
        given["environment"] = ENVIRONMENT
    config = model.model_validate(given)
    connection = Connection(name=plugin.name, plugin=plugin.name, environment=ENVIRONMENT, settings=config)
    return Opened(
        site="demo",
        name=plugin.name,
        connection=connection,
        plugin=plugin,
        provider=plugin.open(config, runtime),
        secret_headers=frozenset(),
        secret_query=frozenset(),
    )


async def _price(opened: Opened, plan: Mapping[str, Any], runtime: Runtime) -> str | None:
    """Return the plan's price: its own, else that of the plugin's sample, which is what a stand-in charges."""
    if "amount" in plan:
        return str(from_major(plan["amount"]["value"], plan["amount"]["currency"]))
    try:
        delivery = _sample(opened, runtime)
        events = await extract(opened, delivery, timedelta(seconds=2)) if delivery else ()
    except (ProviderError, PluginFault):
        return None
    return None if isinstance(events, Ignored) or not events else str(events[0].amount)


def _sample(opened: Opened, runtime: Runtime) -> Delivery | None:
    provider = opened.provider
    if not isinstance(provider, SupportsStandIn):
        return None
    now = runtime.now()
    body = provider.sample(RevenueKind.PURCHASE, simulated=False)
    request = WebhookRequest(
        method="POST",
        url=f"{NOWHERE}/webhooks/demo/{opened.name}",
        headers=headers_of(list(provider.sign(body, now).items())),
        body=body,
        received_at=now,
        remote_ip=None,
    )
    verdict = verify(opened, request)
    return Delivery(request=request, proof=verdict.proof) if isinstance(verdict, Accepted) else None


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fields = sorted({".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)})
        return f"cannot be set up with made-up values ({', '.join(fields)}): give the plugin demo_settings"
    return str(error)
