"""
The loop: it books and delivers, site by site.

What this process knows to be due begins at once, without a look at the tables. What is due by time, and what other
processes left behind, is found by looking.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from gateway.domain.delivery import JITTER
from gateway.flows.book import book_all
from gateway.flows.context import Context, Work
from gateway.flows.deliver import Deliverer
from gateway.flows.retention import forget_old
from gateway.flows.sweeper import Sweeper
from gateway.plugins import Live
from gateway.store import agenda, holds, statistics
from gateway.store.agenda import SiteAgenda
from gateway.store.errors import StoreError
from gateway.telemetry import log

LOOK_SECONDS = 1.0
"""How soon work is seen that another process kept after a time of quiet. Work of this process is signalled."""

BUSY_LOOK_SECONDS = 0.02
"""The same while other processes keep work coming: each look that finds nothing of theirs doubles the wait."""

APART_LOOK_SECONDS = 0.1
"""The longest wait of a worker in a process without the web: nothing is ever signalled there."""

LOOK_SHARE, QUIET_SHARE = 10, 50
"""A look at many sites takes its time: the wait after it is at least so many times as long, and more in quiet times."""

AFTER_SECONDS = 0.05
"""Between two looks at sites whose work came to an end, to see what they have due later."""

PURGE_EVERY = timedelta(hours=1)
STATISTICS_EVERY = timedelta(seconds=2)
"""A look costs a fraction of a millisecond; in two seconds an empty table can get some thousand rows."""

LONGEST_PAUSE_SECONDS = 4.0
"""Between two tries to reach a database that is away; the first comes after half a second, then the wait doubles."""

MENDABLE = ("unavailable", "bad_key", "not_implemented", "redirected", "visitors_not_found")
"""Holds that a change of configuration may have mended: probed at the start and after a reload."""


def away_pause(times: int, draw: float) -> float:
    """Return the seconds before the next try after the `times`-th without a database; `draw` spreads the processes."""
    return min(LOOK_SECONDS / 4 * (1 << min(times, 10)), LONGEST_PAUSE_SECONDS) * (1 - JITTER + 2 * JITTER * draw)


class Worker:
    """
    Books and delivers for all sites; each site's work is a task of its own, so that none waits for another.

    `apart`: the web is in another process, so that work comes without a signal.
    """

    def __init__(
        self,
        context: Context,
        live: Callable[[], Live],
        deliverer: Deliverer,
        sweeper: Sweeper | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self._context = context
        self._live = live
        self._deliverer = deliverer
        self._sweeper = sweeper
        self._apart = apart
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._own = copy_context()
        self._running = False
        self._busy: dict[tuple[str, Work], asyncio.Task[None]] = {}
        self._more: dict[tuple[str, Work], asyncio.Event] = {}
        self._chores: dict[str, asyncio.Task[None]] = {}
        self._named: set[str] = set()
        self._look_at = 0.0
        self._look_pause = LOOK_SECONDS
        self._look_after = 0.0
        self._purge_at: datetime | None = None
        self._statistics_at: datetime | None = None
        self.beat: datetime | None = None

    def wake(self, site: str, work: Work) -> None:
        """Begin this work at this site, or have it look once more."""
        if (site, work) in self._busy:
            self._more[site, work].set()
        elif self._running and not self._stopping.is_set():
            self._begin(site, work)

    def look(self) -> None:
        """Look at all sites now."""
        self._look_at = 0.0
        self._signal.set()

    def beats(self, within: timedelta) -> bool:
        """Say whether it went round within this time, by the clock that it works by."""
        return self.beat is not None and self._context.now() - self.beat < within

    def stop(self) -> None:
        """Claim nothing more; `run` returns once what is in hand is finished."""
        self._stopping.set()
        self._signal.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Work until `stop`."""
        await self.probe_now()
        away, self._running = 0, True
        sweeping = asyncio.create_task(self._sweeper.run(self._stopping), name="sweeper") if self._sweeper else None
        while not self._stopping.is_set():
            self._signal.clear()
            try:
                pause, away = await self._round(), 0
                self.beat = self._context.now()
            except StoreError as error:
                away, self._look_at = away + 1, 0.0
                pause = away_pause(away, self._context.draw())
                log().warning("worker.database_away", error=str(error), again_in_seconds=round(pause, 1))
            except Exception:  # noqa: BLE001 - a worker that ended silently would leave everything undelivered
                log().exception("worker.failed")
                pause, self._look_at = LOOK_SECONDS, 0.0
            await self._sleep(pause)
        if left := [*self._busy.values(), *self._chores.values()]:
            await asyncio.wait(left)
        if sweeping:
            await sweeping
        await self._deliverer.close()

    async def probe_now(self) -> None:
        """Let held sites be tried at once where a change of configuration may have mended them."""
        try:
            async with self._context.database.transaction() as connection:
                await holds.probe_now(connection, sorted(self._live().config.sites), MENDABLE, self._context.now())
        except StoreError as error:
            log().warning("worker.database_away", error=str(error))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._signal.wait()
        except TimeoutError:
            pass

    async def _round(self) -> float:
        """Start what is due, at all sites or at those whose work ended; return the seconds until something may be."""
        live, now, began = self._live(), self._context.now(), monotonic()
        self._keep_house(live, now)
        if every := began >= self._look_at:
            self._look_at = began + self._look_pause
        elif began < self._look_after:
            return min(self._look_at, self._look_after) - began
        self._look_after = began + AFTER_SECONDS
        named, self._named = self._named, set()
        places = [place for place in sorted(live.connections) if every or place[0] in named]
        if places:
            async with self._context.database.reading() as connection:
                sites = await agenda.read(connection, places)
            news, soonest = self._start_due(sites, now)
            took = monotonic() - began
            if every:
                self._pause_after(took, news=news)
                self._look_at = began + self._look_pause
            self._look_at = min(self._look_at, began + max(soonest, took * LOOK_SHARE))
        return max(self._look_at - monotonic(), 0.0)

    def _pause_after(self, took: float, *, news: bool) -> None:
        """Look again soon where a look found what nobody had signalled: another process keeps work coming."""
        pause = BUSY_LOOK_SECONDS if news else self._look_pause * 2
        longest = max(APART_LOOK_SECONDS, took * QUIET_SHARE) if self._apart else LOOK_SECONDS
        self._look_pause = min(max(pause, took * LOOK_SHARE), longest, LOOK_SECONDS)

    def _keep_house(self, live: Live, now: datetime) -> None:
        if (self._purge_at is None or now >= self._purge_at) and "purge" not in self._chores:
            self._purge_at = now + PURGE_EVERY
            self._chore("purge", forget_old(self._context, live.config, self._stopping))
        if (self._statistics_at is None or now >= self._statistics_at) and "statistics" not in self._chores:
            self._statistics_at = now + STATISTICS_EVERY
            self._chore("statistics", self._refresh_statistics())

    def _start_due(self, sites: Sequence[SiteAgenda], now: datetime) -> tuple[bool, float]:
        """Start what is due; return whether any was news, and the seconds until something may be, at most a look's."""
        news, soonest = False, LOOK_SECONDS
        for site in sites:
            due: tuple[tuple[Work, datetime | None], ...] = (("book", site.read_at), ("deliver", site.deliver_at))
            for work, due_at in due:
                if due_at is None:
                    continue
                if due_at > now:
                    if (site.site, work) not in self._busy:
                        soonest = min(soonest, (due_at - now).total_seconds())
                else:
                    news |= self._unheard_of(site.site, work)
                    self.wake(site.site, work)
        return news, soonest

    def _unheard_of(self, site: str, work: Work) -> bool:
        """Say whether work that is due was not signalled here; deliveries may be due for long at a busy site."""
        if (site, work) in self._busy:
            return work == "book" and not self._more[site, work].is_set()
        return True

    async def _refresh_statistics(self) -> None:
        async with self._context.database.reading() as connection:
            await statistics.refresh(connection)

    def _begin(self, site: str, work: Work) -> None:
        more = self._more[site, work] = asyncio.Event()
        if work == "book":
            doing = book_all(self._context, self._live, site, self._stopping, more)
        else:
            doing = self._deliverer.deliver(self._live, site, self._stopping, more)
        # in a context of its own: in that of the request which signals, its id would stand in every line of the work
        task = self._busy[site, work] = asyncio.create_task(self._guarded(work, site, doing), context=self._own.copy())
        task.add_done_callback(lambda _: self._ended(site, work))

    def _ended(self, site: str, work: Work) -> None:
        """Begin again where more came during the last moments; else see what is due later."""
        del self._busy[site, work]
        if self._more.pop((site, work)).is_set() and not self._stopping.is_set():
            self._begin(site, work)
        else:
            self._named.add(site)
            self._signal.set()

    def _chore(self, name: str, doing: Coroutine[Any, Any, None]) -> None:
        task = self._chores[name] = asyncio.create_task(self._guarded(name, "", doing))
        task.add_done_callback(lambda _: self._chores.pop(name))

    async def _guarded(self, kind: str, site: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:
            log().warning("worker.database_away", site=site, work=kind, error=str(error))
            await asyncio.sleep(LOOK_SECONDS)
        except Exception:  # noqa: BLE001 - one site's fault must not stop the others; the claim comes back with its lease
            log().exception("worker.failed", site=site, work=kind)
            await asyncio.sleep(LOOK_SECONDS)
