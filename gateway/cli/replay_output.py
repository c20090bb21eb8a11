"""What `replay` shows: the plan as tables that are cut on a terminal, progress on stderr, and the end."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.output import say, show_table

if TYPE_CHECKING:
    from rich.progress import Progress

    from gateway.flows.replay import Done
    from gateway.flows.replay_plan import Plan
    from gateway.flows.replay_rows import DeliveryRow, HeirRow, WebhookRow

MOST_ROWS = 30
"""Rows of each table; more is a list for a program."""


class Bar:
    """Progress on stderr where that is a terminal; nothing elsewhere."""

    def __init__(self, progress: "Progress | None", total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total) if progress else None

    def at(self, done: int) -> None:
        """Show how far it is."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done)


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Yield a progress bar; without a `total` it only counts."""
    if not sys.stderr.isatty():
        yield Bar(None, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    counted = TextColumn("{task.completed:.0f}")
    columns = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()] if total else [SpinnerColumn(), counted]
    with Progress(TextColumn(what), *columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, total)


def show(plan: "Plan") -> None:
    """Print what would change and what would not."""
    columns = ["site", "connection", "key", "amount", "now", "then"]
    _table("To be sent again", columns, plan.deliveries, _delivery)
    _table("Inherits the visitor", columns, plan.heirs, _heir)
    columns = ["site", "connection", "event", "type", "received", "now", "then"]
    _table("To be read again", columns, plan.webhooks, _webhook)
    _table("Left alone", ["site", "connection", "what", "now", "why"], plan.left_alone, _left)
    doubling = sum(row.may_double for row in plan.deliveries)
    typer.echo()
    if doubling:
        say(
            f"Mind: {doubling} of these may be counted twice. An earlier attempt ended unclear (no answer, or an "
            "error); if it arrived, Faurya's revenue endpoint promises no deduplication. Look in Faurya first.",
            "yellow",
        )
    for site, why in plan.held.items():
        say(f"Mind: {site} is on hold, so its deliveries wait: {why}.", "yellow")
    if plan.is_partial:
        say("Mind: the id names more than was looked at; run it again afterwards, or name a payment.", "yellow")


def conclude(done: "Done", total: int) -> None:
    """Print what was done."""
    if done.deliveries or done.webhooks:
        say(f"Taken up: {counts(done.deliveries, done.webhooks)}. A running worker goes on within a second.", "green")
    if done.changed:
        say(f"{done.changed} of {total} changed meanwhile and were left alone.", "yellow")


def counts(deliveries: int, webhooks: int) -> str:
    """Return "2 deliveries and 1 webhook", without what there is none of."""
    parts = [f"{deliveries} {'delivery' if deliveries == 1 else 'deliveries'}"] if deliveries else []
    parts += [f"{webhooks} {'webhook' if webhooks == 1 else 'webhooks'}"] if webhooks else []
    return " and ".join(parts)


def _table(title: str, columns: "Sequence[str]", rows: "Sequence[Any]", cells: Any) -> None:
    show_table(title, columns, [cells(row) for row in rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        say(f"  ... and {len(rows) - MOST_ROWS} more ({len(rows)} in all); --json lists every one.")


def _delivery(row: "DeliveryRow") -> list[Any]:
    entry = row.delivery.entry
    then = f"{row.after} (may be counted twice)" if row.may_double else row.after
    return [row.site, entry.connection, entry.event.key, entry.event.amount, row.before, then]


def _heir(row: "HeirRow") -> list[Any]:
    entry = row.now.entry
    return [row.site, entry.connection, entry.event.key, entry.event.amount, row.before.status, row.after]


def _webhook(row: "WebhookRow") -> list[Any]:
    webhook = row.unread.webhook
    event = webhook.event_id or webhook.id
    received = f"{webhook.received_at:%Y-%m-%d %H:%M:%S}"
    return [row.site, webhook.connection, event, webhook.event_type, received, row.before, row.after]


def _left(row: "DeliveryRow | WebhookRow") -> list[Any]:
    from gateway.flows.replay_rows import DeliveryRow

    if isinstance(row, DeliveryRow):
        place = (row.delivery.entry.connection, row.delivery.entry.event.key)
    else:
        place = (row.unread.webhook.connection, row.unread.webhook.event_id or str(row.unread.webhook.id))
    return [row.site, *place, row.before, row.after]
