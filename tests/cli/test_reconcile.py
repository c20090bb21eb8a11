"""`faurya-gateway reconcile`: run as a person would, against a provider's stand-in."""

import asyncio
import os
import pty
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import typer
from harness import Clock, Harness, harness
from sweeping import lines, lost

from gateway.cli.reconcile import _moment
from gateway.sdk import Attribution, Money, RevenueKind
from tests.cli.commands import Folder, arguments, environment

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
PLACE = "acme/example"


@pytest_asyncio.fixture(name="shop")
async def _shop(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Folder]]:
    """A gateway at the present time, and its folder."""
    async with harness(database_url, tmp_path, with_worker=False, clock=Clock(datetime.now(UTC))) as gateway:
        yield gateway, Folder(tmp_path, 0)


async def test_missing_sales_are_shown_then_booked_then_there(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    await lost(gateway, attribution=Attribution(visitor_id="anna"))
    await lost(gateway, RevenueKind.REFUND, amount=Money(900, "USD"))
    shown = await folder.run("reconcile", PLACE, "--since", "1d")
    assert (shown.code, shown.err) == (1, "")
    assert "acme/example from " in shown.out
    assert "UTC: 2 movements listed" in shown.out
    assert "missing: no webhook brought them and they are not in the ledger" in shown.out
    assert "missing  payment:pay_1  purchase  49.00 USD" in shown.out
    assert "Nothing was written. Next: faurya-gateway reconcile acme/example --since 1d --apply" in shown.out
    assert await lines(gateway) == []
    applied = await folder.run("reconcile", PLACE, "--since", "1d", "--apply")
    assert (applied.code, applied.err.count("sweep.")) == (0, 0)
    assert "missing before, booked now" in applied.out
    assert applied.out.endswith("The provider and the ledger agree.\n")
    assert await lines(gateway, "revenue_key, visitor_id, source") == [
        ("payment:pay_1", "anna", "sweep"),
        ("refund:ref_1", "anna", "sweep"),
    ]
    again = await folder.run("reconcile", PLACE, "--json")
    assert (again.code, again.json["agrees"], again.json["already"], again.json["missing"]) == (0, True, 2, 0)
    traced = await folder.run("trace", "pay_1")
    assert "No webhook brought it: it was found in the provider's own list (a sweep)." in traced.out


async def test_a_ledger_that_the_provider_does_not_confirm_is_a_problem(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    await lost(gateway)
    await folder.run("reconcile", PLACE, "--apply")
    for table in ("ledger", "outbox"):
        await gateway.rows(f"UPDATE {table} SET revenue_key = 'payment:other', payment_id = 'other'")
    found = await folder.run("reconcile", PLACE, "--apply")
    assert found.code == 1
    assert "unlisted  payment:other" in found.out
    assert found.out.endswith("The provider and the ledger do not agree.\n")


async def test_a_difference_is_shown_with_both_amounts(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    await lost(gateway)
    await folder.run("reconcile", PLACE, "--apply")
    await gateway.rows("UPDATE ledger SET amount_minor = 1")
    found = await folder.run("reconcile", PLACE)
    assert found.code == 1
    assert "differs  payment:pay_1  purchase  49.00 USD  0.01 USD" in found.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["acme"], "there is no connection 'acme' (there are: acme/example, acme/sandbox, globex/example)"),
        (["acme/paddle"], "there is no connection 'acme/paddle'"),
        ([PLACE, "--since", "soon"], "write a duration (12h, 7d) or a date"),
        ([PLACE, "--since", "2999-01-01"], "lies in the future, or more than ten years ago"),
    ],
)
async def test_a_wrong_word_is_a_usage_error(words: list[str], says: str, shop: tuple[Harness, Folder]) -> None:
    found = await shop[1].run("reconcile", *words)
    assert found.code == 2
    told = " ".join(found.err.replace("│", " ").split())
    assert says in told


async def test_a_provider_that_refuses_is_told_in_a_sentence(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    text = folder.config.read_text().replace(gateway.provider_url, gateway.url)  # an address that knows no events
    folder.config.write_text(text)
    found = await folder.run("reconcile", PLACE)
    assert found.code == 1
    assert found.err.startswith("error: acme/example: ")
    assert found.err.endswith("what was booked is kept, run it again to go on\n")


async def test_a_long_report_is_cut_and_json_has_it_all(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    await asyncio.gather(*(lost(gateway, number=number) for number in range(203)))
    found, whole = await asyncio.gather(folder.run("reconcile", PLACE), folder.run("reconcile", PLACE, "--json"))
    assert "... and 3 more: --json has them all" in found.out
    assert len(whole.json["movements"]) == 203


async def test_on_a_terminal_it_says_how_far_it_is(shop: tuple[Harness, Folder]) -> None:
    gateway, folder = shop
    await lost(gateway)
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *arguments("reconcile", PLACE), cwd=folder.path, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=slave
    )
    os.close(slave)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    told = os.read(master, 4096).decode()
    os.close(master)
    assert "1 pages, 1 movements" in told
    assert b"1 movement listed" in out


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("2026-08-01", datetime(2026, 8, 1, tzinfo=UTC)),
        ("2026-08-01T12:30", datetime(2026, 8, 1, 12, 30, tzinfo=UTC)),
        ("2026-08-01T12:30+02:00", datetime(2026, 8, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_since_is_a_duration_or_a_date_in_utc(since: str, moment: datetime) -> None:
    assert _moment(since, NOW) == moment


@pytest.mark.parametrize("since", ["", "7", "yesterday", "0s", "2016-01-01", "2026-09-01T12:00", "9999d"])
def test_other_words_are_refused(since: str) -> None:
    with pytest.raises(typer.BadParameter):
        _moment(since, NOW)
