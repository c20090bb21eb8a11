"""What `check` says about sweeps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from sweeping import again, begin, listing, movement, pages, swept

from gateway.flows.check import look, of_database
from gateway.flows.sweep_findings import of_sweeps
from gateway.sdk import Money, Rejected
from gateway.store.sweeps import SweepRow

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHEN = "2026-09-01 11:00:00 UTC"
ARRIVE = "the provider's webhooks do not all arrive; compare its deliveries with this gateway's address"
OTHER = "another amount at the provider than in the ledger, which keeps its own"


def row(**what: Any) -> SweepRow:
    values: dict[str, Any] = {
        "site": "acme",
        "connection": "example",
        "begins_at": NOW - DAY,
        "watermark": NOW - HOUR,
        "since": None,
        "started_at": NOW - HOUR,
        "finished_at": NOW - HOUR,
        "due_at": NOW,
        "failures": 0,
        "problem": None,
        "booked": 0,
        "booked_total": 0,
        "booked_at": None,
        "differing": 0,
        "differences": None,
    }
    return SweepRow(**{**values, **what})


@pytest.mark.parametrize(
    ("what", "level", "text"),
    [
        ({}, "fine", f"the provider's list was last read at {WHEN}"),
        ({"finished_at": None, "due_at": NOW - HOUR}, "fine", f"the first sweep is due at {WHEN}"),
        (
            {"failures": 2, "problem": "the key is refused"},
            "warning",
            "the provider's list could not be read 2 times in a row: the key is refused",
        ),
        (
            {"failures": 3, "problem": "the key is refused"},
            "problem",
            "the provider's list could not be read 3 times in a row: the key is refused",
        ),
        (
            {"problem": "This provider has no such thing."},
            "note",
            "the provider lists nothing, so lost webhooks are not found: This provider has no such thing.",
        ),
        ({"since": NOW - DAY, "started_at": NOW - HOUR}, "fine", f"the provider's list was last read at {WHEN}"),
        (
            {"since": NOW - 3 * DAY, "started_at": NOW - HOUR - DAY},
            "warning",
            "the sweep of 2026-08-31 11:00:00 UTC has not come to the end of the provider's list",
        ),
    ],
)
def test_the_state_of_a_connections_sweeps(what: dict[str, Any], level: str, text: str) -> None:
    (found,) = of_sweeps([row(**what)], NOW)
    assert (found.level, found.about, found.text) == (level, "acme/example", text)


@pytest.mark.parametrize(
    ("what", "level", "text"),
    [
        (
            {"booked": 3, "booked_total": 7, "booked_at": NOW - HOUR},
            "warning",
            f"7 movements were booked that no webhook brought, the last at {WHEN} (3 by the last sweep): {ARRIVE}",
        ),
        (
            {"booked": 0, "booked_total": 1, "booked_at": NOW - HOUR},
            "warning",
            f"1 movement was booked that no webhook brought, the last at {WHEN}: {ARRIVE}",
        ),
        (
            {"booked_total": 7, "booked_at": NOW - HOUR - DAY},
            "note",
            "7 movements were booked that no webhook brought, the last at 2026-08-31 11:00:00 UTC",
        ),
        (
            {"differing": 4, "differences": '[["payment:p1","10.00 USD","9.99 USD"]]'},
            "warning",
            f"4 movements have {OTHER} (payment:p1: 10.00 USD in the ledger, 9.99 USD listed)",
        ),
        ({"differing": 1}, "warning", f"1 movement has {OTHER} ()"),
    ],
)
def test_what_sweeps_found_is_told_while_it_matters(what: dict[str, Any], level: str, text: str) -> None:
    _, found = of_sweeps([row(**what)], NOW)
    assert (found.level, found.text) == (level, text)


async def test_check_reads_what_sweeps_left(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:

        async def told() -> list[tuple[str, str]]:
            running = gateway.gateway
            seen = await look(running.context.database, running.live.config, gateway.clock())
            found = of_database(seen, gateway.clock())
            return [(each.level, each.text) for each in found if each.about == "acme/scripted"]

        plugin.listing = pages([movement(gateway)])
        await begin(gateway)
        await swept(gateway)
        plugin.listing = pages([movement(gateway, amount=Money(1, "USD"))])
        await again(gateway)
        plugin.listing = lambda _since, _cursor: Rejected("the key is refused")
        for _ in range(3):
            await again(gateway)
        state, found, differing = await told()
        assert state == ("problem", "the provider's list could not be read 3 times in a row: the key is refused")
        assert found[0] == "warning"
        assert differing[0] == "warning"
        assert "payment:p1: 10.00 USD in the ledger, 0.01 USD listed" in differing[1]
