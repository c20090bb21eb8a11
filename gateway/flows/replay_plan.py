"""The whole plan of a replay, over all sites that are asked about, and what was done of it. Values."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.flows.context import Context
from gateway.flows.holding import standing
from gateway.flows.naming import Named, find_named, find_sales
from gateway.flows.replay import Done, Selection, carry_out, plan
from gateway.flows.replay_rows import DeliveryRow, HeirRow, Row, WebhookRow
from gateway.plugins import Live
from gateway.store import reports


@dataclass(slots=True)
class Plan:
    """
    Rows by site. `held` says why deliveries of a site will wait although they are taken up.

    `is_known` False: no site knows the id; `is_partial`: the id names more than was looked at.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    is_known: bool = True
    is_partial: bool = False
    held: dict[str, str] = field(default_factory=dict)

    @property
    def all_rows(self) -> list[Row]:
        """Every row, by site."""
        return [row for rows in self.rows.values() for row in rows]

    @property
    def deliveries(self) -> list[DeliveryRow]:
        """Deliveries that would be taken up."""
        return [row for row in self.all_rows if isinstance(row, DeliveryRow) and row.changes]

    @property
    def webhooks(self) -> list[WebhookRow]:
        """Webhooks that would be read again."""
        return [row for row in self.all_rows if isinstance(row, WebhookRow) and row.changes]

    @property
    def heirs(self) -> list[HeirRow]:
        """Sales and refunds that would inherit a visitor."""
        return [row for row in self.all_rows if isinstance(row, HeirRow)]

    @property
    def left_alone(self) -> list[DeliveryRow | WebhookRow]:
        """What stays as it is, with the reason."""
        return [row for row in self.all_rows if not isinstance(row, HeirRow) and not row.changes]

    @property
    def size(self) -> int:
        """How many rows would be changed by being taken up."""
        return len(self.deliveries) + len(self.webhooks)

    @property
    def has_problem(self) -> bool:
        """Whether something that was asked for cannot be replayed before somebody mends something."""
        return not self.is_known or any(row.is_problem for row in self.left_alone)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "known": self.is_known,
            "partial": self.is_partial,
            "held": self.held,
            "deliveries": [row.as_json() for row in self.deliveries],
            "webhooks": [row.as_json() for row in self.webhooks],
            "inherits": [row.as_json() for row in self.heirs],
            "left_alone": [row.as_json() for row in self.left_alone],
        }


async def sites_of(context: Context, live: Live) -> list[str]:
    """Return every site there is: the configured ones, and others that the database has rows of."""
    async with context.database.reading() as connection:
        return sorted({*live.config.sites, *(site for site, _ in await reports.places(connection))})


async def make(
    context: Context, live: Live, sites: Sequence[str], query: str | None, selection: Selection
) -> AsyncIterator[Plan]:
    """
    Yield the plan as it grows, the last time complete. Nothing is changed.

    Raises `CannotName` where a visitor is given to what is no sale.
    """
    growing = Plan()
    named: dict[str, Named | None] = dict.fromkeys(sites)
    if query is not None:
        look_up = find_named if selection.visitor is None else find_sales
        found = await look_up(context.database, sites, query.strip())
        growing.is_known = bool(found)
        growing.is_partial = any(one.partial for one in found.values())
        named = dict(found)
    for site, names in named.items():
        async for rows in plan(context, live, site, selection, names):
            if rows:
                growing.rows.setdefault(site, []).extend(rows)
            yield growing
    holds = await standing(context.database, sites, context.now())
    waiting = {row.site for row in growing.deliveries}
    growing.held = {hold.hold.site: hold.why for hold in holds if hold.hold.site in waiting}
    yield growing


async def apply(context: Context, live: Live, made: Plan, selection: Selection) -> AsyncIterator[Done]:
    """Carry the plan out, batch by batch, site by site."""
    for site, rows in made.rows.items():
        async for done in carry_out(context, live, site, rows, selection.visitor):
            yield done
