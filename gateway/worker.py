"""The loop: woken by a signal of this process or by the next due time, it books and delivers, site by site."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from gateway.domain.delivery import JITTER
from gateway.flows.book import book_all
from gateway.flows.context import Context
from gateway.flows.deliver import Deliverer
from gateway.flows.retention import forget_old
from gateway.flows.sweeper import Sweeper
from gateway.plugins import Live
from gateway.store import agenda, holds, statistics
from gateway.store.agenda import SiteAgenda
from gateway.store.errors import StoreError
from gateway.telemetry import log

LOOK_SECONDS = 1.0
"""How soon work that another process kept is seen. Work of this process is signalled and waits for nothing."""

BUSY_SECONDS = 0.01
"""Between two looks at sites that are at work: each webhook signals, and one look sees what many signalled."""

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
    """Books and delivers for all sites; each site's work is a task of its own, so that none waits for another."""

    def __init__(
        self, context: Context, live: Callable[[], Live], deliverer: Deliverer, sweeper: Sweeper | None = None
    ) -> None:
        self._context = context
        self._live = live
        self._deliverer = deliverer
        self._sweeper = sweeper
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._named: set[str] = set()
        self._look_at = 0.0
        self._purge_at: datetime | None = None
        self._statistics_at: datetime | None = None
        self.beat: datetime | None = None

    def wake(self, site: str | None = None) -> None:
        """Say that there may be something to do: at this site, or at any."""
        if site is None:
            self._look_at = 0.0
        else:
            self._named.add(site)
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
        away = 0
        sweeping = asyncio.create_task(self._sweeper.run(self._stopping), name="sweeper") if self._sweeper else None
        while not self._stopping.is_set():
            self._signal.clear()
            if self._all_busy():
                await asyncio.sleep(BUSY_SECONDS)
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
        if self._busy:
            await asyncio.wait(self._busy.values())
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
        """
        Start what is due; return the seconds until something may be.

        A signal has the agenda of its sites read, and only every so often, or when something is due, that of all.
        """
        live, now, began = self._live(), self._context.now(), monotonic()
        if (self._purge_at is None or now >= self._purge_at) and ("", "purge") not in self._busy:
            self._purge_at = now + PURGE_EVERY
            self._start("purge", "", forget_old(self._context, live.config, self._stopping))
        if (self._statistics_at is None or now >= self._statistics_at) and ("", "statistics") not in self._busy:
            self._statistics_at = now + STATISTICS_EVERY
            self._start("statistics", "", self._refresh_statistics())
        if every := began >= self._look_at:
            self._look_at = began + LOOK_SECONDS
        named, self._named = self._named, set()
        places = [place for place in sorted(live.connections) if every or place[0] in named]
        async with self._context.database.reading() as connection:
            sites = await agenda.read(connection, places)
        self._look_at = min(self._look_at, began + self._start_due(sites, now))
        return max(self._look_at - monotonic(), 0.0)

    def _start_due(self, sites: Sequence[SiteAgenda], now: datetime) -> float:
        """Start what is due at these sites; return the seconds until something may be, at most until the next look."""
        soonest = LOOK_SECONDS
        for site in sites:
            for kind, due_at in (("book", site.read_at), ("deliver", site.deliver_at)):
                if due_at is None:
                    continue
                if (site.site, kind) in self._busy:
                    if kind == "deliver" and due_at <= now:
                        self._deliverer.nudge(site.site)
                elif due_at <= now:
                    self._start(kind, site.site, self._work(kind, site.site))
                else:
                    soonest = min(soonest, (due_at - now).total_seconds())
        return soonest

    def _all_busy(self) -> bool:
        """Say whether all sites that were named are both read and delivered already: a look may wait for a moment."""
        return bool(self._named) and all(
            (site, kind) in self._busy for site in self._named for kind in ("book", "deliver")
        )

    async def _refresh_statistics(self) -> None:
        async with self._context.database.reading() as connection:
            await statistics.refresh(connection)

    def _work(self, kind: str, site: str) -> Coroutine[Any, Any, None]:
        if kind == "book":
            return book_all(self._context, self._live, site, self._stopping)
        return self._deliverer.deliver(self._live, site, self._stopping)

    def _start(self, kind: str, site: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(kind, site, work))
        self._busy[site, kind] = task
        task.add_done_callback(lambda _: self._done(site, kind))

    def _done(self, site: str, kind: str) -> None:
        del self._busy[site, kind]
        if site:
            self.wake(site)

    async def _guarded(self, kind: str, site: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:
            log().warning("worker.database_away", site=site, work=kind, error=str(error))
            await asyncio.sleep(LOOK_SECONDS)
        except Exception:  # noqa: BLE001 - one site's fault must not stop the others; the claim comes back with its lease
            log().exception("worker.failed", site=site, work=kind)
            await asyncio.sleep(LOOK_SECONDS)
