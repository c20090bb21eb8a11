"""
Is everything as it should be? Configuration, plugins, database, refusals, holds, late work, sweeps.

Each thing looked at is one finding: a `problem` needs somebody now, a `warning` is worth knowing.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.config import Config
from gateway.flows.finding import Finding, Level
from gateway.flows.sweep_findings import of_sweeps
from gateway.flows.verdict import HOLDS
from gateway.plugins import Live
from gateway.store import health, holds, refusals, reports, sweeps
from gateway.store.embedded import EmbeddedError
from gateway.store.errors import StoreError
from gateway.store.holds import SiteHold
from gateway.store.pool import Database
from gateway.store.refusals import RefusalRow
from gateway.store.reports import LeftBehind, Stuck
from gateway.store.schema import check_schema, current_revision
from gateway.store.sweeps import SweepRow

LATE = timedelta(minutes=5)
"""Due work is done within a second; after this long no worker runs, or it cannot keep up."""

RECENT = timedelta(days=7)
"""What went wrong before is history: it is shown, and no longer a problem."""

REFUSED_RECENTLY = timedelta(days=1)

NOISE = frozenset({"header_missing", "header_malformed"})
"""Refusals that any visitor of the address causes; a provider's own webhooks always have their header."""

STUCK_LEVELS: dict[str, tuple[Level, str]] = {
    "rejected": ("problem", "deliveries were refused by Faurya; `trace` says why, `replay` sends them again"),
    "dead": (
        "problem",
        "deliveries were given up after all attempts; the ledger keeps them, `replay` sends them again",
    ),
    "unreadable": (
        "problem",
        "webhooks could not be read; they are kept, and read again when the provider sends them again or by `replay`",
    ),
    "unattributed": (
        "warning",
        "sales have no visitor id and cannot be sent to Faurya's payments API; `replay --attribute` gives them one",
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at."""

    findings: Sequence[Finding]

    @property
    def problems(self) -> int:
        """How many findings need somebody."""
        return sum(finding.level == "problem" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the report as `check --json` prints it."""
        findings = [
            {"level": finding.level, "about": finding.about, "text": finding.text, **finding.facts}
            for finding in self.findings
        ]
        return {"ok": self.problems == 0, "problems": self.problems, "findings": findings}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the database says at one moment."""

    left_behind: Sequence[LeftBehind] = ()
    refusals: Sequence[RefusalRow] = ()
    last_webhooks: Sequence[tuple[str, str, datetime | None]] = ()
    holds: Sequence[SiteHold] = ()
    backlog: Sequence[tuple[str, datetime | None, int, bool]] = ()
    stuck: Sequence[Stuck] = ()
    sweeps: Sequence[SweepRow] = ()


async def check(
    config: Config, open_database: Callable[[], AbstractAsyncContextManager[Database]], now: datetime
) -> list[Finding]:
    """Return what is found in the configuration and in the database; a database that is away is itself a finding."""
    found = list(of_config(config))
    try:
        async with open_database() as database:
            found.append(await _of_schema(database))
            seen = await look(database, config, now)
    except (StoreError, EmbeddedError, TimeoutError) as error:
        text = str(error) or "the database did not answer in time"
        return [*found, Finding(level="problem", about="database", text=text)]
    return [*found, *of_database(seen, now)]


async def _of_schema(database: Database) -> Finding:
    warning = await check_schema(database)
    revision = await current_revision(database)
    if warning:
        return Finding(level="warning", about="database", text=warning, facts={"schema": revision})
    return Finding(level="fine", about="database", text=f"answers; schema {revision}", facts={"schema": revision})


async def look(database: Database, config: Config, now: datetime) -> Seen:
    """Read everything that the report needs."""
    sites = sorted(config.sites)
    places = sorted((site.name, name) for site in config.sites.values() for name in {*site.providers, *site.skipped})
    async with database.reading() as connection:
        return Seen(
            left_behind=await reports.left_behind(connection, places),
            refusals=await refusals.find(connection, sites),
            last_webhooks=await health.last_webhooks(connection, places),
            holds=await holds.find_all(connection, sites),
            backlog=await health.backlog(connection, places, now),
            stuck=await reports.stuck(connection, sites, now - RECENT),
            sweeps=await sweeps.find(connection, places),
        )


def of_config(config: Config) -> Sequence[Finding]:
    """Tell of every site and connection."""
    found = []
    server = config.server
    text = f"{len(config.sites)} sites, called at {server.public_url}"
    found.append(Finding(level="fine", about="configuration", text=text, facts={"public_url": server.public_url}))
    for site in config.sites.values():
        test = "test money is forwarded" if site.faurya.forward_test else "test money is not forwarded"
        text = f"{len(site.plans)} plans; Faurya by api: {site.faurya.api} at {site.faurya.url}, {test}"
        found.append(Finding(level="fine", about=site.name, text=text, facts={"api": site.faurya.api}))
        for connection in site.providers.values():
            claims = connection.claims if isinstance(connection.claims, str) else "listed ids"
            sends = "" if connection.forward else ", not forwarded"
            text = f"plugin {connection.plugin}, {connection.environment}, claims {claims}{sends}"
            facts = {"plugin": connection.plugin, "environment": connection.environment}
            found.append(Finding(level="fine", about=f"{site.name}/{connection.name}", text=text, facts=facts))
        for name, why in site.skipped.items():
            found.append(Finding(level="problem", about=f"{site.name}/{name}", text=f"left out: {why}"))
    return found


def of_plugins(live: Live) -> Sequence[Finding]:
    """Tell of connections whose plugin does not open although it loads."""
    configured = [(site.name, name) for site in live.config.sites.values() for name in site.providers]
    return [
        Finding(level="problem", about=f"{site}/{name}", text="its plugin does not open; the log says why")
        for site, name in configured
        if (site, name) not in live.connections
    ]


def of_database(seen: Seen, now: datetime) -> Sequence[Finding]:
    """Judge what the database says. Pure."""
    last = {(site, name): at for site, name, at in seen.last_webhooks}
    return [
        *(_of_refusal(row, last.get((row.site, row.connection)), now) for row in seen.refusals),
        *(_of_hold(hold) for hold in seen.holds),
        *(_of_backlog(site, at, due, now, held=held) for site, at, due, held in seen.backlog if at is not None),
        *(_of_stuck(row) for row in seen.stuck),
        *of_sweeps(seen.sweeps, now),
        *(_of_left_behind(row) for row in seen.left_behind),
    ]


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _of_refusal(row: RefusalRow, kept_at: datetime | None, now: datetime) -> Finding:
    text = f"{row.count} webhooks refused, the last at {_when(row.last_at)}: {row.detail or row.reason}"
    if row.seconds_off:
        text += f" ({row.seconds_off} seconds off)"
    if row.doctor:
        text += f"; {row.doctor}"
    level: Level = "problem"
    if now - row.last_at > REFUSED_RECENTLY:
        level = "note"
    elif row.reason in NOISE:
        level = "warning"
    elif kept_at is not None and kept_at > row.last_at:
        level, text = "warning", f"{text}. Others were accepted since"
    facts = {"count": row.count, "last_at": row.last_at.isoformat(), "reason": row.reason, "doctor": row.doctor}
    return Finding(level=level, about=f"{row.site}/{row.connection}", text=text, facts=facts)


def _of_hold(hold: SiteHold) -> Finding:
    why = HOLDS.get(hold.reason, hold.reason) + (f": {hold.note}" if hold.note else "")
    until = f"tried again at {_when(hold.until)}" if hold.until else "until somebody lifts it (`holds lift`)"
    facts = {"reason": hold.reason, "since": hold.since.isoformat()}
    text = f"on hold since {_when(hold.since)}, {until}: {why}"
    return Finding(level="problem", about=hold.site, text=text, facts=facts)


def _of_backlog(site: str, oldest: datetime, due: int, now: datetime, *, held: bool) -> Finding:
    facts = {"oldest_due_at": oldest.isoformat(), "due": due}
    if oldest > now:
        return Finding(level="fine", about=site, text=f"the next work is due at {_when(oldest)}", facts=facts)
    text = f"the oldest work was due at {_when(oldest)}, {due} deliveries are due"
    if held:
        return Finding(level="note", about=site, text=f"{text}; they wait for the hold", facts=facts)
    if now - oldest <= LATE:
        return Finding(level="fine", about=site, text=text, facts=facts)
    return Finding(level="problem", about=site, text=f"{text}: is a worker running?", facts=facts)


def _of_stuck(row: Stuck) -> Finding:
    level, text = STUCK_LEVELS[row.what]
    if not row.recent:
        level = "note"
    facts = {"what": row.what, "count": row.count, "recent": row.recent, "latest_at": row.latest.isoformat()}
    words = f"{row.count} {text} (the latest of {_when(row.latest)}, {row.recent} in the last {RECENT.days} days)"
    return Finding(level=level, about=f"{row.site}/{row.connection}", text=words, facts=facts)


def _of_left_behind(row: LeftBehind) -> Finding:
    facts = {"webhooks": row.webhooks, "revenue": row.revenue, "unfinished": row.unfinished}
    text = f"is not configured any more; {row.webhooks} webhooks and {row.revenue} revenue events of it are kept"
    if not row.unfinished:
        return Finding(level="note", about=f"{row.site}/{row.connection}", text=text, facts=facts)
    text += f", {row.unfinished} of them unfinished: nothing is read or sent until it is configured again"
    return Finding(level="warning", about=f"{row.site}/{row.connection}", text=text, facts=facts)
