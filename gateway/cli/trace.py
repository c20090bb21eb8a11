"""`faurya-gateway trace ID`: why is this sale unattributed, counted twice, the wrong amount, or missing?"""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath
from gateway.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Config
    from gateway.flows.trace import Story

Id = Annotated[str, typer.Argument(metavar="ID", help="An order, payment, refund, event, checkout or visitor id.")]
Site = Annotated[str | None, typer.Option(help="Look at this site only.")]

STYLES = {
    "attributed": "bold green",
    "unattributed": "bold yellow",
    "pending": "bold cyan",
    "held": "bold yellow",
    "rejected": "bold red",
    "dead": "bold red",
    "skipped": "bold cyan",
    "not_revenue": "bold cyan",
    "unknown": "bold red",
}


def trace(query: Id, site: Site = None, config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """
    Tell the whole story of an id, and one verdict.

    Exit 0 where the id is known, 1 where it is not. Times are UTC.
    """
    _, loaded = load(config)
    if site is not None and site not in loaded.sites:
        known = ", ".join(sorted(loaded.sites))
        raise typer.BadParameter(f"there is no site {site!r} (there are: {known})", param_hint="--site")
    story = asyncio.run(_trace(loaded, [site] if site else sorted(loaded.sites), query))
    if as_json:
        show_json(story.as_json())
    else:
        _show(story)
    if story.verdict.word == "unknown":
        raise typer.Exit(1)


async def _trace(config: "Config", sites: "Sequence[str]", query: str) -> "Story":
    from gateway.app.database import opened_database
    from gateway.flows.trace import trace as told

    async with opened_database(config, size=1) as database:
        return await told(database, sites, query)


def _show(story: "Story") -> None:
    word = story.verdict.word
    say(f"{word.upper()}: {story.verdict.reason}", STYLES[word])
    checkout = story.checkout
    if checkout:
        columns = ["site", "order", "plan", "checkout", "attribution", "state", "created"]
        row = [
            story.site,
            checkout["order_id"],
            checkout["plan"],
            checkout["checkout_id"],
            _ids(checkout["attribution"]),
            checkout["problem"] or checkout["state"],
            _time(checkout["created_at"]),
        ]
        show_table("Checkout", columns, [row])
    show_table("Webhooks", ["connection", "event", "type", "received", "seen", "outcome"], _webhooks(story))
    columns = ["key", "kind", "amount", "order", "attribution", "found by", "occurred", "from"]
    show_table("Revenue", columns, _revenue(story))
    columns = ["key", "status", "amount", "recorded", "next attempt", "attempts"]
    show_table("Deliveries", columns, _deliveries(story))
    show_table("Attempts", ["key", "at", "status", "verdict", "ms", "answer"], _attempts(story))


def _webhooks(story: "Story") -> "list[list[Any]]":
    return [
        [
            row["connection"],
            row["event_id"] or row["id"],
            row["event_type"],
            _time(row["received_at"]),
            row["seen"],
            _with_reason(row["outcome"], row["reason"]) + (f" ({row['detail']})" if row["detail"] else ""),
        ]
        for row in story.webhooks
    ]


def _revenue(story: "Story") -> "list[list[Any]]":
    return [
        [
            row["key"],
            row["kind"] + (" (test)" if row["test"] else ""),
            _amount(row["amount_minor"], row["currency"]),
            row["order_id"],
            _ids(row["attribution"]),
            row["attribution_source"],
            _time(row["occurred_at"]),
            row["source"],
        ]
        for row in story.revenue
    ]


def _deliveries(story: "Story") -> "list[list[Any]]":
    currencies = {(row["connection"], row["key"]): row["currency"] for row in story.revenue}
    return [
        [
            row["key"],
            _with_reason(row["status"], row["reason"]),
            _amount(row["amount_minor"], currencies[row["connection"], row["key"]]),
            _time(row["recorded_at"]),
            _time(row["next_attempt_at"]),
            len(row["attempts"]),
        ]
        for row in story.deliveries
    ]


def _attempts(story: "Story") -> "list[list[Any]]":
    return [
        [
            row["key"],
            _time(attempt["at"]),
            attempt["status_code"],
            attempt["verdict"] or "unclear",
            attempt["milliseconds"],
            attempt["answer"],
        ]
        for row in story.deliveries
        for attempt in row["attempts"]
    ]


def _with_reason(word: str, reason: str | None) -> str:
    return f"{word}: {reason}" if reason else word


def _amount(minor: int | None, currency: str) -> str | None:
    from gateway.domain.money import Money

    return None if minor is None else str(Money(minor, currency))


def _time(iso: str | None) -> str | None:
    from datetime import datetime

    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S}" if iso else None


def _ids(attribution: "Mapping[str, str | None]") -> str:
    names = {"visitor_id": "visitor", "session_id": "session", "token": "token"}
    return ", ".join(f"{shown} {attribution[name]}" for name, shown in names.items() if attribution[name])
