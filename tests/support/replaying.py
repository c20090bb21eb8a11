"""Replaying, and looking at every table to see what changed."""

from datetime import timedelta
from typing import Any

from harness import CONFIG, Harness
from sending import UNCLEAR, Calls, book_all_of, deliver

from gateway.domain.attribution import Attribution
from gateway.domain.delivery import Answer
from gateway.flows.replay import Done, Selection
from gateway.flows.replay_plan import Plan, apply, make, sites_of
from gateway.sdk import RevenueKind

SHORT = "retry: {{schedule: [5s]}}\n" + CONFIG
PAYMENTS = SHORT.replace(
    """{{api: revenue, url: "{faurya}", site_id: acme-site, write_key: acme-write-key, forward_test: false,
             forward_refunds: true}}""",
    """{{api: payments, url: "{faurya}", api_key: acme-api-key, currencies: any}}""",
)
"""The site acme gives up after two attempts, in each dialect."""

USUAL = frozenset({"dead", "rejected", "unreadable"})
EVERYTHING = frozenset(
    {"pending", "recorded", "already_recorded", "recorded_assumed", "unattributed", "skipped", *USUAL}
)
TABLES = ("checkouts", "inbox", "ledger", "outbox", "attempts", "holds", "refusals", "sites")


def selection(query: str | None = None, visitor: str | None = None, **what: Any) -> Selection:
    who = Attribution(visitor_id=visitor) if visitor else None
    return Selection(**{"statuses": EVERYTHING if query else USUAL, "visitor": who, **what})


async def planned(
    gateway: Harness,
    query: str | None = None,
    visitor: str | None = None,
    *,
    sites: list[str] | None = None,
    **what: Any,
) -> Plan:
    """The plan of a replay; nothing is changed."""
    context, live = gateway.gateway.context, gateway.gateway.live
    asked = sites or await sites_of(context, live)
    growing = [plan async for plan in make(context, live, asked, query, selection(query, visitor, **what))]
    return growing[-1]


async def applied(gateway: Harness, plan: Plan, visitor: str | None = None) -> Done:
    """Carry a plan out; what was done, added up."""
    context, live = gateway.gateway.context, gateway.gateway.live
    done = [part async for part in apply(context, live, plan, selection(visitor=visitor))]
    return Done(
        deliveries=sum(part.deliveries for part in done),
        webhooks=sum(part.webhooks for part in done),
        changed=sum(part.changed for part in done),
    )


async def replayed(gateway: Harness, query: str | None = None, visitor: str | None = None, **what: Any) -> Done:
    return await applied(gateway, await planned(gateway, query, visitor, **what), visitor)


async def contents(gateway: Harness) -> dict[str, Any]:
    """Every row of every table."""
    return {table: await gateway.rows(f"SELECT * FROM {table} ORDER BY {table}::text") for table in TABLES}


def told(plan: Plan) -> list[tuple[str, str, str]]:
    """Key, before and after of the deliveries that would change."""
    return [(row.delivery.entry.event.key, row.before, row.after) for row in plan.deliveries]


def left(plan: Plan) -> dict[str, str]:
    """Why rows are left alone."""
    return {
        row.delivery.entry.event.key if hasattr(row, "delivery") else row.place[1]: row.after for row in plan.left_alone
    }


async def sold(gateway: Harness, *payments: str, kind: RevenueKind = RevenueKind.PURCHASE, **what: Any) -> None:
    for payment in payments:
        await gateway.happen(kind, payment_id=payment, settle=False, **what)
    await book_all_of(gateway)


async def end(gateway: Harness, *answers: Answer) -> None:
    """Deliver until nothing is due any more, however long that takes."""
    for answer in answers:
        await deliver(gateway, Calls([answer]))
        gateway.clock.forward(timedelta(days=2))


async def dead(gateway: Harness, *payments: str, **what: Any) -> None:
    await sold(gateway, *payments, **what)
    await end(gateway, UNCLEAR, UNCLEAR)


def keys_of(calls: Calls) -> list[str]:
    return [value for request in calls.asked for name, value in request.headers if name == "Idempotency-Key"]
