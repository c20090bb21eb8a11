"""What no webhook brought is found in the provider's own list, and booked once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import CONFIG, START, Harness, harness
from structlog.testing import capture_logs
from sweeping import HOUR, MINUTE, OLD, again, begin, lines, listing, lost, movement, pages, read, row, swept

from gateway.domain.listed import EDGE
from gateway.flows.pace import Paces
from gateway.flows.sweep import PAGES, PATIENCE, WAITING
from gateway.flows.turn import LOOK_BACK
from gateway.plugins import MAX_LISTED
from gateway.sdk import Attribution, Malformed, Money, Page, Rejected, RevenueKind, Unavailable, Unsupported

PURCHASE, RENEWAL = RevenueKind.PURCHASE, RevenueKind.RENEWAL
REFUND = RevenueKind.REFUND


def refund(gateway: Harness, payment: str = "p1", **what: Any) -> Any:
    return movement(gateway, f"refund:{payment}", kind=REFUND, payment_id=payment, amount=Money(400, "USD"), **what)


async def test_500_swallowed_webhooks_are_found_in_several_pages(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in range(500):
            await lost(gateway, number=number, attribution=Attribution(visitor_id=f"v{number}"))
        await begin(gateway, "example")
        await swept(gateway, "example")
        assert await lines(gateway, "count(*), count(DISTINCT visitor_id) AS visitors, min(source)") == [
            (500, 500, "sweep")
        ]
        assert await gateway.rows("SELECT count(*) FROM outbox WHERE status = 'pending'") == [{"count": 500}]
        found = await row(gateway, "example")
        assert (found["listed"], found["booked"], found["booked_total"], found["cursor"]) == (500, 500, 500, None)
        assert found["watermark"] == START
        assert found["due_at"] == START + HOUR


async def test_money_found_by_the_worker_reaches_faurya(gateway: Harness) -> None:
    await lost(gateway, attribution=Attribution(visitor_id="anna"), occurred_at=START + MINUTE)
    await gateway.until("SELECT count(*) FROM sweeps", equals=3)
    gateway.clock.forward(HOUR)
    await gateway.until("SELECT count(*) FROM ledger WHERE source = 'sweep'", equals=2)  # both connections list it
    await gateway.settled()
    (record,) = await gateway.recorded()
    assert (record["visitor_id"], record["amount"]) == ("anna", "49.00")


async def test_a_late_webhook_of_a_swept_sale_counts_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        body = await lost(gateway)
        await begin(gateway, "example")
        await swept(gateway, "example")
        assert (await gateway.send(body)).status == 200
        await read(gateway)
        assert await gateway.inbox() == [("ignored", "already_booked")]
        assert await lines(gateway) == [("payment:pay_1", 4900, "sweep")]


async def test_a_sale_whose_webhook_came_is_already_there(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        body = await lost(gateway)
        await gateway.send(body)
        await read(gateway)
        await begin(gateway, "example")
        with capture_logs() as logs:
            await swept(gateway, "example")
        assert await lines(gateway) == [("payment:pay_1", 4900, "webhook")]
        (finished,) = [entry for entry in logs if entry["event"] == "sweep.finished"]
        assert (finished["listed"], finished["already"], finished["booked"]) == (1, 1, 0)
        assert not [entry for entry in logs if entry["event"] == "sweep.found"]


async def test_what_is_found_is_told_with_its_keys(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        await lost(gateway)
        await begin(gateway, "example")
        with capture_logs() as logs:
            await swept(gateway, "example")
        (found,) = [entry for entry in logs if entry["event"] == "sweep.found"]
        assert (found["log_level"], found["booked"], found["keys"]) == ("warning", 1, ["payment:pay_1"])
        metrics = gateway.gateway.context.metrics.swept.labels("acme", "example", "booked")
        assert metrics._value.get() == 1


async def test_a_sweep_that_was_killed_goes_on_at_its_page(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        asked: list[str | None] = []

        dying = asyncio.Event()

        async def listed(_since: Any, cursor: str | None) -> Any:
            asked.append(cursor)
            if cursor == "b" and asked.count("b") == 1:
                dying.set()
                await asyncio.Event().wait()
            following = {None: "a", "a": "b", "b": None}[cursor]
            return Page(events=[movement(gateway, f"payment:{cursor}", payment_id=f"{cursor}")], next_cursor=following)

        plugin.listing = listed
        await begin(gateway)
        killed = asyncio.create_task(swept(gateway))
        await dying.wait()
        killed.cancel()  # what is written so far is all that is left
        await asyncio.wait([killed])
        assert (await row(gateway))["cursor"] == "b"
        await swept(gateway)
        assert asked == [None, "a", "b"], "the lease is still the dead process's"
        await again(gateway, after=MINUTE)
        assert asked == [None, "a", "b", "b"]
        assert [key for key, _, _ in await lines(gateway)] == ["payment:None", "payment:a", "payment:b"]
        found = await row(gateway)
        assert (found["listed"], found["booked"], found["booked_total"]) == (3, 3, 3)
        assert found["watermark"] == START, "the moment at which the sweep began, not at which it ended"


async def test_a_provider_that_asks_for_a_pause_gets_it_and_the_sweep_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        answers: list[Any] = [
            Page(events=[movement(gateway)], next_cursor="a"),
            Unavailable("429", retry_after=timedelta(minutes=7)),
            Page(events=[movement(gateway, "payment:p2", payment_id="p2")]),
        ]
        plugin.listing = lambda _since, _cursor: answers.pop(0)
        paces = Paces(seconds=0)
        await begin(gateway)
        await swept(gateway, paces=paces)
        found = await row(gateway)
        assert (found["due_at"], found["failures"], found["problem"]) == (START + 7 * MINUTE, 1, "429")
        assert (found["cursor"], found["watermark"], found["lease"]) == ("a", None, None)
        assert paces.paused("scripted")
        await again(gateway, after=7 * MINUTE)
        found = await row(gateway)
        assert (found["failures"], found["problem"], found["booked_total"]) == (0, None, 2)


async def test_failures_wait_longer_each_time_and_a_page_that_never_comes_is_given_up(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, cursor: Unavailable("500") if cursor else Page(next_cursor="a")
        await begin(gateway)
        waits = []
        for failures in range(PATIENCE + 1):
            await swept(gateway)
            found = await row(gateway)
            assert found["failures"] == failures + 1
            assert found["cursor"] == ("a" if failures < PATIENCE else None)
            waits.append((found["due_at"] - gateway.clock()) // MINUTE)
            gateway.clock.moment = found["due_at"]
        assert waits == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("refusal", [Rejected("no such cursor"), Malformed("not a cursor of mine")])
async def test_a_cursor_that_is_not_taken_any_more_begins_the_list_again(
    refusal: Exception, database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, cursor: Unavailable() if cursor else Page(next_cursor="old")
        await begin(gateway)
        await swept(gateway)
        since = (await row(gateway))["since"]
        asked: list[Any] = []

        def later(since: Any, cursor: str | None) -> Any:
            asked.append((since, cursor))
            return refusal if cursor else Page(events=[movement(gateway)])

        plugin.listing = later
        await again(gateway, after=MINUTE)
        assert asked == [(since, "old"), (since, None)]
        assert (await row(gateway))["booked"] == 1


async def test_a_list_begun_again_may_lead_to_the_cursor_that_was_refused(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        answers: list[Any] = [
            Page(next_cursor="a"),
            Unavailable(),
            Rejected("no such cursor"),
            Page(next_cursor="a"),
            Page(events=[movement(gateway)]),
        ]
        plugin.listing = lambda _since, _cursor: answers.pop(0)
        await begin(gateway)
        await swept(gateway)
        await again(gateway, after=MINUTE)
        found = await row(gateway)
        assert (found["booked"], found["failures"], found["problem"]) == (1, 0, None)


async def test_an_unreadable_entry_is_told_again_and_again_and_nothing_is_passed_over(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        asked: list[Any] = []

        def broken(_since: Any, cursor: str | None) -> Any:
            asked.append(cursor)
            return Malformed("event 'evt_7' cannot be read") if cursor else Page(next_cursor="a")

        plugin.listing = broken
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert (found["watermark"], found["cursor"], found["problem"]) == (None, None, "event 'evt_7' cannot be read")
        await again(gateway, after=MINUTE)
        assert asked == [None, "a", None, "a"]
        assert (await row(gateway))["failures"] == 2


async def test_a_provider_without_a_list_is_no_failure(database_url: str, tmp_path: Path) -> None:
    async with listing(database_url, tmp_path, scripted.Scripted()) as gateway:
        await begin(gateway)
        with capture_logs() as logs:
            await swept(gateway)
        found = await row(gateway)
        assert (found["failures"], found["due_at"], found["since"]) == (0, START + HOUR, None)
        assert found["problem"] == str(Unsupported())
        assert logs == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "answered list_revenue with a NoneType"),
        ([], "answered list_revenue with a list"),
        (Page(events="abc"), "answered list_revenue with a str for its events"),  # type: ignore[arg-type]
        (Page(events={}), "answered list_revenue with a dict for its events"),  # type: ignore[arg-type]
        (Page(events=["x"]), "gave a str among the events of list_revenue"),  # type: ignore[list-item]
        (Page(events=["x"] * (MAX_LISTED + 1)), "gave 5001 events in one list_revenue"),  # type: ignore[list-item]
        (Page(next_cursor=7), "a cursor that cannot be kept: next_cursor must be a string"),  # type: ignore[arg-type]
        (Page(next_cursor="a\0"), "a cursor that cannot be kept: next_cursor contains a NUL"),
        (Page(next_cursor=""), "a cursor that cannot be kept: next_cursor must not be empty"),
        (ValueError("secret-free text"), "raised in list_revenue: ValueError: secret-free text at"),
        (SystemExit(3), "tried to end the process in list_revenue"),
    ],
)
async def test_a_plugin_that_breaks_the_rules_is_named_and_the_sweep_tries_again(
    answer: Any, says: str, database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, _cursor: answer
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert says in found["problem"]
        assert (found["failures"], found["due_at"], found["lease"]) == (1, START + MINUTE, None)
        failures = gateway.gateway.context.metrics.plugin_failures.labels("scripted", "list_revenue")
        assert failures._value.get() == 1


@pytest.mark.parametrize("circle", [1, 2, 7])
async def test_a_list_that_leads_round_in_circles_is_the_plugins_fault(
    circle: int, database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, cursor: Page(next_cursor=str((int(cursor or 0) + 1) % circle))
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert found["failures"] == 1
        assert "circles" in found["problem"] or "the page that it just gave" in found["problem"]
        assert found["cursor"] is None


async def test_a_list_without_an_end_gives_the_others_their_turn(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, cursor: Page(next_cursor=str(int(cursor or 0) + 1))
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert (found["cursor"], found["due_at"], found["lease"]) == (str(PAGES), START, None)


async def test_at_a_stop_the_page_in_hand_is_finished_and_the_lease_given_back(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway)], [movement(gateway, "payment:p2", payment_id="p2")])
        stopping = asyncio.Event()
        stopping.set()
        await begin(gateway)
        await swept(gateway, stopping=stopping)
        found = await row(gateway)
        assert (found["cursor"], found["lease"], found["due_at"]) == ("1", None, START)
        assert len(await lines(gateway)) == 1
        await swept(gateway)
        assert len(await lines(gateway)) == 2


async def test_a_refund_on_an_earlier_page_than_its_sale_finds_it(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        sale = movement(gateway, attribution=Attribution(visitor_id="anna"))
        plugin.listing = pages([refund(gateway)], [], [sale])
        await begin(gateway)
        await swept(gateway)
        assert await lines(gateway, "revenue_key, visitor_id, attribution_source, source") == [
            ("payment:p1", "anna", "webhook", "sweep"),
            ("refund:p1", "anna", "payment", "sweep"),
        ]
        found = await row(gateway)
        assert (found["booked"], found["waiting"], found["watermark"]) == (2, 0, START)


async def test_what_waits_for_its_sale_is_seen_again_until_it_is_booked(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin, settings=", sweep: {{overlap: 0s}}") as gateway:
        waiting = refund(gateway)
        asked: list[Any] = []

        def listed(since: Any, _cursor: Any) -> Page:
            asked.append(since)
            return Page(events=[waiting] if waiting.occurred_at >= since else [])

        plugin.listing = listed
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert (found["waiting"], found["watermark"]) == (1, waiting.occurred_at - EDGE)
        await again(gateway, after=24 * HOUR)
        assert await lines(gateway) == [("refund:p1", 400, "sweep")], "after the wait it is booked without its sale"
        assert asked[1] == waiting.occurred_at - EDGE
        assert (await row(gateway))["watermark"] == gateway.clock()


async def test_what_waits_is_led_back_to_also_after_a_crash(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        waiting = refund(gateway)
        answers: list[Any] = [Page(events=[waiting], next_cursor="a"), Unavailable(), Page()]
        plugin.listing = lambda _since, _cursor: answers.pop(0)
        await begin(gateway)
        await swept(gateway)
        await again(gateway, after=MINUTE)
        found = await row(gateway)
        assert (found["finished_at"], found["watermark"]) == (gateway.clock(), waiting.occurred_at - EDGE)


async def test_more_than_can_be_remembered_waits_for_the_next_sweep(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        many = [refund(gateway, f"p{number}") for number in range(WAITING)]
        late = refund(gateway, "late", occurred_at=gateway.clock() - OLD - MINUTE)
        sales = [movement(gateway, f"payment:p{number}", payment_id=f"p{number}") for number in range(WAITING)]
        plugin.listing = pages(many, [late], [*sales, movement(gateway, "payment:late", payment_id="late")])
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert (found["booked"], found["waiting"]) == (2 * WAITING + 1, 1)
        assert found["watermark"] == late.occurred_at - EDGE
        plugin.listing = pages([late])
        await again(gateway)
        assert (await row(gateway))["booked"] == 1


async def test_a_sale_that_is_listed_again_after_it_waited_counts_once(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([refund(gateway)], [movement(gateway), refund(gateway)], [refund(gateway)])
        await begin(gateway)
        await swept(gateway)
        found = await row(gateway)
        assert (found["listed"], found["booked"], found["already"], found["waiting"]) == (2, 2, 0, 0)


async def test_a_swept_sale_wakes_the_webhook_that_waits_for_it(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        body = gateway.provider().sample(REFUND, payment_id="pay_1", simulated=False, occurred_at=START)
        await gateway.send(body)
        await read(gateway)
        assert await gateway.inbox() == [("received", "waiting_for_sale")]
        await lost(gateway)
        await begin(gateway, "example")
        await swept(gateway, "example")
        await read(gateway)
        assert await gateway.inbox() == [("booked", None)]


async def test_money_of_the_last_minutes_is_left_to_its_webhook(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin, settings=", sweep: {{overlap: 0s}}") as gateway:
        young = movement(gateway, occurred_at=START - MINUTE)
        plugin.listing = lambda since, _cursor: Page(events=[young] if young.occurred_at >= since else [])
        await begin(gateway)
        await swept(gateway)
        assert await lines(gateway) == []
        assert (await row(gateway))["watermark"] == young.occurred_at - EDGE
        await again(gateway)
        assert await lines(gateway) == [("payment:p1", 1000, "sweep")]


async def test_money_from_before_the_connections_first_sign_is_never_booked(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        early = movement(gateway, occurred_at=START - HOUR - timedelta(seconds=1))
        plugin.listing = pages([early, movement(gateway, "payment:p2", payment_id="p2")])
        await begin(gateway)
        with capture_logs() as logs:
            await swept(gateway)
        assert await lines(gateway) == [("payment:p2", 1000, "sweep")]
        (finished,) = [entry for entry in logs if entry["event"] == "sweep.finished"]
        assert (finished["before"], finished["booked"]) == (1, 1)


async def test_after_long_without_a_sweep_what_happened_meanwhile_is_history(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([])
        await begin(gateway)
        await swept(gateway)
        gateway.clock.forward(30 * 24 * HOUR)
        old = movement(gateway, "payment:old", payment_id="old", occurred_at=gateway.clock() - LOOK_BACK - MINUTE)
        plugin.listing = pages([old, movement(gateway)])
        await swept(gateway)
        assert [key for key, _, _ in await lines(gateway)] == ["payment:p1"]


async def test_a_list_that_could_not_be_read_for_long_is_read_from_where_it_was_left(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, _cursor: Rejected("the key has expired")
        await begin(gateway)
        for _ in range(10):
            await swept(gateway)
            await gateway.rows("UPDATE sweeps SET due_at = $1", gateway.clock() + 24 * HOUR)
            gateway.clock.forward(24 * HOUR)
        plugin.listing = pages([movement(gateway, occurred_at=START + MINUTE)])
        await swept(gateway)
        assert [key for key, _, _ in await lines(gateway)] == ["payment:p1"]


async def test_a_webhook_and_a_sweep_at_the_same_moment_count_once(database_url: str, tmp_path: Path) -> None:
    async with harness(database_url, tmp_path, with_worker=False) as gateway:
        for number in range(100):
            await gateway.send(await lost(gateway, number=number))
        await begin(gateway, "example")
        await asyncio.gather(swept(gateway, "example"), read(gateway))
        assert await lines(gateway, "count(*), count(DISTINCT payment_id) AS payments") == [(100, 100)]


async def test_the_next_sweep_begins_before_the_end_of_the_last(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin, settings=", sweep: {{every: 30m, overlap: 10m}}") as gateway:
        asked: list[Any] = []
        plugin.listing = lambda since, _cursor: asked.append(since) or Page()
        await begin(gateway)
        await swept(gateway)
        await again(gateway, after=29 * MINUTE)
        await again(gateway, after=MINUTE)
        assert asked == [START - HOUR - 10 * MINUTE, START - 10 * MINUTE]


async def test_claims_hold_for_swept_money_too(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin, settings=", claims: [price_ours]") as gateway:
        theirs = movement(gateway, "payment:p2", payment_id="p2", items=["price_theirs"])
        plugin.listing = pages(
            [refund(gateway, "p2"), movement(gateway, items=["price_ours"])],
            [theirs, refund(gateway, "p1")],
        )
        await begin(gateway)
        await swept(gateway)
        assert [key for key, _, _ in await lines(gateway)] == ["payment:p1", "refund:p1"]
        found = await row(gateway)
        assert (found["booked"], found["other_site"], found["waiting"]) == (2, 2, 0)
        assert found["watermark"] == START, "a refund of another site's sale waits for nothing"


async def test_money_of_own_checkouts_is_told_from_that_of_others(database_url: str, tmp_path: Path) -> None:
    text = CONFIG.replace("whsec_made_up_1_old],", "whsec_made_up_1_old], claims: own_checkouts,")
    async with harness(database_url, tmp_path, text=text, with_worker=False) as gateway:
        headers = {"Origin": "https://www.acme.example"}
        order = {"plan": "pro", "faVisitorId": "anna"}
        async with gateway.http.post(f"{gateway.url}/checkouts/acme", json=order, headers=headers) as answer:
            ours = await answer.json(content_type=None)
        await lost(gateway, checkout_id=ours["checkoutId"], reference=ours["orderId"])
        await lost(gateway, number=2, checkout_id="chk_of_somebody")
        await begin(gateway, "example")
        await swept(gateway, "example")
        assert await lines(gateway, "revenue_key, order_id, visitor_id") == [("payment:pay_1", ours["orderId"], "anna")]


async def test_test_money_stops_at_the_wall(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway, test=True)])
        await begin(gateway)
        await swept(gateway)
        assert await gateway.deliveries() == {"payment:p1": ("skipped", "test_mode")}
        assert (await row(gateway))["test"] == 1


async def test_an_amount_that_differs_is_told_and_never_changed(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway), movement(gateway, "payment:p2", payment_id="p2")])
        await begin(gateway)
        await swept(gateway)
        other = [movement(gateway, amount=Money(999, "USD"), tax=Money(1, "USD"))]
        other.append(movement(gateway, "payment:p2", payment_id="p2", amount=Money(1000, "EUR")))
        plugin.listing = pages(other)
        with capture_logs() as logs:
            await again(gateway)
        assert await lines(gateway, "amount_minor, currency, tax_minor") == [(1000, "USD", None)] * 2
        found = await row(gateway)
        expected = [["payment:p1", "10.00 USD", "9.99 USD"], ["payment:p2", "10.00 USD", "10.00 EUR"]]
        assert (found["differing"], found["already"]) == (2, 0)
        (finished,) = [entry for entry in logs if entry["event"] == "sweep.finished"]
        assert (finished["log_level"], finished["differences"]) == ("warning", expected)
        plugin.listing = pages([])
        await again(gateway)
        assert (await row(gateway))["differences"] is None


async def test_running_totals_are_booked_as_differences_and_never_differ(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:

        def refunded(total: int) -> Any:
            return movement(gateway, f"refunds:p1:{total}", kind=REFUND, amount=Money(total, "USD"), cumulative=True)

        plugin.listing = pages([refunded(300), movement(gateway)])
        await begin(gateway)
        await swept(gateway)
        plugin.listing = pages([refunded(500), refunded(300)])
        await again(gateway)
        assert [amount for _, amount, _ in await lines(gateway)] == [1000, 300, 200]
        found = await row(gateway)
        assert (found["differing"], found["booked"], found["already"]) == (0, 1, 1)


async def test_figures_that_a_booked_line_lacks_are_filled_in(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = pages([movement(gateway)])
        await begin(gateway)
        await swept(gateway)
        plugin.listing = pages([movement(gateway, tax=Money(160, "USD"))])
        await again(gateway)
        assert await lines(gateway, "amount_minor, tax_minor") == [(1000, 160)]
        found = await row(gateway)
        assert (found["already"], found["booked"], found["booked_total"]) == (1, 0, 1)


async def test_one_movement_that_cannot_be_written_does_not_hold_up_the_others(
    database_url: str, tmp_path: Path
) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        bad = movement(gateway, "payment:bad", payment_id="bad")
        object.__setattr__(bad, "account", "nul\0")  # a value that a plugin got past the checks
        good = [movement(gateway, f"payment:p{number}", payment_id=f"p{number}") for number in range(3)]
        plugin.listing = pages([good[0], bad, *good[1:]])
        await begin(gateway)
        with capture_logs() as logs:
            await swept(gateway)
        assert [key for key, _, _ in await lines(gateway)] == ["payment:p0", "payment:p1", "payment:p2"]
        assert [entry["key"] for entry in logs if entry["event"] == "sweep.unbookable"] == ["payment:bad"]
        assert (await row(gateway))["watermark"] == START


async def test_two_workers_share_a_sweep_without_doubling_it(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        asked: list[Any] = []

        async def slow(_since: Any, cursor: str | None) -> Page:
            asked.append(cursor)
            await asyncio.sleep(0.05)
            return pages([movement(gateway)], [movement(gateway, "payment:p2", payment_id="p2")])(None, cursor)

        plugin.listing = slow
        await begin(gateway)
        await asyncio.gather(*(swept(gateway) for _ in range(4)))
        assert asked == [None, "1"]
        assert len(await lines(gateway)) == 2


@pytest.mark.parametrize("moment", ["page", "turning", "restart", "end"])
async def test_a_worker_that_lost_its_lease_writes_nothing(moment: str, database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        events = [movement(gateway)] if moment == "page" else []
        following = "a" if moment == "turning" else None

        async def robbed(_since: Any, cursor: str | None) -> Page:
            await gateway.rows("UPDATE sweeps SET lease = gen_random_uuid()")
            if cursor == "old":
                raise Rejected
            return Page(events=events, next_cursor=following)

        plugin.listing = robbed
        await begin(gateway)
        if moment == "restart":
            await gateway.rows("UPDATE sweeps SET since = begins_at, started_at = begins_at, cursor = 'old'")
        with capture_logs() as logs:
            await swept(gateway)
        assert [entry["event"] for entry in logs if entry["event"] != "sweep.started_over"] == ["sweep.lease_lost"]
        assert await lines(gateway) == []
        found = await row(gateway)
        assert (found["watermark"], found["finished_at"], found["booked_total"]) == (None, None, 0)


async def test_secrets_never_reach_a_sweeps_problem(database_url: str, tmp_path: Path) -> None:
    plugin = scripted.Scripted()
    async with listing(database_url, tmp_path, plugin) as gateway:
        plugin.listing = lambda _since, _cursor: Rejected("the key example-key-acme is refused")
        await begin(gateway)
        await swept(gateway)
        assert (await row(gateway))["problem"] == "the key *** is refused"
