"""One turn of a sweep: what it is made of, how it is claimed, and how it ends where the list could not be read."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from gateway.domain.errors import Unsupported
from gateway.domain.listed import GRACE, Tally, Window, wait_after
from gateway.domain.revenue import RevenueEvent
from gateway.domain.text import printable
from gateway.flows.compare import Comparison, Lease
from gateway.flows.context import Context
from gateway.flows.progress import unpacked
from gateway.plugins import Live, Opened, PluginFault
from gateway.store import sweeps
from gateway.store.sweeps import ClaimedSweep
from gateway.telemetry import log

FOR_WRITING = timedelta(seconds=10)
"""Of a lease, kept for the booking of a page after the slowest answer."""

LOOK_BACK = timedelta(days=7)
"""
How far a connection's first sweep looks back at most, and one after a longer time without any. Providers repeat a
webhook for three days; what a list knows of earlier times and this gateway does not is history, which a person decides
about (`faurya-gateway reconcile`).
"""

MAX_PROBLEM = 500


@dataclass(slots=True, kw_only=True)
class Turn:
    """A sweep in hand: as much of it as one turn reads."""

    context: Context
    opened: Opened
    deadline: timedelta
    lease: Lease
    sweep: ClaimedSweep
    comparison: Comparison
    tally: Tally
    cursor: str | None
    waiting: list[RevenueEvent] = field(default_factory=list)
    cursors: set[str] = field(default_factory=set)
    pages: int = 0

    @property
    def place(self) -> tuple[str, str]:
        """The site and the connection."""
        return self.opened.site, self.opened.name


async def claimed_turn(context: Context, live: Live, opened: Opened) -> Turn | None:
    """Take a due sweep; None where somebody else was faster."""
    deadline, place = live.config.plugins.deadline, (opened.site, opened.name)
    lease = Lease(token=UUID(bytes=context.entropy(16)), length=max(live.config.worker.lease, deadline + FOR_WRITING))
    now = context.now()
    async with context.database.transaction() as connection:
        claimed = await sweeps.claim(
            connection,
            place,
            now=now,
            lease=lease.token,
            until=now + lease.length,
            overlap=opened.connection.sweep.overlap,
            earliest=now - LOOK_BACK,
        )
    if claimed is None:
        return None
    window = Window(begins=claimed.begins_at, until=now - GRACE, wait=live.config.booking.wait)
    return Turn(
        context=context,
        opened=opened,
        deadline=deadline,
        lease=lease,
        sweep=claimed,
        comparison=Comparison(context=context, live=live, opened=opened, window=window, lease=lease),
        tally=unpacked(claimed.progress),
        cursor=claimed.cursor,
        cursors={claimed.cursor} if claimed.cursor else set(),
    )


async def note_unsupported(turn: Turn, error: Unsupported) -> None:
    """End a sweep of a provider that lists nothing; it is asked again, in case its plugin learns it."""
    due_at = turn.context.now() + turn.opened.connection.sweep.every
    async with turn.context.database.transaction() as connection:
        await sweeps.unsupported(
            connection, turn.place, lease=turn.lease.token, due_at=due_at, problem=said(turn, error)
        )


async def note_failure(turn: Turn, error: Exception, retry_after: timedelta | None, *, keeps_cursor: bool) -> None:
    """End a turn that went wrong, and tell when it is tried again."""
    failures, problem = turn.sweep.failures + 1, said(turn, error)
    due_at = turn.context.now() + wait_after(failures, retry_after)
    if isinstance(error, PluginFault):
        turn.context.metrics.plugin_failures.labels(turn.opened.connection.plugin, "list_revenue").inc()
    async with turn.context.database.transaction() as connection:
        await sweeps.fail(
            connection,
            turn.place,
            lease=turn.lease.token,
            due_at=due_at,
            problem=problem,
            keeps_cursor=keeps_cursor,
        )
    log().warning(
        "sweep.failed",
        site=turn.opened.site,
        connection=turn.opened.name,
        error=problem,
        failures=failures,
        again_at=due_at.isoformat(),
    )


def said(turn: Turn, error: Exception) -> str:
    """Return an error's words, safe to keep and to show."""
    return printable(turn.context.redaction.clean(str(error)), MAX_PROBLEM)
