"""`faurya-gateway replay`: what ended dead, rejected, unattributed or unreadable, tried again."""

import asyncio
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.failures import PROBLEM, USAGE
from gateway.cli.loading import load
from gateway.cli.moments import parse_since
from gateway.cli.options import CONFIG, AsJson, ConfigPath, with_config
from gateway.cli.output import complain, redaction, say, show_json
from gateway.cli.replay_output import bar, conclude, counts, show

if TYPE_CHECKING:
    from gateway.app.source import Source
    from gateway.config import Config
    from gateway.flows.replay import Done, Selection
    from gateway.flows.replay_plan import Plan


class Which(StrEnum):
    """What is looked for."""

    DEAD = "dead"
    REJECTED = "rejected"
    UNATTRIBUTED = "unattributed"
    SKIPPED = "skipped"
    UNREADABLE = "unreadable"


USUALLY = frozenset({Which.DEAD, Which.REJECTED, Which.UNREADABLE})
"""Of the others most can only be left alone: they need a visitor, or the configuration says so."""

Site = Annotated[str | None, typer.Option(help="At this site only.")]
Statuses = Annotated[
    list[Which] | None,
    typer.Option(
        "--status", help="Repeatable. Without it: dead, rejected and unreadable; with --id: whatever the id names."
    ),
]
Since = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Booked or received since: 7d or 12h ago, a date, a time (UTC).")
]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="Any id that `trace` knows: payment, refund, order, event, checkout, key."),
]
Attribute = Annotated[
    str | None,
    typer.Option(metavar="VISITOR_ID", help="Give the sale that --id names this Faurya visitor, and send it."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def replay(
    site: Site = None,
    status: Statuses = None,
    since: Since = None,
    query: Id = None,
    attribute: Attribute = None,
    yes: Yes = False,
    config: ConfigPath = CONFIG,
    as_json: AsJson = False,
) -> None:
    """
    Send deliveries again, and read unreadable webhooks again with today's plugin. Shows first what would change; asks.

    A delivery gets its whole schedule again and keeps its Idempotency-Key. Refunds follow their sale by themselves.
    Running it twice, or stopping it with Ctrl-C, does no harm: only what is still as it was shown is changed.

    Where nobody can be asked (no terminal) --yes is needed. --json never asks: without --yes it only shows.
    Exit: 0 all that was asked for is taken up, or there is nothing to do; 1 something cannot be, or the answer was no;
    2 usage.
    """
    from gateway.app.assembly import utc_now

    selection = _selection(status, parse_since(since, utc_now()) if since else None, query, attribute)
    source, loaded = load(config)
    plan = asyncio.run(_look(source, loaded, site, query, selection))
    if not as_json:
        _tell(plan, query, config)
    may = yes or (plan.size > 0 and not as_json and _asked(plan))
    done = _carry_out(source, loaded, plan, selection) if may and plan.size else None
    if as_json:
        applied = {"deliveries": done.deliveries, "webhooks": done.webhooks, "changed": done.changed} if done else None
        show_json({**plan.as_json(), "applied": applied})
    elif done:
        conclude(done, plan.size)
    if plan.has_problem or (plan.size and not may and not as_json):
        raise typer.Exit(PROBLEM)


def _tell(plan: "Plan", query: str | None, config: "Path") -> None:
    if not plan.is_known:
        say("No site of this gateway knows this id: compare it with the provider's dashboard.", "bold red")
        return
    if plan.all_rows:
        show(plan)
    if plan.size == 0:
        trace = f" `faurya-gateway trace {quote(query)}{with_config(config)}` tells its story." if query else ""
        say(f"There is nothing to replay.{trace}")


def _asked(plan: "Plan") -> bool:
    """Ask; without a terminal nobody can answer."""
    if not sys.stdin.isatty():
        complain("Nothing was changed: there is no terminal to ask on. Add --yes to replay what is listed.")
        raise typer.Exit(USAGE)
    if typer.confirm(f"Replay {counts(len(plan.deliveries), len(plan.webhooks))}?", default=False, err=True):
        return True
    say("Nothing was changed.")
    return False


async def _look(
    source: "Source", config: "Config", site: str | None, query: str | None, selection: "Selection"
) -> "Plan":
    from gateway.app.command import at_hand
    from gateway.flows.naming import CannotName
    from gateway.flows.replay_plan import Plan, make, sites_of

    async with at_hand(source, config, redaction()) as (context, live):
        sites = await sites_of(context, live)
        if site is not None and site not in sites:
            known = ", ".join(sites)
            raise typer.BadParameter(f"there is no site {site!r} (there are: {known})", param_hint="--site")
        plan = Plan()
        try:
            with bar("Looking") as progress:
                async for plan in make(context, live, [site] if site else sites, query, selection):
                    progress.at(len(plan.all_rows))
        except CannotName as error:
            raise typer.BadParameter(str(error), param_hint="--id") from error
        return plan


def _carry_out(source: "Source", config: "Config", plan: "Plan", selection: "Selection") -> "Done":
    """Carry the plan out; what is finished when somebody stops it stays, the rest is as it was."""
    done: list[Done] = []
    try:
        asyncio.run(_applied(source, config, plan, selection, done))
    except KeyboardInterrupt:
        so_far = _sum(done)
        complain(
            f"Stopped: {so_far.deliveries + so_far.webhooks} of {plan.size} are taken up, the rest is as it was. "
            "The same command goes on."
        )
        raise typer.Exit(PROBLEM) from None
    return _sum(done)


async def _applied(
    source: "Source", config: "Config", plan: "Plan", selection: "Selection", done: "list[Done]"
) -> None:
    from gateway.app.command import at_hand
    from gateway.flows.replay_plan import apply

    async with at_hand(source, config, redaction()) as (context, live):
        with bar("Replaying", plan.size) as progress:
            async for part in apply(context, live, plan, selection):
                done.append(part)
                progress.at(_sum(done).all)


def _sum(parts: "list[Done]") -> "Done":
    from gateway.flows.replay import Done

    return Done(
        deliveries=sum(part.deliveries for part in parts),
        webhooks=sum(part.webhooks for part in parts),
        changed=sum(part.changed for part in parts),
    )


def _selection(
    status: "list[Which] | None", since: datetime | None, query: str | None, attribute: str | None
) -> "Selection":
    from gateway.domain.attribution import Attribution
    from gateway.domain.delivery import Status
    from gateway.domain.errors import Malformed
    from gateway.flows.replay import SINCE_EVER, UNREADABLE, Selection

    if attribute is None:
        everything = {one.value for one in Status} | {UNREADABLE}
        statuses = {one.value for one in status or USUALLY} if status or query is None else everything
        return Selection(statuses=frozenset(statuses), since=since or SINCE_EVER)
    if query is None:
        raise typer.BadParameter("name the sale with --id", param_hint="--attribute")
    if status or since:
        raise typer.BadParameter("goes with --id, not with --status or --since", param_hint="--attribute")
    try:
        visitor = Attribution(visitor_id=attribute.strip())
    except Malformed as error:
        raise typer.BadParameter(str(error), param_hint="--attribute") from error
    if not visitor:
        raise typer.BadParameter("a visitor id must not be empty", param_hint="--attribute")
    return Selection(statuses=frozenset(one.value for one in Status), visitor=visitor)
