"""What the sweeps tell `check`: lists that cannot be read, money that no webhook brought, amounts that differ. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import orjson

from gateway.flows.finding import Finding, Level
from gateway.store.sweeps import SweepRow

REPEATED = 3
"""Failures in a row: fewer are a provider's bad hour."""

RECENTLY = timedelta(days=1)
"""How long found money says that webhooks do not arrive; afterwards it is history."""

ENDLESS = timedelta(days=1)
"""No list takes a day to read at fifty pages a turn."""

SHOWN = 3


def of_sweeps(rows: Sequence[SweepRow], now: datetime) -> Sequence[Finding]:
    """Judge the sweeps of all connections."""
    return [finding for row in rows for finding in _of_sweep(row, now)]


def _of_sweep(row: SweepRow, now: datetime) -> Iterator[Finding]:
    yield _state(row, now)
    if row.booked_total and row.booked_at is not None:
        yield _found(row, row.booked_at, now)
    if row.differing:
        yield _differing(row)


def _state(row: SweepRow, now: datetime) -> Finding:
    facts = {
        "swept_at": row.finished_at.isoformat() if row.finished_at else None,
        "watermark": row.watermark.isoformat() if row.watermark else None,
        "failures": row.failures,
        "problem": row.problem,
    }
    level: Level = "fine"
    if row.failures:
        level = "problem" if row.failures >= REPEATED else "warning"
        text = f"the provider's list could not be read {row.failures} times in a row: {row.problem}"
    elif row.problem:
        level, text = "note", f"the provider lists nothing, so lost webhooks are not found: {row.problem}"
    elif row.since is not None and row.started_at is not None and now - row.started_at > ENDLESS:
        level, text = "warning", f"the sweep of {_when(row.started_at)} has not come to the end of the provider's list"
    elif row.finished_at is None:
        text = f"the first sweep is due at {_when(row.due_at)}"
    else:
        text = f"the provider's list was last read at {_when(row.finished_at)}"
    return Finding(level=level, about=_about(row), text=text, facts=facts)


def _found(row: SweepRow, at: datetime, now: datetime) -> Finding:
    recent = now - at <= RECENTLY
    what = "1 movement was" if row.booked_total == 1 else f"{row.booked_total} movements were"
    text = f"{what} booked that no webhook brought, the last at {_when(at)}"
    if recent and row.booked:
        text += f" ({row.booked} by the last sweep)"
    if recent:
        text += ": the provider's webhooks do not all arrive; compare its deliveries with this gateway's address"
    facts = {"booked": row.booked, "booked_total": row.booked_total, "booked_at": at.isoformat()}
    return Finding(level="warning" if recent else "note", about=_about(row), text=text, facts=facts)


def _differing(row: SweepRow) -> Finding:
    differences = orjson.loads(row.differences or "[]")
    shown = "; ".join(f"{key}: {booked} in the ledger, {listed} listed" for key, booked, listed in differences[:SHOWN])
    what = "1 movement has" if row.differing == 1 else f"{row.differing} movements have"
    text = f"{what} another amount at the provider than in the ledger, which keeps its own ({shown})"
    facts = {"differing": row.differing, "differences": differences}
    return Finding(level="warning", about=_about(row), text=text, facts=facts)


def _about(row: SweepRow) -> str:
    return f"{row.site}/{row.connection}"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
