"""A checkout: remembered, asked for at the provider, noted, answered."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from accepting import WITH_SCRIPTED, Tuned, accepting, events, log_lines, metric, problem
from harness import SECRET, START, Harness
from proxy import DatabaseProxy, database_proxy
from scripted import registry

from gateway.sdk import Checkout, Malformed, Money, Rejected, Unavailable, Unsupported

TUNED = {"plan": "tuned"}
IDS = {"faVisitorId": "v1", "faSessionId": "s1", "faAttributionToken": "t1"}
KEY = {"Idempotency-Key": "key-1"}


@pytest_asyncio.fixture(name="site")
async def _site(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Tuned]]:
    async with accepting(database_url, tmp_path) as site:
        yield site


@pytest.fixture(name="here")
def _here(site: tuple[Harness, Tuned]) -> Harness:
    return site[0]


@pytest.fixture(name="plugin")
def _plugin(site: tuple[Harness, Tuned]) -> Tuned:
    return site[1]


async def order(here: Harness, content: Any, site: str = "acme", **headers: str) -> Any:
    answer = await here.http.post(f"{here.url}/checkouts/{site}", json=content, headers=headers)
    await answer.read()
    return answer


async def created(here: Harness, content: Any, **headers: str) -> dict[str, Any]:
    answer = await order(here, content, **headers)
    assert answer.status == 201, await answer.text()
    found: dict[str, Any] = orjson.loads(await answer.read())
    return found


async def the_row(here: Harness) -> dict[str, Any]:
    (row,) = await here.rows("SELECT * FROM checkouts")
    return row


async def test_a_checkout_is_created_at_the_provider_with_the_visitor_inside(here: Harness) -> None:
    with log_lines() as lines:
        found = await created(here, {"plan": "pro", **IDS})
    row = await the_row(here)
    assert found == {"url": f"{here.provider_url}/pay/chk_1", "orderId": row["order_id"], "checkoutId": "chk_1"}
    expected = {
        "site": "acme", "connection": "example", "plan": "pro", "quantity": None, "checkout_id": "chk_1",
        "visitor_id": "v1", "session_id": "s1", "token": "t1", "dropped": [], "state": "created", "lease": None,
        "lease_until": None, "problem": None, "created_at": START, "url": found["url"], "idempotency_key": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    (line,) = events(lines, "checkout.created")
    assert (line["order_id"], line["checkout_id"], line["attributed"]) == (found["orderId"], "chk_1", True)
    assert await metric(here, "gateway_checkouts_total", site="acme", outcome="created") == 1


async def test_the_plugin_is_given_all_that_it_may_need(here: Harness, plugin: Tuned) -> None:
    found = await created(here, {**TUNED, **IDS, "customerEmail": "who@example.com"})
    (asked,) = plugin.ordered
    assert asked.reference == asked.idempotency_key == found["orderId"]
    assert (asked.items, asked.amount, asked.options) == ((("price_tuned", 1),), None, None)
    assert (asked.attribution.visitor_id, asked.attribution.session_id, asked.attribution.token) == ("v1", "s1", "t1")
    assert (asked.customer_email, asked.customer_ip) == ("who@example.com", "127.0.0.1")
    assert asked.webhook_url == f"{here.url}/webhooks/acme/scripted"
    assert (asked.success_url, asked.cancel_url) == (None, None)


async def test_a_quantity_multiplies_items_and_amounts(database_url: str, tmp_path: Path) -> None:
    text = WITH_SCRIPTED.replace(
        "      tuned: {{provider: scripted, items: [{{price_id: price_tuned}}]}}\n",
        "      tuned: {{provider: scripted, quantity: {{max: 9}},\n"
        "              items: [{{price_id: a, quantity: 2}}, {{price_id: b}}]}}\n"
        '      flat: {{provider: scripted, quantity: {{max: 9}}, amount: {{value: "19.99", currency: EUR}}}}\n',
    )
    async with accepting(database_url, tmp_path, text=text) as (here, plugin):
        await created(here, {"plan": "tuned", "quantity": 3})
        await created(here, {"plan": "flat", "quantity": 3})
        items, amount = plugin.ordered
        assert (items.items, items.amount) == ((("a", 6), ("b", 3)), None)
        assert (amount.items, amount.amount) == ((), Money(5997, "EUR"))
        rows = await here.rows("SELECT plan, quantity FROM checkouts ORDER BY plan")
        assert [tuple(row.values()) for row in rows] == [("flat", 3), ("tuned", 3)]


async def test_attribution_that_cannot_be_kept_costs_the_attribution_not_the_sale(here: Harness) -> None:
    body = b'{"plan": "pro", "faVisitorId": 5, "faSessionId": "a\\u0000b", "faAttributionToken": "\\ud800"}'
    with log_lines() as lines:
        async with here.http.post(
            f"{here.url}/checkouts/acme", data=body, headers={"Content-Type": "application/json"}
        ) as answer:
            assert answer.status == 201, await answer.text()
    row = await the_row(here)
    assert (row["visitor_id"], row["session_id"], row["token"]) == (None, None, None)
    assert row["dropped"] == ["faVisitorId", "faSessionId", "faAttributionToken"]
    (line,) = events(lines, "checkout.created")
    assert (line["attributed"], line["dropped"]) == (False, row["dropped"])


async def test_what_the_providers_metadata_cannot_hold_is_kept_here_all_the_same(here: Harness, plugin: Tuned) -> None:
    plugin.metadata_limits = type(plugin.metadata_limits)(keys=2, key_chars=40, value_chars=10)
    await created(here, {**TUNED, "faVisitorId": "v" * 11, "faSessionId": "s1", "faAttributionToken": "t1"})
    (asked,) = plugin.ordered
    assert (asked.attribution.visitor_id, asked.attribution.session_id, asked.attribution.token) == (None, "s1", None)
    row = await the_row(here)
    assert (row["visitor_id"], row["session_id"], row["token"]) == ("v" * 11, "s1", "t1")


async def test_a_repeated_request_with_the_same_key_gets_the_same_checkout(here: Harness, plugin: Tuned) -> None:
    first = await created(here, {**TUNED, **IDS}, **KEY)
    with log_lines() as lines:
        assert await created(here, {**TUNED, **IDS}, **KEY) == first
    assert len(plugin.ordered) == 1
    assert [line["order_id"] for line in events(lines, "checkout.repeated")] == [first["orderId"]]
    assert await metric(here, "gateway_checkouts_total", outcome="created") == 1


@pytest.mark.parametrize(
    "other",
    [{"plan": "pro", **IDS}, {**TUNED, **IDS, "faVisitorId": "v2"}, TUNED,
     {**TUNED, **IDS, "customerEmail": "who@example.com"}, {**TUNED, **IDS, "quantity": 1}],
    ids=["plan", "visitor", "nobody", "email", "quantity"],
)  # fmt: skip
async def test_a_key_with_another_request_is_refused(here: Harness, plugin: Tuned, other: dict[str, Any]) -> None:
    await created(here, {**TUNED, **IDS}, **KEY)
    await problem(await order(here, other, **KEY), 422, "idempotency_key_reused")
    assert len(plugin.ordered) == 1


async def test_keys_of_two_sites_do_not_meet(here: Harness) -> None:
    await created(here, TUNED, **KEY)
    answer = await order(here, {"plan": "basic"}, "globex", Authorization="Bearer globex-backend-key", **KEY)
    assert answer.status == 201


async def test_of_many_at_once_with_one_key_one_asks_the_provider(here: Harness, plugin: Tuned) -> None:
    go = asyncio.Event()

    async def slowly(request: Any) -> Checkout:
        await go.wait()
        return Checkout(url="https://pay.example/1", checkout_id="chk_1")

    plugin.checkout = slowly
    tasks = [asyncio.create_task(order(here, TUNED, **KEY)) for _ in range(8)]
    async with asyncio.timeout(30):
        while sum(task.done() for task in tasks) < 7:
            await asyncio.sleep(0.01)
    go.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    for answer in answers:
        if answer.status == 409:
            await problem(answer, 409, "idempotency_in_progress")
    assert len(plugin.ordered) == 1
    assert (await created(here, TUNED, **KEY))["url"] == "https://pay.example/1"


async def test_after_a_failure_the_same_key_tries_the_same_order_again(here: Harness, plugin: Tuned) -> None:
    well = plugin.checkout
    plugin.checkout = failing(Unavailable("busy"))
    await problem(await order(here, TUNED, **KEY), 503, "provider_unavailable")
    assert (await the_row(here))["state"] == "failed"
    plugin.checkout = well
    found = await created(here, TUNED, **KEY)
    assert [asked.reference for asked in plugin.ordered] == [found["orderId"]] * 2
    row = await the_row(here)
    assert (row["state"], row["problem"], row["order_id"]) == ("created", None, found["orderId"])


async def test_after_24_hours_a_key_is_new_again(here: Harness) -> None:
    first = await created(here, TUNED, **KEY)
    here.clock.forward(timedelta(hours=24) - timedelta(seconds=1))
    assert await created(here, TUNED, **KEY) == first
    here.clock.forward(timedelta(seconds=1))
    second = await created(here, {"plan": "pro"}, **KEY)
    assert second["orderId"] != first["orderId"]
    assert len(await here.rows("SELECT 1 FROM checkouts")) == 2


async def test_when_its_creator_died_a_checkout_is_taken_over_after_the_lease(here: Harness, plugin: Tuned) -> None:
    await created(here, TUNED, **KEY)
    await here.rows(
        "UPDATE checkouts SET state = 'creating', url = NULL, lease = gen_random_uuid(), lease_until = $1",
        START + timedelta(seconds=15),
    )
    await problem(await order(here, TUNED, **KEY), 409, "idempotency_in_progress")
    here.clock.forward(timedelta(seconds=15))
    await created(here, TUNED, **KEY)
    assert len(plugin.ordered) == 2


async def test_the_lease_outlasts_the_plugins_deadline(here: Harness, plugin: Tuned) -> None:
    seen: list[dict[str, Any]] = []

    async def looks(request: Any) -> Checkout:
        seen.append(await the_row(here))
        return Checkout(url="https://pay.example/1")

    plugin.checkout = looks
    await created(here, TUNED)
    (row,) = seen
    assert row["state"] == "creating"
    assert row["lease_until"] > START + here.gateway.live.config.plugins.deadline


def failing(error: Exception) -> Any:
    def fail(request: Any) -> Any:
        raise error

    return fail


FAILURES = [
    (Rejected("no such price", code="price_gone", request_id="req_1"), 502, "provider_rejected", "no such price",
     ("price_gone", "req_1"), "rejected"),
    (Rejected(f"the key {SECRET} is wrong", code=SECRET, request_id=12345), 502, "provider_rejected",  # type: ignore[arg-type]
     "the key *** is wrong", ("***", "12345"), "rejected"),
    (Rejected("odd \ud800", code={"a": "\udfff"}), 502, "provider_rejected",  # type: ignore[arg-type]
     "odd \N{REPLACEMENT CHARACTER}", ("{'a': '\\udfff'}", None), "rejected"),
    (Unsupported("no API for it"), 502, "provider_rejected", "scripted cannot create checkouts: no API for it",
     ("unsupported", None), "rejected"),
    (Malformed("the answer has no url"), 502, "provider_rejected",
     "the provider's answer could not be used; see the gateway's log", (None, None), "rejected"),
    (ZeroDivisionError("inside"), 502, "provider_rejected",
     "the provider's answer could not be used; see the gateway's log", (None, None), "plugin_failed"),
    (Unavailable("busy"), 503, "provider_unavailable", "busy", None, "unavailable"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "code", "detail", "provider", "outcome"), FAILURES,
                         ids=[f"{type(case[0]).__name__}-{n}" for n, case in enumerate(FAILURES)])  # fmt: skip
async def test_what_the_provider_says_reaches_the_caller_and_the_row(
    here: Harness, plugin: Tuned, error: Exception, status: int, code: str, detail: str, provider: Any, outcome: str
) -> None:
    plugin.checkout = failing(error)
    with log_lines() as lines:
        answer = await order(here, TUNED)
        content = await problem(answer, status, code)
    assert content["detail"] == detail
    if provider is not None:
        assert (content["provider_code"], content["provider_request_id"]) == provider
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    row = await the_row(here)
    assert (row["state"], row["lease"], row["url"]) == ("failed", None, None)
    assert SECRET not in str((row["problem"], content, lines))
    (line,) = events(lines, "checkout.failed")
    assert (line["order_id"], line["error"]) == (row["order_id"], row["problem"])
    assert await metric(here, "gateway_checkouts_total", site="acme", outcome=outcome) == 1
    faults = await metric(here, "gateway_plugin_failures_total", plugin="scripted", call="create_checkout")
    assert faults == (1 if outcome == "plugin_failed" else 0)


async def test_a_provider_that_says_when_is_believed(here: Harness, plugin: Tuned) -> None:
    plugin.checkout = failing(Unavailable("busy", retry_after=timedelta(seconds=41.2)))
    answer = await order(here, TUNED)
    await problem(answer, 503, "provider_unavailable")
    assert answer.headers["Retry-After"] == "42"


async def test_a_plugin_that_answers_something_else_is_at_fault(here: Harness, plugin: Tuned) -> None:
    plugin.checkout = lambda request: "https://pay.example"
    content = await problem(await order(here, TUNED), 502, "provider_rejected")
    assert content["detail"] == "the provider's answer could not be used; see the gateway's log"
    assert "scripted" in (await the_row(here))["problem"]


async def test_a_provider_that_does_not_answer_is_away_after_the_deadline(database_url: str, tmp_path: Path) -> None:
    text = WITH_SCRIPTED.replace("sites:\n", "plugins: {{deadline: 1s}}\nsites:\n", 1)
    async with accepting(database_url, tmp_path, text=text) as (here, plugin):
        plugin.checkout = lambda request: asyncio.sleep(30)
        content = await problem(await order(here, TUNED), 503, "provider_unavailable")
        assert "within 1 seconds" in content["detail"]


async def test_a_connection_whose_plugin_was_skipped_is_not_there_now(database_url: str, tmp_path: Path) -> None:
    class Broken(Tuned):
        def open(self, config: Any, runtime: Any) -> Any:
            raise RuntimeError("no")

    text = WITH_SCRIPTED.replace("sites:\n", "plugins: {{on_failure: skip}}\nsites:\n", 1)
    async with accepting(database_url, tmp_path, text=text, registry=registry(Broken())) as (here, _):
        content = await problem(await order(here, TUNED), 503, "provider_unavailable")
        assert "'scripted' is not loaded" in content["detail"]
        assert await here.rows("SELECT 1 FROM checkouts") == []


@pytest_asyncio.fixture(name="proxied")
async def _proxied(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Tuned, DatabaseProxy]]:
    async with database_proxy(database_url) as proxy, accepting(database_url, tmp_path, through=proxy.url) as site:
        yield *site, proxy


async def away(proxy: DatabaseProxy, how: str) -> None:
    if how == "cut":
        await proxy.cut()
    else:
        proxy.freeze()


async def back(proxy: DatabaseProxy, how: str) -> None:
    if how == "cut":
        await proxy.open()
    else:
        proxy.thaw()


@pytest.mark.parametrize("how", ["cut", "frozen"])
async def test_without_a_database_the_provider_is_not_asked(
    proxied: tuple[Harness, Tuned, DatabaseProxy], how: str
) -> None:
    here, plugin, proxy = proxied
    await away(proxy, how)
    started = time.monotonic()
    answer = await order(here, TUNED)
    assert time.monotonic() - started < 6
    await problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"] == "5"
    assert plugin.ordered == []
    await back(proxy, how)
    await created(here, TUNED)


@pytest.mark.parametrize("how", ["cut", "frozen"])
async def test_when_the_database_goes_away_after_the_providers_answer_the_buyer_still_gets_the_address(
    proxied: tuple[Harness, Tuned, DatabaseProxy], how: str
) -> None:
    here, plugin, proxy = proxied

    async def and_then(request: Any) -> Checkout:
        await away(proxy, how)
        return Checkout(url="https://pay.example/1", checkout_id="chk_1")

    plugin.checkout = and_then
    started = time.monotonic()
    with log_lines() as lines:
        found = await created(here, TUNED)
    assert time.monotonic() - started < 6
    assert found["url"] == "https://pay.example/1"
    assert [line["order_id"] for line in events(lines, "checkout.not_noted")] == [found["orderId"]]
    await back(proxy, how)
    row = await the_row(here)
    assert (row["order_id"], row["state"]) == (found["orderId"], "creating"), "the webhook brings the order id back"


async def test_when_the_database_goes_away_with_the_provider_the_caller_hears_of_the_provider(
    proxied: tuple[Harness, Tuned, DatabaseProxy],
) -> None:
    here, plugin, proxy = proxied

    async def and_then(request: Any) -> Checkout:
        await proxy.cut()
        raise Unavailable("busy")

    plugin.checkout = and_then
    with log_lines() as lines:
        await problem(await order(here, TUNED), 503, "provider_unavailable")
    assert events(lines, "checkout.not_noted")
    await proxy.open()
