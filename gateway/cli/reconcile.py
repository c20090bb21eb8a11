"""`faurya-gateway reconcile SITE/CONNECTION`: the provider's own list against the ledger."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath, with_config
from gateway.cli.output import complain, redaction, say, show_json, show_table

if TYPE_CHECKING:
    from gateway.app.source import Source
    from gateway.config import Config
    from gateway.domain.listed import Judged
    from gateway.flows.reconcile import Reconciliation

Place = Annotated[str, typer.Argument(metavar="SITE/CONNECTION", help="Whose list is read.")]
Since = Annotated[
    str, typer.Option(metavar="7d|DATE", help="How far back: 12h, 7d, or a date such as 2026-09-01 (UTC).")
]
Apply = Annotated[bool, typer.Option("--apply", help="Book what is missing. Without it nothing is written.")]

STYLES = {
    "missing": "bold red",
    "differs": "bold red",
    "unbookable": "bold red",
    "unlisted": "bold yellow",
    "booked": "bold green",
    "waiting": "cyan",
    "recent": "dim",
    "other_site": "dim",
}

SHOWN = 200
"""Rows of the table; --json has them all."""

WORDS = {
    "already": "in both",
    "missing": "missing: no webhook brought them and they are not in the ledger",
    "booked": "missing before, booked now",
    "waiting": "waiting for the sale that they refer to",
    "other_site": "another site's (see the connection's claims)",
    "differs": "with another amount in the ledger, which keeps its own",
    "recent": "from the last minutes: their webhooks may be on their way",
    "unbookable": "that cannot be booked (see the log)",
    "unlisted": "in the ledger and not in the provider's list",
}


def reconcile(
    place: Place,
    since: Since = "7d",
    apply: Apply = False,
    config: ConfigPath = CONFIG,
    as_json: AsJson = False,
) -> None:
    """
    Hold the provider's own list of confirmed money against the ledger.

    Without --apply nothing is written. With it, what is missing is booked and sent to Faurya like any sale; it may be
    broken off and run again. Exit 0 where both agree (or were made to), 1 where something is missing or differs.
    """
    from gateway.plugins import PluginFault
    from gateway.sdk import ProviderError, Unsupported

    source, loaded = load(config)
    site, name = _place(place, loaded)
    begin = _moment(since, datetime.now(UTC))
    try:
        found = asyncio.run(_reconcile(source, loaded, site, name, begin, apply=apply))
    except Unsupported as error:
        complain(f"error: {place} cannot be reconciled: its provider lists nothing ({error})")
        raise typer.Exit(1) from error
    except (ProviderError, PluginFault) as error:
        complain(f"error: {place}: {error}; what was booked is kept, run it again to go on")
        raise typer.Exit(1) from error
    if as_json:
        show_json(found.as_json())
    else:
        _show(found, f"faurya-gateway reconcile {place} --since {since} --apply{with_config(config)}")
    if not found.agrees:
        raise typer.Exit(1)


def _place(place: str, config: "Config") -> tuple[str, str]:
    site, separator, name = place.partition("/")
    known = sorted(f"{each.name}/{connection}" for each in config.sites.values() for connection in each.providers)
    if not separator or place not in known:
        text = f"there is no connection {place!r} (there are: {', '.join(known)})"
        raise typer.BadParameter(text, param_hint="SITE/CONNECTION")
    return site, name


def _moment(since: str, now: datetime) -> datetime:
    """Return the moment that a duration or a date names."""
    from gateway.config.durations import parse_duration

    try:
        begin = now - parse_duration(since)
    except ValueError:
        try:
            begin = datetime.fromisoformat(since)
        except ValueError as error:
            text = "write a duration (12h, 7d) or a date (2026-09-01, 2026-09-01T12:00)"
            raise typer.BadParameter(text, param_hint="--since") from error
    begin = begin.replace(tzinfo=UTC) if begin.tzinfo is None else begin.astimezone(UTC)
    if not now - timedelta(days=3660) < begin < now:
        raise typer.BadParameter("lies in the future, or more than ten years ago", param_hint="--since")
    return begin


async def _reconcile(
    source: "Source", config: "Config", site: str, name: str, since: datetime, *, apply: bool
) -> "Reconciliation":
    from gateway.app.command import at_hand
    from gateway.flows.pace import Paces
    from gateway.flows.reconcile import reconcile as compared

    async with at_hand(source, config, redaction()) as (context, live):
        opened = live.connections.get((site, name))
        if opened is None:
            raise typer.BadParameter("its plugin does not open; the log says why", param_hint="SITE/CONNECTION")
        return await compared(context, live, opened, since, apply=apply, paces=Paces(), progress=_progress)


def _progress(pages: int, movements: int) -> None:
    """Say how far it is, on a terminal only."""
    if sys.stderr.isatty():
        typer.echo(f"\r{pages} pages, {movements} movements ", nl=False, err=True)


def _show(found: "Reconciliation", apply: str) -> None:
    from gateway.domain.listed import Result

    if sys.stderr.isatty():
        typer.echo(err=True)
    what = f"{found.site}/{found.connection} from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    listed = found.tally.listed - found.tally.counts[Result.BEFORE]
    say(f"{what}: {listed} movement{'' if listed == 1 else 's'} listed")
    if found.lists_since:
        say(f"The provider lists nothing from before {found.lists_since:%Y-%m-%d %H:%M} UTC.", "yellow")
    counts = [(found.word(result), found.tally.counts[result]) for result in Result if result is not Result.BEFORE]
    counts.append(("unlisted", len(found.unlisted)))
    show_table("Together", ["movements", "which are"], [(count, WORDS[word]) for word, count in counts if count])
    rows = [_row(found, judged) for judged in found.judged if judged.result is not Result.ALREADY]
    rows += [("unlisted", line.key, None, line.amount, None, _time(line.occurred_at)) for line in found.unlisted]
    columns = ["result", "key", "kind", "amount", "in the ledger", "occurred"]
    show_table("One by one", columns, rows[:SHOWN], STYLES)
    if len(rows) > SHOWN:
        say(f"... and {len(rows) - SHOWN} more: --json has them all")
    typer.echo()
    if found.agrees:
        say("The provider and the ledger agree.", "green")
    elif found.word(Result.BOOKED) == "missing" and found.tally.counts[Result.BOOKED]:
        say(f"Nothing was written. Next: {apply}", "bold red")
    else:
        say("The provider and the ledger do not agree.", "bold red")


def _row(found: "Reconciliation", judged: "Judged") -> tuple[object, ...]:
    event = judged.event
    kind = event.kind.value + (" (test)" if judged.test else "")
    return found.word(judged.result), event.key, kind, event.amount, judged.in_ledger, _time(event.occurred_at)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
