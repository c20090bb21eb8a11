"""The Faurya stand-in over real loopback HTTP: both dialects, every switch, the pages."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from json import dumps

import pytest
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from gateway.dev.faurya_stand_in import StandInSite, Switches, faurya_stand_in
from gateway.domain.attribution import Attribution
from gateway.domain.delivery import Due
from gateway.domain.revenue import RevenueKind
from gateway.faurya import payments, revenue
from gateway.outbound import client_session, post, posting_session

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACME = StandInSite(name="acme", site_id="site-acme", write_key="wk-acme", api_key="ak-acme")
OTHER = StandInSite(name="other", site_id="site-other", write_key="wk-other", api_key="ak-other")

WRITE_KEY = {"x-faurya-site-id": "site-acme", "x-faurya-write-key": "wk-acme"}
BEARER = {"Authorization": "Bearer ak-acme"}
REVENUE = {
    "event": "purchase",
    "amount": 6500,
    "currency": "USD",
    "orderId": "order-1",
    "provider": "paddle",
    "providerPaymentId": "txn_1",
    "attribution": {"faVisitorId": "v1", "faSessionId": "s1", "faAttributionToken": None},
}
PAYMENT = {"transaction_id": "txn_1", "amount": 65.5, "currency": "USD", "faurya_visitor_id": "v1"}


@pytest.fixture
async def faurya(aiohttp_client) -> TestClient:
    return await aiohttp_client(faurya_stand_in([ACME, OTHER], now=lambda: NOON))


async def switch(faurya: TestClient, **switches: object) -> None:
    async with faurya.put("/stand-in/switches", json=switches) as answer:
        assert answer.status == 200, await answer.text()


async def call_revenue(faurya, headers=WRITE_KEY, **changes) -> int:
    async with faurya.post("/api/revenue", json=REVENUE | changes, headers=headers) as answer:
        return answer.status


async def call_payments(faurya, headers=BEARER, **changes) -> int:
    async with faurya.post("/api/v1/payments", json=PAYMENT | changes, headers=headers) as answer:
        return answer.status


async def records(faurya, site: str = "acme") -> dict:
    async with faurya.get("/stand-in/records", params={"site": site}) as answer:
        return await answer.json()


async def amounts(faurya, site: str = "acme") -> list[str]:
    return [line["amount"] for line in (await records(faurya, site))["recorded"]]


async def why(faurya, site: str = "acme") -> tuple[int, str]:
    last = (await records(faurya, site))["refused"][-1]
    return last["status"], last["why"]


async def test_a_call_of_the_revenue_dialect_is_recorded_with_all_it_said(faurya):
    assert await call_revenue(faurya, {**WRITE_KEY, "Idempotency-Key": "k1"}) == 200
    assert (await records(faurya))["recorded"] == [
        {
            "at": NOON.isoformat(),
            "site": "acme",
            "path": "/api/revenue",
            "event": "purchase",
            "sent": "6500",
            "amount": "65.00",
            "currency": "USD",
            "provider": "paddle",
            "order_id": "order-1",
            "payment_id": "txn_1",
            "visitor_id": "v1",
            "session_id": "s1",
            "token": None,
            "idempotency_key": "k1",
            "repeat": False,
        }
    ]
    assert await records(faurya, "other") == {"recorded": [], "refused": []}


async def test_a_call_of_the_payments_dialect_is_recorded_with_all_it_said(faurya):
    metadata = {"order_id": "order-1", "provider": "paddle", "amount_minor": 6550, "trial": False, "note": None}
    assert await call_payments(faurya, metadata=metadata, faurya_session_id="s1") == 200
    (line,) = (await records(faurya))["recorded"]
    assert (line["sent"], line["amount"], line["payment_id"]) == ("65.5", "65.5", "txn_1")
    assert (line["order_id"], line["provider"], line["session_id"]) == ("order-1", "paddle", "s1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-faurya-site-id": "site-acme"},
        {"x-faurya-site-id": "site-acme", "x-faurya-write-key": "wk-other"},
        {"x-faurya-site-id": "site-other", "x-faurya-write-key": "wk-acme"},
        BEARER,
    ],
)
async def test_wrong_write_keys_are_refused_and_noted_for_no_site(faurya, headers):
    assert await call_revenue(faurya, headers) == 401
    assert await amounts(faurya) == []
    async with faurya.get("/stand-in/records") as answer:
        (refused,) = (await answer.json())["refused"]
    assert (refused["site"], refused["status"]) == (None, 401)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wk-acme"}, WRITE_KEY])
async def test_wrong_bearer_keys_are_refused(faurya, headers):
    assert await call_payments(faurya, headers) == 401


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event": "sale"}, "event"),
        ({"amount": "6500"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 10**15}, "amount"),
        ({"amount": 1e300}, "amount"),
        ({"amount": 1e-300}, "amount"),
        ({"event": "refund"}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXQ"}, "currency"),
        ({"orderId": ""}, "orderId"),
        ({"orderId": None}, "orderId"),
        ({"providerPaymentId": 5}, "providerPaymentId"),
        ({"attribution": None}, "attribution"),
        ({"attribution": {"faVisitorId": 5}}, "attribution.faVisitorId"),
        ({"attribution": {"visitor": "v"}}, "attribution.visitor"),
        ({"attribution": {"faVisitorId": "\ud800"}}, "attribution.faVisitorId"),
        ({"orderId": "a\0b"}, "orderId"),
        ({"surprise": 1}, "surprise"),
        ({"surprise\udfff": 1}, "body"),
    ],
)
async def test_a_wrong_field_of_the_revenue_dialect_is_named(faurya, changes, field):
    assert await call_revenue(faurya, **changes) == 400
    status, text = await why(faurya)
    assert status == 400
    assert text.startswith(f"{field}")
    assert await amounts(faurya) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"faurya_visitor_id": None}, "faurya_visitor_id"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"metadata": {str(number): "x" for number in range(11)}}, "metadata"),
        ({"metadata": {"Order Id": "x"}}, "metadata"),
        ({"metadata": {"nested": {}}}, "metadata.nested"),
        ({"metadata": {"long": "x" * 256}}, "metadata.long"),
        ({"faurya_attribution_token": "t"}, "faurya_attribution_token"),
    ],
)
async def test_a_wrong_field_of_the_payments_dialect_is_named(faurya, changes, field):
    assert await call_payments(faurya, **changes) == 400
    assert (await why(faurya))[1].startswith(field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"amount": NaN}', b"\xff", b"[" * 100_000])
async def test_what_is_not_a_json_object_is_refused(faurya, body):
    async with faurya.post("/api/revenue", data=body, headers=WRITE_KEY) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("body: ")


@pytest.mark.parametrize("number", [b"1e999999999", b"-1e999999999999999999", b"1e-999999999", b"1" * 4000])
async def test_a_number_that_cannot_be_written_out_is_refused(faurya, number):
    body = dumps(REVENUE).encode().replace(b"6500", number)
    async with faurya.post("/api/revenue", data=body, headers=WRITE_KEY) as answer:
        assert answer.status == 400
        assert "not a believable amount" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("duplicate", "statuses", "lines"),
    [
        ("ok", [200, 200], 1),
        ("bad_request", [200, 400], 1),
        ("conflict", [200, 409], 1),
        ("counted_twice", [200] * 2, 2),
    ],
)
async def test_a_duplicate_is_answered_as_switched(faurya, duplicate, statuses, lines):
    await switch(faurya, duplicate=duplicate, duplicate_message="already there, friend")
    assert [await call_revenue(faurya), await call_revenue(faurya)] == statuses
    found = await records(faurya)
    assert [line["repeat"] for line in found["recorded"]] == [False, True][:lines]
    if duplicate == "bad_request":
        assert await why(faurya) == (400, "already there, friend")


@pytest.mark.parametrize(
    ("unique_by", "changes", "key", "is_duplicate"),
    [
        ("orderId", {"providerPaymentId": "txn_2"}, "k2", True),
        ("orderId", {"orderId": "order-2"}, "k1", False),
        ("providerPaymentId", {"orderId": "order-2"}, "k2", True),
        ("providerPaymentId", {"providerPaymentId": "txn_2"}, "k1", False),
        ("Idempotency-Key", {"orderId": "order-2", "providerPaymentId": "txn_2"}, "k1", True),
        ("Idempotency-Key", {}, "k2", False),
        ("Idempotency-Key", {}, None, False),
    ],
)
async def test_what_makes_revenue_the_same_is_a_switch(faurya, unique_by, changes, key, is_duplicate):
    await switch(faurya, duplicate="conflict", revenue_unique_by=unique_by)
    await call_revenue(faurya, {**WRITE_KEY, "Idempotency-Key": "k1"})
    headers = {**WRITE_KEY, "Idempotency-Key": key} if key else WRITE_KEY
    assert await call_revenue(faurya, headers, **changes) == (409 if is_duplicate else 200)


@pytest.mark.parametrize(("unique_by", "status"), [("transaction_id", 409), ("Idempotency-Key", 200)])
async def test_what_makes_a_payment_the_same_is_a_switch(faurya, unique_by, status):
    await switch(faurya, duplicate="conflict", payments_unique_by=unique_by)
    await call_payments(faurya, {**BEARER, "Idempotency-Key": "k1"})
    assert await call_payments(faurya, {**BEARER, "Idempotency-Key": "k2"}) == status


@pytest.mark.parametrize(("scope", "status"), [("site", 200), ("global", 409)])
async def test_ids_are_unique_per_site_or_everywhere(faurya, scope, status):
    await switch(faurya, duplicate="conflict", unique_per=scope)
    await call_payments(faurya)
    assert await call_payments(faurya, {"Authorization": "Bearer ak-other"}) == status


@pytest.mark.parametrize(
    ("unit", "sent", "currency", "shown"),
    [
        ("minor", 6500, "USD", "65.00 USD"),
        ("major", 6500, "USD", "6,500.00 USD"),
        ("minor", 65.0, "USD", "0.65 USD"),
        ("minor", 65.5, "USD", "0.655 USD"),
        ("minor", 6500, "JPY", "6,500 JPY"),
        ("minor", 6500, "KWD", "6.500 KWD"),
        ("major", 1e14, "USD", "100,000,000,000,000.00 USD"),
    ],
)
async def test_the_page_shows_amounts_in_the_switched_unit(faurya, unit, sent, currency, shown):
    await switch(faurya, revenue_unit=unit)
    await call_revenue(faurya, amount=sent, currency=currency)
    async with faurya.get("/") as answer:
        assert shown in await answer.text()


async def test_refunds_of_the_revenue_dialect_can_be_refused(faurya):
    refund = {"event": "refund", "amount": -100, "orderId": "adj_1"}
    assert await call_revenue(faurya, **refund) == 200
    await switch(faurya, revenue_refunds=False)
    assert await call_revenue(faurya, **refund) == 400
    assert await amounts(faurya) == ["-1.00"]


async def test_negative_payments_can_be_taken(faurya):
    await switch(faurya, payments_refunds=True)
    assert await call_payments(faurya, amount=-5) == 200
    assert (await records(faurya))["recorded"][0]["event"] == "refund"


async def test_the_revenue_address_can_be_missing(faurya):
    await switch(faurya, revenue_exists=False)
    assert await call_revenue(faurya) == 404


async def test_a_visitor_can_appear_late(faurya):
    await switch(faurya, not_found_first=2)
    assert [await call_payments(faurya) for _ in range(3)] == [404, 404, 200]
    assert await call_payments(faurya, transaction_id="txn_2") == 200
    assert await call_payments(faurya, transaction_id="txn_3", faurya_visitor_id="v2") == 404


async def test_visitors_can_be_unknown_or_bots(faurya):
    await switch(faurya, unknown_visitors=["ghost"], bot_visitors="robot, crawler")
    assert [await call_payments(faurya, faurya_visitor_id=who) for who in ("ghost", "robot", "crawler")] == [
        404,
        400,
        400,
    ]
    assert await call_payments(faurya) == 200


@pytest.mark.parametrize(
    ("headers", "visitor", "status"), [(BEARER, "v1", 200), (BEARER, "ghost", 404), ({}, "v1", 401)]
)
async def test_a_visitor_can_be_asked_for(faurya, headers, visitor, status):
    await switch(faurya, unknown_visitors=["ghost"])
    async with faurya.get(f"/api/v1/visitors/{visitor}", headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500, 501])
async def test_the_next_calls_can_be_answered_with_any_status(faurya, status):
    await switch(faurya, next_status=status, next_times=2, next_message="ordered")
    for expected in (status, status, 200):
        async with faurya.post("/api/revenue", json=REVENUE, headers=WRITE_KEY, allow_redirects=False) as answer:
            assert answer.status == expected
            assert ("Location" in answer.headers) == (expected == 302)
            assert "Retry-After" not in answer.headers
    assert await why(faurya) == (status, "ordered")


@pytest.mark.parametrize(
    ("form", "header"), [("absent", None), ("seconds", "90"), ("date", "Mon, 23 Nov 2026 12:01:30 GMT")]
)
async def test_a_429_says_when_to_come_again_as_switched(faurya, form, header):
    await switch(faurya, next_status=429, next_times=1, retry_after=form, retry_after_seconds=90)
    async with faurya.post("/api/revenue", json=REVENUE, headers=WRITE_KEY) as answer:
        assert (answer.status, answer.headers.get("Retry-After")) == (429, header)


@pytest.mark.parametrize(("when", "lines"), [("before_recording", []), ("after_recording", ["65.00"])])
async def test_the_connection_can_be_cut_before_or_after_recording(faurya, when, lines):
    await switch(faurya, drop=when, drop_times=1)
    with pytest.raises(ClientError):
        await call_revenue(faurya)
    assert await amounts(faurya) == lines
    assert await call_revenue(faurya) == 200
    assert await amounts(faurya) == ["65.00"]


async def test_answers_can_be_late(faurya):
    await switch(faurya, delay_seconds=0.2)
    async with client_session(timedelta(seconds=0.1)) as impatient:
        with pytest.raises(TimeoutError):
            await impatient.post(faurya.make_url("/api/revenue"), json=REVENUE, headers=WRITE_KEY)


async def test_the_gateways_own_calls_are_understood(faurya):
    due = Due(
        site="acme",
        connection="paddle",
        plugin="paddle",
        key="payment:txn_1",
        own_id="txn_1",
        kind=RevenueKind.PURCHASE,
        payment_id="txn_1",
        order_id="order-1",
        order_id_sent="order-1",
        subscription_id=None,
        amount_minor=6500,
        amount_unit="minor",
        currency="USD",
        attribution=Attribution(visitor_id="v1"),
        globally_unique=True,
    )
    url = str(faurya.make_url("/"))
    requests = [
        revenue.build(due, revenue.RevenueTarget(url=url, site_id="site-acme", write_key=SecretStr("wk-acme"))),
        payments.build(due, payments.PaymentsTarget(url=url, api_key=SecretStr("ak-acme"))),
    ]
    await switch(faurya, payments_unit="minor")
    async with posting_session() as session:
        assert [(await post(session, request, lambda: NOON)).status for request in requests] == [200, 200]
    lines = (await records(faurya))["recorded"]
    assert [line["amount"] for line in lines] == ["65.00", "65.00"]
    assert lines[0]["idempotency_key"] == lines[1]["idempotency_key"]


async def test_the_page_totals_each_visitor_and_the_unattributed(faurya):
    nobody = {"faVisitorId": None, "faSessionId": None, "faAttributionToken": None}
    await call_revenue(faurya)
    await call_revenue(faurya, orderId="2", amount=100)
    await call_revenue(faurya, orderId="3", attribution=nobody)
    await call_revenue(faurya, orderId="4", attribution=nobody | {"faSessionId": "s9"})
    await call_revenue(faurya, orderId="5", attribution=nobody | {"faAttributionToken": "t9"})
    await call_revenue(faurya, {})
    async with faurya.get("/") as answer:
        page = await answer.text()
    for text in ("66.00 USD<small>2 payments<", "65.00 USD<small>1 payment<", "unattributed", "session s9", "token t9"):
        assert text in page
    assert page.index(">token t9<") < page.index(">unattributed<")
    assert "Without valid credentials" in page


async def test_what_callers_send_is_never_markup_on_the_page(faurya):
    evil = "<script>alert(1)</script>"
    await call_revenue(faurya, orderId=evil, attribution={"faVisitorId": evil})
    await call_revenue(faurya, event=evil)
    async with faurya.get("/") as answer:
        page = await answer.text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


async def test_the_page_says_which_switches_were_changed(faurya):
    await switch(faurya, duplicate="conflict", revenue_exists=False, unknown_visitors=["ghost"])
    async with faurya.get("/") as answer:
        page = await answer.text()
    assert "<strong>conflict</strong>" in page
    assert "<strong>off</strong>" in page
    assert "<strong>ghost</strong>" in page


async def test_orders_for_the_next_calls_are_shown_only_while_they_last(faurya):
    await switch(faurya, next_status=503, next_times=1, drop="after_recording", drop_times=1)
    for shown in (True, False):
        async with faurya.get("/") as answer:
            page = await answer.text()
        assert ("<strong>503</strong>" in page, "<strong>after_recording</strong>" in page) == (shown, shown)
        with suppress(ClientError):
            await call_revenue(faurya)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'{"unknown": 1}', b'{"next_status": 42}', b'{"duplicate": "perhaps"}']
)
async def test_a_wrong_switch_is_refused_and_changes_nothing(faurya, body):
    async with faurya.put("/stand-in/switches", data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["errors"]
    async with faurya.get("/stand-in/switches") as answer:
        assert await answer.json() == Switches().model_dump(mode="json")


async def test_switches_that_are_not_named_stay(faurya):
    await switch(faurya, duplicate="conflict")
    await switch(faurya, next_times=3)
    async with faurya.get("/stand-in/switches") as answer:
        now = await answer.json()
    assert (now["duplicate"], now["next_times"]) == ("conflict", 3)


async def test_the_form_shows_and_sets_every_switch(faurya):
    async with faurya.get("/switches") as answer:
        page = await answer.text()
    assert all(f'name="{name}"' in page for name in Switches.model_fields)
    form = {"duplicate": "conflict", "unknown_visitors": "a\r\nb", "next_times": "2", "revenue_refunds": "on"}
    async with faurya.post("/switches", data=form, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/switches")
    async with faurya.get("/stand-in/switches") as answer:
        now = await answer.json()
    assert (now["duplicate"], sorted(now["unknown_visitors"]), now["next_times"]) == ("conflict", ["a", "b"], 2)
    assert (now["revenue_refunds"], now["revenue_exists"]) == (True, False)


async def test_a_wrong_form_says_what_is_wrong(faurya):
    async with faurya.post("/switches", data={"next_times": "many"}) as answer:
        assert answer.status == 400
        assert "next_times: " in await answer.text()


async def test_another_sites_page_cannot_send_the_form(faurya):
    async with faurya.post("/switches", data={"forget": "yes"}, headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    own = f"http://{faurya.host}:{faurya.port}"
    async with faurya.post("/switches", data={}, headers={"Origin": own}, allow_redirects=False) as answer:
        assert answer.status == 303


@pytest.mark.parametrize("way", ["form", "delete"])
async def test_everything_can_be_forgotten_but_the_switches(faurya, way):
    await switch(faurya, duplicate="conflict")
    await call_revenue(faurya)
    if way == "form":
        await faurya.post("/switches", data={"forget": "Forget"}, allow_redirects=False)
    else:
        await faurya.delete("/stand-in/records")
    assert await records(faurya) == {"recorded": [], "refused": []}
    assert [await call_revenue(faurya), await call_revenue(faurya)] == [200, 409]


async def test_a_stand_in_without_sites_has_a_page(aiohttp_client):
    empty = await aiohttp_client(faurya_stand_in([]))
    async with empty.get("/") as answer:
        assert "No site is set up." in await answer.text()
    async with ClientSession() as session, session.post(empty.make_url("/api/revenue"), data=b"{}") as refused:
        assert refused.status == 401


def test_credentials_are_in_no_repr():
    assert "wk-" not in repr(ACME)
    assert "ak-" not in repr(ACME)
