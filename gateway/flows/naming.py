"""An id as `trace` knows it becomes the deliveries and the unreadable webhooks that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.revenue import RevenueKind
from gateway.domain.text import is_storable
from gateway.flows.verdict import replay_command
from gateway.store import stories
from gateway.store.pool import Database
from gateway.store.stories import MOST_ROWS, Found

SALES = (RevenueKind.PURCHASE.value, RevenueKind.RENEWAL.value)


class CannotName(Exception):
    """The id names nothing that can be given a visitor; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Places of what an id names at one site. `partial`: there is more than one story holds, or a search gave up."""

    deliveries: Sequence[tuple[str, str]]
    webhooks: Sequence[tuple[str, str]]
    partial: bool


async def find_named(database: Database, sites: Sequence[str], query: str) -> dict[str, Named]:
    """Return what the id names, by site; empty where nobody knows it."""
    if not is_storable(query):
        return {}
    async with database.reading() as connection:
        found = {site: await stories.find(connection, site, query) for site in sites}
    return {site: _named(query, story) for site, story in found.items() if story}


async def find_sales(database: Database, sites: Sequence[str], query: str) -> dict[str, Named]:
    """Return the sales of one site that the id names, to be given a visitor; raise `CannotName` for anything else."""
    if not is_storable(query):
        raise CannotName("no site of this gateway knows this id")
    async with database.reading() as connection:
        found = {site: await stories.find(connection, site, query) for site in sites}
    lines = {site: _movements(query, story.ledger) for site, story in found.items() if story}
    sales = {site: [row for row in rows if row["kind"] in SALES] for site, rows in lines.items()}
    if not any(sales.values()):
        raise CannotName(_no_sale(lines))
    (site, own), *others = [(site, rows) for site, rows in sales.items() if rows]
    if others:
        places = ", ".join(sorted([site, *(other for other, _ in others)]))
        raise CannotName(f"the id is known at {places}: choose with --site")
    return {site: Named(deliveries=_places(own), webhooks=(), partial=len(found[site].ledger) >= MOST_ROWS)}


def _no_sale(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    row = next((row for rows in lines.values() for row in rows), None)
    if row is not None:
        kind = row["kind"].replace("_", " ")
        instead = replay_command(row["payment_id"], attribute=True)
        return f"{row['revenue_key']} is a {kind}, and takes its visitor from its sale: {instead}"
    if lines:
        return "no sale is booked under this id, so there is nothing to attribute"
    return "no site of this gateway knows this id"


def _named(query: str, found: Found) -> Named:
    exact = [row for row in found.webhooks if query in (row["event_id"], row["event_key"], str(row["id"]))]
    unreadable = [row for row in exact or found.webhooks if row["outcome"] == "unreadable"]
    return Named(
        deliveries=_places(_movements(query, found.ledger)),
        webhooks=[(row["connection"], row["event_key"]) for row in unreadable],
        partial=not found.searched or max(len(found.ledger), len(found.webhooks)) >= MOST_ROWS,
    )


def _movements(query: str, ledger: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the movements that are named exactly (a revenue key, a refund, an event), else the whole story's."""
    exact = [
        row
        for row in ledger
        if query in (row["revenue_key"], row["event_key"])
        or (row["kind"] not in SALES and row["revenue_key"].partition(":")[2] == query)
    ]
    return exact or list(ledger)


def _places(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return sorted((row["connection"], row["revenue_key"]) for row in rows)
