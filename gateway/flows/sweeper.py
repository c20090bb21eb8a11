"""
When what is swept and watched: the loop beside the worker's own, which it never makes wait.

Each plugin has one task at a time in this process, over all its sites and connections: providers limit what comes from
one address.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from gateway.flows.context import Context
from gateway.flows.pace import Paces
from gateway.flows.sweep import sweep
from gateway.flows.turn import LOOK_BACK
from gateway.flows.watch import watch
from gateway.plugins import Live
from gateway.store import sweep_agenda
from gateway.store.errors import StoreError
from gateway.store.sweep_agenda import Due
from gateway.store.sweeps import Place
from gateway.telemetry import log

LOOK_SECONDS = 2.0
"""How soon due work is seen. Sweeps are hourly and looks at checkouts take place after minutes."""

AGAIN_SECONDS = 10.0
"""After trouble of our own (the database away, a bug), before the plugin's work is tried again."""


class Sweeper:
    """Sweeps the connections and looks up the checkouts that are due."""

    def __init__(self, context: Context, live: Callable[[], Live], paces: Paces | None = None) -> None:
        self._context = context
        self._live = live
        self._paces = paces or Paces()
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then what is in hand ends with its page and gives its lease back."""
        while not stopping.is_set():
            try:
                await self.look(stopping)
            except StoreError as error:
                log().warning("sweeper.database_away", error=str(error))
            except Exception:  # noqa: BLE001 - a loop that ended silently would leave lost webhooks unfound
                log().exception("sweeper.failed")
            await _rest(stopping, LOOK_SECONDS)
        if self._busy:
            await asyncio.wait(self._busy.values())

    async def look(self, stopping: asyncio.Event) -> None:
        """Start what is due, one task for each plugin."""
        live, now = self._live(), self._context.now()
        async with self._context.database.reading() as connection:
            agenda = await sweep_agenda.read(connection, sorted(live.connections))
        unknown = [(row.site, row.connection) for row in agenda if row.sweep_at is None]
        if unknown:
            await self._begin(live, unknown)
        due = [row for row in agenda if any(at is not None and at <= now for at in (row.sweep_at, row.watch_at))]
        for plugin in sorted({live.connections[row.site, row.connection].connection.plugin for row in due}):
            if plugin not in self._busy and not self._paces.paused(plugin):
                mine = [row for row in due if live.connections[row.site, row.connection].connection.plugin == plugin]
                task = asyncio.create_task(self._guarded(plugin, mine, stopping), name=f"sweeps of {plugin}")
                self._busy[plugin] = task
                task.add_done_callback(partial(self._done, plugin))

    def _done(self, plugin: str, _task: "asyncio.Task[None]") -> None:
        del self._busy[plugin]

    async def _begin(self, live: Live, places: Sequence[Place]) -> None:
        now = self._context.now()
        due = [now + live.connections[place].connection.sweep.every for place in places]
        async with self._context.database.transaction() as connection:
            await sweep_agenda.begin(connection, places, now=now, earliest=now - LOOK_BACK, due=due)

    async def _guarded(self, plugin: str, due: Sequence[Due], stopping: asyncio.Event) -> None:
        try:
            await self._work(plugin, due, stopping)
        except StoreError as error:
            log().warning("sweeper.database_away", plugin=plugin, error=str(error))
            await _rest(stopping, AGAIN_SECONDS)
        except Exception:  # noqa: BLE001 - one plugin's fault must not stop the others; the claim comes back with its lease
            log().exception("sweeper.failed", plugin=plugin)
            await _rest(stopping, AGAIN_SECONDS)

    async def _work(self, plugin: str, due: Sequence[Due], stopping: asyncio.Event) -> None:
        """Give each connection a turn, the longest overdue first: its sweep, then its looks."""
        for row in sorted(due, key=_since):
            live = self._live()  # a reload is obeyed from turn to turn
            opened = live.connections.get((row.site, row.connection))
            if opened and self._goes_on(plugin, stopping) and self._is_due(row.sweep_at):
                await sweep(self._context, live, opened, self._paces, stopping)
            if opened and self._goes_on(plugin, stopping) and self._is_due(row.watch_at):
                await watch(self._context, live, opened, self._paces, stopping)

    def _goes_on(self, plugin: str, stopping: asyncio.Event) -> bool:
        return not stopping.is_set() and not self._paces.paused(plugin)

    def _is_due(self, at: datetime | None) -> bool:
        return at is not None and at <= self._context.now()


def _since(row: Due) -> float:
    return min(at.timestamp() for at in (row.sweep_at, row.watch_at) if at is not None)


async def _rest(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
