"""The command line: one small module per command; each parses, calls and prints."""

import os
import sys

import typer

from gateway.cli.check import check
from gateway.cli.dev import dev
from gateway.cli.failures import report
from gateway.cli.holds import holds
from gateway.cli.migrate import migrate
from gateway.cli.providers import providers
from gateway.cli.reconcile import reconcile
from gateway.cli.replay import replay
from gateway.cli.schema import schema
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate
from gateway.cli.trace import trace
from gateway.cli.work import work

app = typer.Typer(
    name="faurya-gateway",
    help="Revenue attribution gateway: proves and keeps payment webhooks and records the money in Faurya exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # `failures` tells of errors, without the local variables that Typer would show
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (dev, serve, work, migrate, check, trace, simulate, replay, reconcile):
    app.command()(command)
app.add_typer(holds, name="holds")
app.add_typer(providers, name="providers")
app.command()(schema)


def main() -> None:
    """Run the command that the arguments name. Exit: 0 fine, 1 a problem was found, 2 usage or configuration."""
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # one left over from elsewhere would mix two gateways' numbers
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the border: people get a sentence, not a traceback
        sys.exit(report(error))
