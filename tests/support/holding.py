"""Sites on hold: what the database says of one, and the way to its next probe."""

from datetime import timedelta
from typing import Any

from harness import Harness
from sending import book_all_of

from gateway.sdk import Attribution, RevenueKind


async def hold_of(gateway: Harness) -> dict[str, Any] | None:
    rows = await gateway.rows("SELECT reason, until, probes, probe_until FROM holds")
    return rows[0] if rows else None


async def wait_of(gateway: Harness) -> float:
    """Seconds until the next probe."""
    hold = await hold_of(gateway)
    assert hold is not None
    return float((hold["until"] - gateway.clock()).total_seconds())


async def book_sales(gateway: Harness, count: int, site: str = "acme") -> None:
    who = Attribution(visitor_id="bert")
    for number in range(1, count + 1):
        await gateway.happen(RevenueKind.PURCHASE, site=site, payment_id=f"p{number}", attribution=who, settle=False)
    await book_all_of(gateway, site)


async def to_the_probe(gateway: Harness) -> None:
    gateway.clock.forward(timedelta(seconds=await wait_of(gateway)))
