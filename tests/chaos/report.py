"""What a storm came to, for people: a table of the faults and a summary. Pure."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.checker import Violation, calls_by_place, explained_doubles
from tests.chaos.rates import Recovery
from tests.chaos.result import Result

SHOWN = 20
COLUMNS = ("fault", "what", "seconds", "accepts back after", "deliveries back after")


def rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each fault."""
    return [
        (fault.kind, fault.detail, f"{fault.end - fault.begin:.1f}", _back(fault.accepts), _back(fault.deliveries))
        for fault in result.faults
    ]


def _back(found: Recovery | None) -> str:
    if found is None:
        return "-"
    if found.after is None:
        return f"NOT BACK ({found.before:.0f}/s before)"
    return f"{found.after:.1f} s ({found.share:.0%} of {found.before:.0f}/s)"


def summary(result: Result, violations: Sequence[Violation]) -> dict[str, object]:
    """Return the figures of a storm."""
    history = result.history
    groups = Counter(violation.group for violation in violations)
    calls = calls_by_place(history)
    attempts = [attempt for noted in history.attempts.values() for attempt in noted]
    return {
        "seed": result.plan.seed,
        "seconds": round(result.seconds),
        "faults": len(result.faults),
        "kinds of faults": len({fault.kind for fault in result.faults}),
        "sales": sum(movement.is_sale for movement in history.movements.values()),
        "refunds": sum(not movement.is_sale for movement in history.movements.values()),
        "webhooks": len(history.told),
        "answers": dict(sorted(result.answers.items())),
        "slowest 200 in ms": round(result.slowest * 1000),
        "attempts": len(attempts),
        "attempts without a verdict": sum(attempt.verdict is None for attempt in attempts),
        "calls that Faurya saw": len(history.calls),
        "recorded movements": sum(any(call.recorded for call in seen) for seen in calls.values()),
        "recorded again after a lost answer": explained_doubles(history),
        "deliveries": dict(sorted(Counter(row.status for row in history.outbox.values()).items())),
        "lost": groups["lost"],
        "wrongly doubled": groups["doubled"],
        "wrong": groups["wrong"],
        "invented": groups["invented"],
        "unexplained": groups["unexplained"],
        "swallowed webhooks": result.swept.swallowed,
        "found by reconcile": f"{result.swept.found} in {result.swept.seconds:.0f} s",
        "exit codes": {name: sorted(set(codes)) for name, codes in result.exit_codes.items()},
        "log": result.logged,
    }


def late(result: Result) -> list[str]:
    """Return which faults did not let the rates come back in time."""
    return [
        f"{fault.kind}: {what} not back to 95 % within 10 s"
        for fault in result.faults
        for what, found in (("accepts", fault.accepts), ("deliveries", fault.deliveries))
        if found is not None and not found.is_back
    ]


def text(result: Result, violations: Sequence[Violation]) -> str:
    """Return everything as text."""
    table = [COLUMNS, *rows(result)]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    figures = [f"{name + ':':<36} {value}" for name, value in summary(result, violations).items()]
    shown = [f"  {violation}" for violation in violations[:SHOWN]]
    more = [f"  and {len(violations) - SHOWN} more"] if len(violations) > SHOWN else []
    return "\n".join([*lines, "", *figures, *shown, *more, *(f"  {line}" for line in late(result))])


def markdown(result: Result, violations: Sequence[Violation]) -> str:
    """Return everything as a part of a page."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    table = ["| " + " | ".join(row) + " |" for row in rows(result)]
    figures = [f"- {name}: {value}" for name, value in summary(result, violations).items()]
    return "\n".join([f"### Seed {result.plan.seed}", "", *head, *table, "", *figures, ""])
