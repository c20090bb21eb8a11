"""`faurya-gateway check`: is everything as it should be?"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath
from gateway.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from gateway.app.source import Source
    from gateway.config import Config, ConfigError
    from gateway.flows.check import Report

Online = Annotated[
    bool, typer.Option("--online", help="Also prove the keys at the providers and at Faurya, and the clock.")
]

STYLES = {"fine": "green", "note": "dim", "warning": "yellow", "problem": "bold red"}


def check(config: ConfigPath = CONFIG, online: Online = False, as_json: AsJson = False) -> None:
    """
    Look at the configuration, the plugins, the database, refused webhooks, holds and late work.

    Exit 1 where a problem was found, 2 where the configuration has mistakes (all are listed). Nothing is changed.
    """
    from gateway.config import ConfigError

    try:
        source, loaded = load(config)
    except ConfigError as error:
        if as_json:
            show_json(_mistakes(error))
        raise
    report = asyncio.run(_check(source, loaded, online=online))
    if as_json:
        show_json(report.as_json())
    else:
        rows = [(finding.level, finding.about, finding.text) for finding in report.findings]
        show_table("What was found", ["level", "about", "finding"], rows, STYLES)
        _conclude(report)
    if report.problems:
        raise typer.Exit(1)


async def _check(source: "Source", config: "Config", *, online: bool) -> "Report":
    from gateway.app.assembly import utc_now
    from gateway.app.database import opened_database
    from gateway.flows.check import Report, of_plugins
    from gateway.flows.check import check as looked_over
    from gateway.flows.probing import probe_all
    from gateway.outbound import client_session
    from gateway.plugins import open_all
    from gateway.sdk import Runtime

    async with client_session() as http:
        live = open_all(config, source.registry, Runtime(http=http, now=utc_now))
        found = [
            *await looked_over(config, lambda: opened_database(config, size=1), utc_now()),
            *of_plugins(live),
            *(await probe_all(live, http, utc_now) if online else ()),
        ]
    return Report(found)


def _mistakes(error: "ConfigError") -> dict[str, object]:
    mistakes = [
        {"file": mistake.file, "line": mistake.line, "path": mistake.path, "message": mistake.message}
        for mistake in error.mistakes
    ]
    return {"ok": False, "mistakes": mistakes}


def _conclude(report: "Report") -> None:
    typer.echo()
    if report.problems == 0:
        say("No problem was found.", "green")
    else:
        say("1 problem was found." if report.problems == 1 else f"{report.problems} problems were found.", "bold red")
