"""`faurya-gateway providers`: the provider plugins and who uses them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath
from gateway.cli.output import complain, say, show_json, show_table
from gateway.cli.providers_check import check_plugin
from gateway.cli.providers_new import new

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.flows.plugin_list import InstalledPlugin

providers = typer.Typer(help="List the provider plugins that are installed.")
providers.command()(new)

Check = Annotated[str | None, typer.Option("--check", metavar="NAME", help="Hold this plugin against the rules.")]


@providers.callback(invoke_without_command=True)
def list_providers(
    context: typer.Context, config: ConfigPath = CONFIG, as_json: AsJson = False, check: Check = None
) -> None:
    """List the provider plugins that are installed, what they can do, and which connections use them."""
    if context.invoked_subcommand is not None:
        return
    if check is not None:
        check_plugin(check, as_json=as_json)
        return
    from gateway.flows.plugin_list import installed
    from gateway.plugins import PluginRegistry

    found = installed(PluginRegistry(), _config(config))
    if as_json:
        show_json([_as_json(plugin) for plugin in found])
    elif not found:
        say("No provider plugin is installed.")
    else:
        columns = ["name", "version", "package", "interface", "can", "used by"]
        show_table("Provider plugins", columns, [_row(plugin) for plugin in found])
    if any(plugin.problem for plugin in found):
        for plugin in found:
            complain(plugin.problem) if plugin.problem else None
        raise typer.Exit(1)


def _config(path: Path) -> "Config | None":
    """Return the configuration where there is one that can be read: this list is also for mending it."""
    from gateway.config import ConfigError

    if not path.exists():
        return None
    try:
        return load(path)[1]
    except ConfigError as error:
        complain(f"{len(error.mistakes)} mistakes in {path}, so who uses what is not known; `check` lists them")
        return None


def _row(plugin: "InstalledPlugin") -> list[object]:
    can = "?" if plugin.capabilities is None else ", ".join(plugin.capabilities)
    return [plugin.name, plugin.version, plugin.package, plugin.interface, can, ", ".join(plugin.used_by)]


def _as_json(plugin: "InstalledPlugin") -> dict[str, object]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "package": plugin.package,
        "interface": plugin.interface,
        "capabilities": plugin.capabilities,
        "used_by": plugin.used_by,
        "problem": plugin.problem,
    }
