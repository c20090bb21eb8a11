"""From the plain values of the files to a `Config`. Pure: everything it needs is an argument."""

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from gateway.config import checks
from gateway.config.fields import Reader, read_fields
from gateway.config.mistakes import Report
from gateway.config.models import Config, Connection, Database, Plan, Plugins, Server, Site
from gateway.config.sites import PluginModels, SitesReader


def read_config(raw: Mapping[str, Any], models: PluginModels, report: Report, folder: FilePath) -> Config | None:
    """Return the configuration, or None after reporting every mistake. Folders in it are relative to `folder`."""
    sites = SitesReader(models, report, skip_broken_plugins=_skips_broken_plugins(raw))
    readers: dict[str, Reader] = {
        "server": lambda value, path: read_fields(Server, value, path, report),
        "database": lambda value, path: read_fields(Database, value, path, report),
        "sites": sites.read,
    }
    parts = read_fields(Config, {"server": {}, **raw}, (), report, readers)
    for path, message in _cross_checks(parts, raw.get("server", {}), sites.accounts, report):
        report.add(path, message)
    return None if report.mistakes() else _assembled(parts, folder)


def _skips_broken_plugins(raw: Mapping[str, Any]) -> bool:
    """Say, before plugins are asked for, whether a broken one is left out. A wrong word is reported elsewhere."""
    plugins = raw.get("plugins")
    return isinstance(plugins, Mapping) and plugins.get("on_failure", Plugins().on_failure) == "skip"


def _cross_checks(
    parts: Mapping[str, Any], given: Any, accounts: list[checks.Account], report: Report
) -> Iterator[checks.Finding]:
    sites = parts.get("sites", {})
    server = parts.get("server", {})
    live = [
        ("sites", site, "providers", name)
        for site, settings in sites.items()
        for name, connection in settings.get("providers", {}).items()
        if connection.get("environment") == "live"
    ]
    lines = {account.path: report.line(account.path) for account in accounts}
    yield from checks.listening(server, given)
    yield from checks.embedded(parts.get("database", {}), server.get("host"), live)
    yield from checks.shared_origins({site: settings.get("origins", ()) for site, settings in sites.items()})
    yield from checks.shared_accounts(accounts, lines)


def _assembled(parts: Mapping[str, Any], folder: FilePath) -> Config:
    """Build the configuration of parts that are all valid."""
    database = Database(**parts["database"])
    return Config(
        **{
            **parts,
            "server": Server(**parts["server"]),
            "database": database.model_copy(update={"data_dir": folder / database.data_dir}),
            "sites": {name: _site(name, site) for name, site in parts["sites"].items()},
        }
    )


def _site(name: str, parts: Mapping[str, Any]) -> Site:
    providers = {key: Connection(name=key, **connection) for key, connection in parts["providers"].items()}
    plans = {key: Plan(name=key, **plan) for key, plan in parts.get("plans", {}).items()}
    return Site(name=name, **{**parts, "providers": providers, "plans": plans})
