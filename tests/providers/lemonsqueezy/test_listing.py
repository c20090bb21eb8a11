import copy
import json
from datetime import UTC, datetime, timedelta

import pytest
from yarl import URL

from gateway.sdk import Malformed, Money, Rejected, RevenueKind, Runtime, Unavailable
from providers.lemonsqueezy import plugin
from providers.lemonsqueezy.events import read
from providers.lemonsqueezy.listing import Sweep, is_wanted, next_cursor, place_of, sweep
from providers.lemonsqueezy.stand_in.objects import timestamp
from tests.providers.lemonsqueezy.conftest import API, NOW, STORE_ID, fixture

SINCE = NOW - timedelta(hours=6)
ORDER = fixture("order_created__one_off")["data"]
REFUNDED = fixture("order_refunded__partial")["data"]
INVOICE = fixture("subscription_payment_success__renewal")["data"]
FIRST = fixture("subscription_payment_refunded__initial")["data"]


def row(entity, made=timedelta(hours=1), changed=None, name=None, **attributes):
    """Return a row that was made, and changed, so long before now."""
    one = copy.deepcopy(entity)
    one["id"] = name or one["id"]
    times = {"created_at": timestamp(NOW - made), "updated_at": timestamp(NOW - (made if changed is None else changed))}
    one["attributes"].update({**times, **attributes})
    return one


def page(rows, last=1):
    return {"meta": {"page": {"currentPage": 1, "lastPage": last}}, "data": rows}


def address(name, number=1):
    query = {"filter[store_id]": STORE_ID, "page[number]": str(number), "page[size]": "100"}
    return URL(f"{API}/v1/{name}").with_query(query)


async def listed(provider, script, orders=(), invoices=()):
    script.get(address("orders"), payload=page(list(orders)))
    script.get(address("subscription-invoices"), payload=page(list(invoices)))
    first = await provider.list_revenue(SINCE, None)
    assert first.next_cursor == "subscription-invoices:1"
    second = await provider.list_revenue(SINCE, first.next_cursor)
    assert second.next_cursor is None
    return [*first.events, *second.events]


async def test_sales_and_renewals_have_the_keys_of_the_webhooks(provider, lemonsqueezy):
    events = await listed(provider, lemonsqueezy, [row(ORDER)], [row(INVOICE)])
    told = [
        *read(fixture("order_created__one_off")),
        *read(fixture("subscription_payment_success__renewal")),
    ]
    assert [event.key for event in events] == [event.key for event in told]
    assert [event.kind for event in events] == [RevenueKind.PURCHASE, RevenueKind.RENEWAL]


async def test_a_refunded_order_is_its_sale_and_the_total_refunded(provider, lemonsqueezy):
    sale, refund = await listed(provider, lemonsqueezy, [row(REFUNDED)])
    assert (sale.key, sale.amount) == ("payment:order-700101", Money(6500, "USD"))
    assert (refund.key, refund.amount) == ("refunds:order-700101:2000", Money(2000, "USD"))


async def test_an_old_order_that_was_refunded_since_is_found(provider, lemonsqueezy):
    late = row(REFUNDED, made=timedelta(days=20), changed=timedelta(hours=1))
    untouched = row(ORDER, made=timedelta(days=20), name="700100")
    events = await listed(provider, lemonsqueezy, [late, untouched])
    assert [event.key for event in events] == ["payment:order-700101", "refunds:order-700101:2000"]


async def test_a_first_invoice_is_no_sale_and_its_refund_is_one_of_the_order(provider, lemonsqueezy):
    subscription = {"data": {"type": "subscriptions", "id": "800101", "attributes": {"order_id": 700102}}}
    lemonsqueezy.get(f"{API}/v1/subscriptions/800101", payload=subscription)
    unrefunded = row(FIRST, name="900100", refunded_amount=0, status="paid")
    [refund] = await listed(provider, lemonsqueezy, [], [row(FIRST), unrefunded])
    assert (refund.key, refund.payment_id) == ("refunds:order-700102:6500", "order-700102")


async def test_a_sale_whose_webhook_may_still_be_on_its_way_is_left_to_the_next_sweep(config, http, lemonsqueezy):
    rows = [row(ORDER, made=timedelta(minutes=9)), row(ORDER, made=timedelta(minutes=10), name="700100")]
    provider = plugin.open(config, Runtime(http=http, now=lambda: NOW))
    assert [event.key for event in await listed(provider, lemonsqueezy, rows)] == ["payment:order-700100"]


@pytest.mark.parametrize("status", ["pending", "failed", "fraudulent"])
async def test_what_was_not_paid_is_passed_over(provider, lemonsqueezy, status):
    assert await listed(provider, lemonsqueezy, [row(ORDER, status=status)]) == []


@pytest.mark.parametrize(
    ("made", "last", "cursor"),
    [
        ([1], 3, "orders:3"),
        ([1], 2, "subscription-invoices:1"),
        ([24 * 29], 3, "orders:3"),
        ([24 * 31], 3, "subscription-invoices:1"),
        ([24 * 31, 1, 24 * 32], 3, "orders:3"),
        ([], 3, "subscription-invoices:1"),
    ],
)
def test_pages_are_read_until_one_is_all_older_than_refunds_reach(made, last, cursor):
    rows = [row(ORDER, made=timedelta(hours=hours)) for hours in made]
    assert next_cursor("orders", 2, page(rows, last), rows, sweep(SINCE, NOW, 30, 10)) == cursor


def test_after_the_last_page_of_invoices_nothing_comes():
    rows = [row(INVOICE)]
    assert next_cursor("subscription-invoices", 1, page(rows), rows, sweep(SINCE, NOW, 30, 10)) is None
    assert (
        next_cursor("subscription-invoices", 1, page(rows, 2), rows, sweep(SINCE, NOW, 30, 10))
        == "subscription-invoices:2"
    )


async def test_a_cursor_names_the_page_that_is_asked_for(provider, lemonsqueezy):
    lemonsqueezy.get(address("orders", 7), payload=page([row(ORDER)], 9))
    assert (await provider.list_revenue(SINCE, "orders:7")).next_cursor == "orders:8"


@pytest.mark.parametrize("cursor", ["orders", "orders:", "orders:0", "orders:x", "users:1", ":1", "orders:1234567"])
def test_a_strange_cursor_is_malformed(cursor):
    with pytest.raises(Malformed, match="cursor"):
        place_of(cursor)


@pytest.mark.parametrize(
    ("made", "changed", "wanted"), [(7, 7, False), (6, 6, True), (7, 5, True), (5, 7, True), (1, 1, True)]
)
def test_a_row_counts_if_it_was_made_or_changed_since(made, changed, wanted):
    looked_for = sweep(SINCE, NOW, 30, 10)
    one = row(ORDER, made=timedelta(hours=made), changed=timedelta(hours=changed))
    assert is_wanted(one, looked_for) is wanted


def test_a_sweep_from_the_beginning_of_time_has_no_earlier_reach():
    beginning = datetime.min.replace(tzinfo=UTC)
    found = sweep(beginning, NOW, 30, 10)
    assert found == Sweep(since=beginning, reach=beginning, settled=NOW - timedelta(minutes=10))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": ["x"]},
        page([{"type": "users"}]),
        {"data": []},
        {"data": [], "meta": []},
        {"data": [], "meta": {"page": 1}},
        {"data": [], "meta": {"page": {"lastPage": "1"}}},
        [],
    ],
)
async def test_an_answer_without_a_list_is_unavailable(provider, lemonsqueezy, body):
    lemonsqueezy.get(address("orders"), payload=body)
    with pytest.raises(Unavailable):
        await provider.list_revenue(SINCE, None)


@pytest.mark.parametrize(
    "odd",
    [
        {"attributes": None},
        {"attributes": {}},
        {"attributes": {**ORDER["attributes"], "updated_at": 7}},
        {"attributes": {**row(ORDER)["attributes"], "total": "65"}},
    ],
)
async def test_an_unreadable_row_stops_the_sweep_with_its_id(provider, lemonsqueezy, odd):
    lemonsqueezy.get(address("orders"), payload=page([{**row(ORDER), **odd}]))
    with pytest.raises(Malformed, match="700101"):
        await provider.list_revenue(SINCE, None)


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (404, {}, Malformed, "no subscription 800101"),
        (401, {}, Unavailable, "API key"),
        (500, {}, Unavailable, "500"),
        (200, {}, Unavailable, "without the subscription"),
        (200, {"data": {"attributes": []}}, Unavailable, "without the subscription"),
        (200, {"data": {"attributes": {"order_id": None}}}, Malformed, "order_id"),
    ],
)
async def test_an_order_that_cannot_be_found_out_is_not_guessed(provider, lemonsqueezy, status, body, error, says):
    lemonsqueezy.get(f"{API}/v1/subscriptions/800101", status=status, body=json.dumps(body))
    lemonsqueezy.get(address("subscription-invoices"), payload=page([row(FIRST)]))
    with pytest.raises(error, match=says):
        await provider.list_revenue(SINCE, "subscription-invoices:1")


async def test_the_probe_proves_the_key_its_mode_and_the_store(provider, lemonsqueezy):
    lemonsqueezy.get(f"{API}/v1/users/me", payload={"data": {}, "meta": {"test_mode": True}})
    headers = {"Date": "Mon, 02 Mar 2026 12:00:00 GMT"}
    lemonsqueezy.get(f"{API}/v1/stores/{STORE_ID}", payload={"data": {}}, headers=headers)
    assert await provider.probe() == NOW


@pytest.mark.parametrize(
    ("environment", "test_mode", "says"),
    [("live", True, "test mode, but environment is live"), ("sandbox", False, "live mode, but environment is sandbox")],
)
async def test_the_probe_tells_a_key_of_the_other_mode(config, http, lemonsqueezy, environment, test_mode, says):
    lemonsqueezy.get(f"{API}/v1/users/me", payload={"data": {}, "meta": {"test_mode": test_mode}})
    other = plugin.open(config.model_copy(update={"environment": environment}), Runtime(http=http, now=lambda: NOW))
    with pytest.raises(Rejected, match=says):
        await other.probe()


@pytest.mark.parametrize("meta", [None, {}, {"test_mode": "yes"}])
async def test_the_probe_tells_a_store_that_the_key_does_not_know(provider, lemonsqueezy, meta):
    lemonsqueezy.get(f"{API}/v1/users/me", payload={"data": {}, "meta": meta})
    lemonsqueezy.get(f"{API}/v1/stores/{STORE_ID}", status=404, payload={})
    with pytest.raises(Rejected, match="store_id"):
        await provider.probe()
