"""The provider's list against the ledger, for a person: what is missing, what differs, and booking it when asked to."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import START, Harness, harness
from sweeping import HOUR, MINUTE, lines, listing, lost, movement, opened, pages, read

from gateway.flows.compare import CONFLICTS, unless_deadlocked
from gateway.flows.pace import Paces
from gateway.flows.reconcile import MARGIN, TRIES, Reconciliation, reconcile
from gateway.plugins import PluginFault
from gateway.sdk import Money, Page, Rejected, RevenueKind, Unavailable
from gateway.store.pool import StoreConflict

REFUND = RevenueKind.REFUND


async def compared(
    gateway: Harness, name: str = "scripted", *, since: timedelta = HOUR, apply: bool = False, **what: Any
) -> Reconciliation:
    running = gateway.gateway
    return await reconcile(
        running.context,
        running.live,
        opened(gateway, name),
        gateway.clock() - since,
        apply=apply,
        paces=Paces(seconds=0),
        progress=what.get("progress", lambda pages, movements: None),
    )


def results(found: Reconciliation) -> dict[str, str]:
    return {movement["key"]: movement["result"] for movement in found.as_json()["movements"]}


async def booked(gateway: Harness, plugin: scripted.Scripted, *events: Any) -> None:
    """Let a webhook bring these movements."""
    plugin.readings["evt"] = list(events)
    await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "evt"})
    await read(gateway)


async def test_without_apply_nothing_is_written(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in range(150):
            await lost(gateway, number=number)
        told: list[Any] = []
        found = await compared(gateway, "example", progress=lambda *so_far: told.append(so_far))
        assert await lines(gateway) == []
        assert await gateway.rows("SELECT * FROM outbox") == []
        assert (found.agrees, found.pages, told) == (False, 2, [(1, 100), (2, 150)])
        report = found.as_json()
        assert (report["missing"], report["already"], report["listed"], "booked" in report) == (150, 0, 150, False)
        assert report["movements"][0] == {
            "key": "payment:pay_0",
            "kind": "purchase",
            "result": "missing",
            "amount_minor": 4900,
            "currency": "USD",
            "occurred_at": "2026-09-01T11:30:00+00:00",
            "test": False,
        }


async def test_apply_books_what_is_missing_and_a_second_time_nothing(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in range(3):
            await lost(gateway, number=number)
        found = await compared(gateway, "example", apply=True)
        assert (found.agrees, found.as_json()["booked"]) == (True, 3)
        assert await lines(gateway, "count(*), min(source)") == [(3, "sweep")]
        again = await compared(gateway, "example", apply=True)
        assert (again.agrees, again.as_json()["booked"], again.as_json()["already"]) == (True, 0, 3)
        assert (await compared(gateway, "example")).agrees


async def test_a_late_webhook_of_an_applied_sale_counts_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        body = await lost(gateway)
        await compared(gateway, "example", apply=True)
        await gateway.send(body)
        await read(gateway)
        assert await gateway.inbox() == [("ignored", "already_booked")]


async def test_what_would_be_booked_counts_as_known_on_later_pages(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        refund = movement(gateway, "refund:r1", kind=REFUND, amount=Money(1, "USD"))
        plugin.listing = pages([movement(gateway)], [refund])
        assert results(await compared(gateway)) == {"payment:p1": "missing", "refund:r1": "missing"}
        plugin.listing = pages([refund], [movement(gateway)])
        assert results(await compared(gateway)) == {"payment:p1": "missing", "refund:r1": "missing"}
        assert await lines(gateway) == []


async def test_figures_that_would_be_filled_in_are_no_difference(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        await booked(gateway, plugin, movement(gateway))
        better = movement(gateway, tax=Money(100, "USD"))
        plugin.listing = pages([better], [better])
        found = await compared(gateway)
        assert (found.agrees, results(found)) == (True, {"payment:p1": "already"})
        assert await lines(gateway, "tax_minor") == [(None,)]
        await compared(gateway, apply=True)
        assert await lines(gateway, "tax_minor") == [(100,)]


async def test_amounts_that_differ_and_lines_that_nobody_listed_are_told(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        await booked(gateway, plugin, movement(gateway), movement(gateway, "payment:p2", payment_id="p2"))
        plugin.listing = pages([movement(gateway, amount=Money(900, "USD"))])
        for apply in (False, True):
            found = await compared(gateway, apply=apply)
            report = found.as_json()
            assert (found.agrees, report["differs"], report["unlisted"]) == (False, 1, 1)
            assert report["movements"][0]["in_ledger"] == {"amount_minor": 1000, "currency": "USD"}
            assert [line["key"] for line in report["unlisted_movements"]] == ["payment:p2"]
        assert await lines(gateway, "amount_minor") == [(1000,), (1000,)]


async def test_the_edges_of_the_window_make_no_differences(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        before = movement(gateway, "payment:before", payment_id="before", occurred_at=START - HOUR - MINUTE)
        known = movement(gateway, "payment:known", payment_id="known", occurred_at=START - HOUR - MINUTE)
        edge = movement(gateway, "payment:edge", payment_id="edge", occurred_at=START - HOUR)
        young = movement(gateway, "payment:young", payment_id="young", occurred_at=START - MINUTE)
        unseen = movement(gateway, "payment:unseen", payment_id="unseen", occurred_at=START - MINUTE)
        await booked(gateway, plugin, known, edge, unseen)
        asked: list[Any] = []

        def listed(since: Any, _cursor: Any) -> Page:
            asked.append(since)
            return Page(events=[before, known, edge, young])

        plugin.listing = listed
        found = await compared(gateway)
        assert asked == [START - HOUR - MARGIN]
        assert (found.agrees, results(found)) == (True, {"payment:edge": "already", "payment:young": "recent"})
        assert found.as_json()["listed"] == 2


async def test_of_running_totals_the_steps_need_not_be_listed(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:

        def refunded(total: int, payment: str = "p1") -> Any:
            key = f"refunds:{payment}:{total}"
            return movement(gateway, key, payment_id=payment, kind=REFUND, amount=Money(total, "USD"), cumulative=True)

        await booked(gateway, plugin, movement(gateway))
        await booked(gateway, plugin, movement(gateway), refunded(300))
        plugin.readings["evt2"] = [refunded(300), refunded(500)]
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "evt2"})
        await read(gateway)
        plugin.listing = pages([movement(gateway), refunded(500)])
        found = await compared(gateway)
        assert (found.agrees, len(await lines(gateway))) == (True, 3)


async def test_a_list_that_does_not_reach_back_so_far_says_so(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    plugin.listing_days = 2  # type: ignore[attr-defined]
    async with listing(database_url, tmp_path, plugin) as gateway:
        forgotten = movement(gateway, occurred_at=START - timedelta(days=3))
        await booked(gateway, plugin, forgotten)
        plugin.listing = pages([])
        found = await compared(gateway, since=timedelta(days=4))
        assert (found.agrees, found.lists_since) == (True, START - timedelta(days=2))
        assert found.as_json()["lists_since"] == "2026-08-30T12:00:00+00:00"
        assert (await compared(gateway, since=HOUR)).lists_since is None


@pytest.mark.parametrize("days", [None, "90", True, 0, -1, 10**9])
async def test_an_odd_reach_is_passed_over(days: Any, database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    plugin.listing_days = days  # type: ignore[attr-defined]
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([])
        assert (await compared(gateway, since=timedelta(days=4))).lists_since is None


async def test_a_short_pause_is_waited_for_and_a_long_one_told(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        short = Unavailable("429", retry_after=timedelta(seconds=0.01))
        answers: list[Any] = [short, short, Page(events=[movement(gateway)])]
        plugin.listing = lambda _since, _cursor: answers.pop(0)
        assert (await compared(gateway)).as_json()["missing"] == 1
        answers[:] = [short] * (TRIES + 1)
        with pytest.raises(Unavailable):
            await compared(gateway)
        assert len(answers) == 1
        answers[:] = [Unavailable("429", retry_after=HOUR)]
        with pytest.raises(Unavailable):
            await compared(gateway)


async def test_what_was_booked_before_trouble_stays_and_the_next_run_goes_on(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        both = pages([movement(gateway)], [movement(gateway, "payment:p2", payment_id="p2")])
        plugin.listing = lambda since, cursor: Rejected("no") if cursor else both(since, cursor)
        with pytest.raises(Rejected):
            await compared(gateway, apply=True)
        assert len(await lines(gateway)) == 1
        plugin.listing = both
        found = await compared(gateway, apply=True)
        assert (found.agrees, len(await lines(gateway))) == (True, 2)


async def test_a_list_that_leads_round_in_circles_ends_with_the_plugins_name(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, cursor: Page(next_cursor="b" if cursor == "a" else "a")
        with pytest.raises(PluginFault, match="'scripted' leads round in circles"):
            await compared(gateway)


async def test_what_still_waits_for_its_sale_is_no_disagreement(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway, "refund:r1", kind=REFUND, amount=Money(1, "USD"))])
        found = await compared(gateway, apply=True)
        assert (found.agrees, results(found)) == (True, {"refund:r1": "waiting"})


async def test_a_line_that_would_be_filled_does_not_hide_a_renewal(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:

        def month(number: int, **what: Any) -> Any:
            kind = RevenueKind.RENEWAL if number else RevenueKind.PURCHASE
            key = f"payment:m{number}"
            return movement(gateway, key, kind=kind, payment_id=f"m{number}", subscription_id="s1", **what)

        await booked(gateway, plugin, month(0), month(1))
        await gateway.rows("UPDATE outbox SET status = 'recorded', due_at = NULL")
        plugin.listing = pages([month(0), month(1, tax=Money(1, "USD"))], [month(2)])
        assert results(await compared(gateway)) == {
            "payment:m0": "already",
            "payment:m1": "already",
            "payment:m2": "missing",
        }


@pytest.mark.parametrize(("deadlocks", "ends_well"), [(0, True), (CONFLICTS, True), (CONFLICTS + 1, False)])
async def test_a_deadlock_is_tried_again_a_few_times(deadlocks: int, ends_well: bool) -> None:
    left = [StoreConflict("deadlock")] * deadlocks

    async def work() -> str:
        if left:
            raise left.pop()
        return "done"

    if ends_well:
        assert await unless_deadlocked(work) == "done"
    else:
        with pytest.raises(StoreConflict):
            await unless_deadlocked(work)
