"""Moments as people write them: a time ago, a date, a time."""

from datetime import UTC, datetime

import typer


def parse_since(text: str, now: datetime, hint: str = "--since") -> datetime:
    """Return the moment that `7d` (ago), `2026-09-01` or `2026-09-01T12:30` names; without a zone it is UTC."""
    from gateway.config.durations import parse_duration

    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        what = f"{text[:40]!r} is neither a time ago (12h, 7d) nor a date or time (2026-09-01, 2026-09-01T12:30)"
        raise typer.BadParameter(what, param_hint=hint) from error
