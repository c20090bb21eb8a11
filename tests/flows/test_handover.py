"""One endpoint for many accounts: each event ends at the site that claims its account."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from harness import CONFIG, Harness, harness

from gateway.sdk import RevenueKind

SHARED = CONFIG.replace(
    "{{environment: live, api_key: example-key-acme,",
    "{{environment: live, claims: [acct_acme], api_key: example-key-acme,",
).replace(
    "{{environment: live, api_key: example-key-globex,",
    "{{environment: live, claims: [acct_globex], api_key: example-key-globex,",
)


@pytest_asyncio.fixture(name="shared")
async def _shared(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with harness(database_url, tmp_path, text=SHARED) as running:
        yield running


async def _send(shared: Harness, account: str, times: int = 1) -> None:
    body = shared.provider().sample(
        RevenueKind.PURCHASE, event_id=f"evt_{account}", payment_id=f"pay_{account}", account=account, simulated=False
    )
    for _ in range(times):
        assert (await shared.send(body)).status == 200
    await shared.settled()


async def _ends(shared: Harness) -> list[tuple[str, str, str | None]]:
    rows = await shared.rows("SELECT site, outcome, reason FROM inbox ORDER BY site")
    return [(row["site"], row["outcome"], row["reason"]) for row in rows]


async def test_an_account_of_this_site_stays_here(shared: Harness) -> None:
    await _send(shared, "acct_acme")
    assert await _ends(shared) == [("acme", "booked", None)]


async def test_an_account_that_another_site_claims_is_booked_there(shared: Harness) -> None:
    await _send(shared, "acct_globex", times=3)
    assert await _ends(shared) == [("acme", "ignored", "other_site"), ("globex", "booked", None)]
    ledger = await shared.rows("SELECT site, revenue_key FROM ledger")
    assert ledger == [{"site": "globex", "revenue_key": "payment:pay_acct_globex"}]


async def test_an_account_that_nobody_claims_is_nobody_s(shared: Harness) -> None:
    await _send(shared, "acct_unknown")
    assert await _ends(shared) == [("acme", "ignored", "other_site")]


async def test_events_without_an_account_are_not_copied(shared: Harness) -> None:
    body = shared.provider().sample(RevenueKind.PURCHASE, simulated=False)
    assert (await shared.send(body)).status == 200
    await shared.settled()
    assert [site for site, _, _ in await _ends(shared)] == ["acme"]
