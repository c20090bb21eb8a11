"""
Reading the sites: their Faurya destination, their connections and their plans.

The plugin's models come in as an argument: this layer knows no plugin.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args

from pydantic import BaseModel

from gateway.config import checks
from gateway.config.complaints import NOT_A_MAPPING, unknown_key
from gateway.config.fields import (
    BY_PLACE,
    Reader,
    read_fields,
    read_named,
    read_value,
    refuse_blank_secrets,
    validated,
)
from gateway.config.mistakes import Path, PluginUnknown, Report
from gateway.config.models import Connection, Environment, Payments, Plan, Revenue, Site
from gateway.config.secrets import fields_by_key, secret_leaves

NAME_PATTERN = "[a-z0-9][a-z0-9_-]{0,62}"
PLAN_NAME_PATTERN = "[A-Za-z0-9._-]{1,64}"

_NAMES = (
    re.compile(NAME_PATTERN),
    "is not a usable name: 1 to 63 letters of a-z, digits, _ and -, beginning with a letter or a digit",
)
_PLAN_NAMES = (
    re.compile(PLAN_NAME_PATTERN),
    "is not a usable name: 1 to 64 letters of A-Z and a-z, digits, dots, _ and -",
)
_CONNECTION_KEYS = frozenset(Connection.model_fields) - BY_PLACE
_APIS: Mapping[str, type[Revenue | Payments]] = {"revenue": Revenue, "payments": Payments}


class PluginModels(Protocol):
    """What plugins say about their part of the configuration."""

    def config_model(self, plugin: str) -> type[BaseModel]:
        """Return the model of a connection's own keys; raise `PluginUnknown` when not installed or broken."""
        ...

    def checkout_options(self, plugin: str) -> type[BaseModel] | None:
        """Return the model of a plan's `options`, or None when the plugin takes none; may raise `PluginUnknown`."""
        ...


@dataclass(slots=True)
class SitesReader:
    """Reads `sites`. `accounts` gathers, over all sites, what the connections show of whose account they are."""

    models: PluginModels
    report: Report
    skip_broken_plugins: bool
    accounts: list[checks.Account] = field(default_factory=list)

    def read(self, raw: Any, path: Path) -> dict[str, Any]:
        """Return the valid parts of every site by name."""
        if raw == {} and not self.report.incomplete:
            self.report.add(path, "is required: add at least one site")
        return read_named(raw, path, self.report, _NAMES, lambda site, at: _SiteReader(self).read(site, at))


@dataclass(slots=True)
class _SiteReader:
    """Reads one site. `options` holds, for each connection whose plugin loads, the model of a plan's options."""

    sites: SitesReader
    names: frozenset[str] = frozenset()
    options: dict[str, type[BaseModel] | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def report(self) -> Report:
        return self.sites.report

    def read(self, raw: Any, path: Path) -> dict[str, Any]:
        readers: dict[str, Reader] = {"faurya": self._faurya, "providers": self._connections, "plans": self._plans}
        return {**read_fields(Site, raw, path, self.report, readers), "skipped": self.skipped}

    def _faurya(self, raw: Any, path: Path) -> Any:
        if not isinstance(raw, Mapping):
            self.report.add(path, NOT_A_MAPPING)
            return None
        api = raw.get("api")
        model = _APIS.get(api) if isinstance(api, str) else None
        if model is None:
            wrong = "must be" if "api" in raw else "is required:"
            self.report.add((*path, "api"), f"{wrong} revenue (site id and write key) or payments (API key)")
            return None
        if model is Payments and "forward_refunds" in raw:
            self.report.add((*path, "forward_refunds"), "is for api: revenue; payments has no refunds: remove it")
            raw = {key: value for key, value in raw.items() if key != "forward_refunds"}
        return read_value(model, raw, path, self.report)

    def _connections(self, raw: Any, path: Path) -> dict[str, Any]:
        if raw == {}:
            self.report.add(path, "is empty: add at least one connection to a payment provider")
        if isinstance(raw, Mapping):
            self.names = frozenset(raw)
        return read_named(raw, path, self.report, _NAMES, self._connection)

    def _connection(self, raw: Any, path: Path) -> dict[str, Any] | None:
        """Return a connection's valid parts; None if its plugin does not load and that is allowed."""
        if not isinstance(raw, Mapping):
            self.report.add(path, NOT_A_MAPPING)
            return None
        name = str(path[-1])
        own = {key: value for key, value in raw.items() if key not in _CONNECTION_KEYS}
        core = {"plugin": name, **{key: value for key, value in raw.items() if key in _CONNECTION_KEYS}}
        parts = read_fields(Connection, core, path, self.report)
        if "plugin" not in parts:
            return parts
        try:
            model = self.sites.models.config_model(parts["plugin"])
            self.options[name] = self.sites.models.checkout_options(parts["plugin"])
        except PluginUnknown as error:
            if self.sites.skip_broken_plugins:
                self.skipped[name] = str(error)
                return None
            self.report.add((*path, "plugin"), str(error))
            return parts
        secrets = frozenset(text.strip() for _, text in secret_leaves(model, own) if text.strip())
        claims = parts.get("claims") if "claims" in core else "all"
        account = checks.Account(path=path, plugin=parts["plugin"], claims=claims, secrets=secrets)
        self.sites.accounts.append(account)
        return {**parts, "settings": self._settings(model, own, parts.get("environment"), path)}

    def _settings(self, model: type[BaseModel], own: Mapping[str, Any], environment: Any, path: Path) -> Any:
        """Return the plugin's part. Without a valid environment only what is wrong in every environment is reported."""
        known = fields_by_key(model)
        if model.model_config.get("extra") != "allow":
            for key in own.keys() - known.keys():
                self.report.add((*path, key), unknown_key(key, [*known, *_CONNECTION_KEYS]))
            own = {key: value for key, value in own.items() if key in known}
        refuse_blank_secrets(model, own, path, self.report)
        environments = [environment] if environment else get_args(Environment)
        tried = [
            validated(model, {**own, "environment": each} if "environment" in known else own) for each in environments
        ]
        common = [problem for problem in tried[0][1] if all(problem in problems for _, problems in tried)]
        for where, message in common:
            self.report.add((*path, *where), message)
        return tried[0][0]

    def _plans(self, raw: Any, path: Path) -> dict[str, Any]:
        return read_named(raw, path, self.report, _PLAN_NAMES, self._plan)

    def _plan(self, raw: Any, path: Path) -> dict[str, Any]:
        parts = read_fields(Plan, raw, path, self.report, {"options": lambda value, _: value})
        if not isinstance(raw, Mapping):
            return parts
        wrong_price = checks.plan_prices(raw)
        if wrong_price:
            self.report.add(path, wrong_price)
        provider = parts.get("provider")
        if provider is not None and self.names and provider not in self.names:
            known = ", ".join(sorted(self.names))
            self.report.add((*path, "provider"), f"names no connection of this site: it has {known}")
        return {**parts, "options": self._plan_options(raw.get("options", {}), provider, (*path, "options"))}

    def _plan_options(self, raw: Any, provider: Any, path: Path) -> Any:
        """Return the options as the plugin's model; None where the plugin takes none or is not known."""
        if provider not in self.options:
            return None
        model = self.options[provider]
        if model is not None:
            return read_value(model, raw, path, self.report)
        if raw != {}:
            self.report.add(path, "this provider takes no options: remove it")
        return None
