"""`faurya-gateway holds`: the sites whose deliveries are paused; hold one, or let it go on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath, with_config
from gateway.cli.output import redaction, say, show_json, show_table

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.config import Config
    from gateway.flows.holding import Standing
    from gateway.store.pool import Database

Result = TypeVar("Result")

holds = typer.Typer(help="List the sites whose deliveries are on hold; hold one, or lift a hold.")

Site = Annotated[str, typer.Argument(metavar="SITE", help="A site of the configuration.")]
MaybeSite = Annotated[str | None, typer.Argument(metavar="SITE", help="A site of the configuration.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for whoever finds it held.")]
All = Annotated[bool, typer.Option("--all", help="Every site that is held.")]


@holds.callback(invoke_without_command=True)
def list_by_default(context: typer.Context, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """
    List the sites whose deliveries are on hold: the same as `holds list`.

    Nothing of a held site is lost and no attempt is spent. Exit 1 where a site is held.
    """
    if context.invoked_subcommand is None:
        list_holds(config, as_json)


@holds.command("list")
def list_holds(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """
    List every hold: since when, why, when the next delivery probes, and how many deliveries wait.

    Exit 0 where no site is held, 1 where one is. Times are UTC.
    """
    from gateway.app.assembly import utc_now
    from gateway.flows.holding import standing

    _, loaded = load(config)
    found = _with_database(loaded, lambda database: standing(database, list(loaded.sites), utc_now()))
    if as_json:
        show_json([hold.as_json() for hold in found])
    elif not found:
        say("No site is on hold.", "green")
    else:
        columns = ["site", "since", "next probe", "probes", "waiting", "reason"]
        show_table("On hold", columns, [_row(hold) for hold in found])
        typer.echo()
        say(f"To let a site go on: faurya-gateway holds lift SITE{with_config(config)}")
    if found:
        raise typer.Exit(1)


@holds.command("set")
def set_hold(site: Site, reason: Reason = None, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """
    Put a site on hold until somebody lifts it: nothing is sent to Faurya, nothing is spent, nothing is lost.

    An automatic hold becomes yours: it is probed no more. Webhooks are received and booked as ever.
    """
    from gateway.app.assembly import utc_now
    from gateway.domain.errors import Malformed
    from gateway.flows.holding import UnknownSite, put_on_hold

    _, loaded = load(config)
    try:
        before = _with_database(
            loaded,
            lambda database: put_on_hold(
                database, list(loaded.sites), site, now=utc_now(), note=reason, redaction=redaction()
            ),
        )
    except UnknownSite as error:
        raise typer.BadParameter(str(error), param_hint="SITE") from error
    except Malformed as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from error
    if as_json:
        show_json({"site": site, "held": True, "before": before})
        return
    also = f" It was held already ({before}); that hold is yours now." if before not in (None, "operator") else ""
    say(f"{site} is on hold until somebody lifts it: faurya-gateway holds lift {site}{with_config(config)}.{also}")


@holds.command("lift")
def lift_hold(site: MaybeSite = None, every: All = False, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """
    Let a site's deliveries go on, whoever or whatever held them; a running worker sees it within a second.

    A fault that lasts holds the site again at its first answer. Lifting what is not held is fine.
    """
    from gateway.flows.holding import UnknownSite, lift, lift_all

    if (site is None) != every:
        raise typer.BadParameter("name a site, or say --all", param_hint="SITE")
    _, loaded = load(config)
    if site is None:
        lifted = _with_database(loaded, lift_all)
    else:
        name = site
        try:
            was_held = _with_database(loaded, lambda database: lift(database, list(loaded.sites), name))
        except UnknownSite as error:
            raise typer.BadParameter(str(error), param_hint="SITE") from error
        lifted = [site] if was_held else []
    if as_json:
        show_json({"lifted": lifted})
    elif lifted:
        say(f"Lifted: {', '.join(lifted)}. Deliveries go on where a worker runs.", "green")
    else:
        say(f"{site} was not on hold." if site else "No site was on hold.")


def _with_database(config: "Config", ask: "Callable[[Database], Awaitable[Result]]") -> Result:
    async def asked() -> Result:
        from gateway.app.database import opened_database

        async with opened_database(config, size=1) as database:
            return await ask(database)

    return asyncio.run(asked())


def _row(standing: "Standing") -> list[Any]:
    hold = standing.hold
    until = _time(hold.until) if hold.until else "until lifted"
    return [
        hold.site if standing.is_configured else f"{hold.site} (not configured any more)",
        _time(hold.since),
        "now" if standing.is_probing else until,
        hold.probes,
        hold.waiting,
        standing.why,
    ]


def _time(moment: "datetime") -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
