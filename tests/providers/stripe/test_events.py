"""What counts, once, whatever says so. Readings are driven without a network."""

import copy
import json
from datetime import UTC, datetime

import pytest

from gateway.sdk import Attribution, Ignored, Malformed, Money, ProviderError, RevenueKind, Unavailable, parse_signed
from providers.stripe.events import READERS, read
from tests.providers.stripe.conftest import FOLDER, answers, case, drive, fixture

WHO = Attribution(visitor_id="site_123:visitor_456", session_id="session_789", token="fat_0a1b2c3d")
NAMES = sorted(path.stem for path in (FOLDER / "fixtures").glob("*.json") if not path.name.endswith(".api.json"))
ODD = [
    None,
    True,
    7,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\0",
    "\ud800",
    [],
    ["x"],
    [[]],
    {},
    {"id": 7},
    {"data": "x"},
    {"data": [7]},
]


def changed(event, **fields):
    """Return an event whose object has other fields."""
    event = copy.deepcopy(event)
    event["data"]["object"].update(fields)
    return event


def paths(value, above=()):
    """Yield the way to every part of a JSON value."""
    if above:
        yield above
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[key], (*above, key))


def put(value, path, odd):
    """Return a copy with another part."""
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return value


def keys(found):
    return [] if isinstance(found, Ignored) else [event.key for event in found]


def test_everything_that_is_said_of_a_one_off_sale_is_one_key():
    names = ["completed__one_off", "completed__invoice_creation", "async_payment_succeeded__bank_debit"]
    found = [key for name in names for key in keys(case(f"checkout.session.{name}"))]
    found += keys(case("invoice.paid__of_a_one_off_session"))
    found += keys(case("payment_intent.succeeded__card")) + keys(case("charge.succeeded__card"))
    assert (set(found), len(found)) == ({"payment:pi_3Invented0000000000001"}, 4)


def test_the_invoice_of_a_one_off_session_tells_the_same_sale_as_its_session():
    [sale] = case("checkout.session.completed__invoice_creation")
    [again] = case("invoice.paid__of_a_one_off_session")
    for name in ("kind", "key", "amount", "tax", "reference", "checkout_id", "items", "attribution"):
        assert getattr(sale, name) == getattr(again, name)


def test_a_first_subscription_payment_is_its_invoice_with_the_sessions_id():
    assert case("checkout.session.completed__subscription") == Ignored("not_revenue")
    [new], [old] = case("invoice.paid__subscription_create"), case("invoice.paid__subscription_create_2024")
    for sale in (new, old):
        assert (sale.kind, sale.key) == (RevenueKind.PURCHASE, "payment:pi_3Invented0000000000001")
        assert (sale.checkout_id, sale.subscription_id) == (
            "cs_test_a1Invented0000000001",
            "sub_1Invented0000000000001",
        )
        assert (sale.reference, sale.attribution) == ("order-2f9c1d", WHO)
        assert (sale.amount, sale.tax) == (Money(6500, "USD"), Money(1083, "USD"))


@pytest.mark.parametrize("version", ["", "_2024", "_2022", "_payments_expanded"])
def test_a_renewal_is_the_same_in_every_api_version(version):
    [renewal] = case(f"invoice.paid__renewal{version}")
    assert (renewal.kind, renewal.key) == (RevenueKind.RENEWAL, "payment:pi_3InventedRenewal")
    assert (renewal.subscription_id, renewal.attribution) == ("sub_1Invented0000000000001", WHO)
    assert (renewal.amount, renewal.tax) == (Money(6500, "USD"), Money(1083, "USD"))
    assert renewal.items == ("price_1InventedPro", "prod_InventedPro")


def test_a_trial_begins_with_a_sale_of_nothing_that_renewals_can_inherit_from():
    [new], [old] = case("invoice.paid__trial"), case("invoice.paid__trial_2024")
    assert new.key == old.key == "payment:in_1Invented0000000000001"
    assert (new.amount, new.subscription_id, new.attribution) == (Money(0, "USD"), "sub_1Invented0000000000001", WHO)


def test_a_refund_names_the_payment_of_its_sale():
    [sale] = case("checkout.session.completed__one_off")
    for name in ("refund.created__card", "charge.refund.updated__card", "charge.dispute.funds_withdrawn__fraud"):
        assert case(name)[0].payment_id == sale.payment_id
    [old_sale], [old_refund] = case("invoice.paid__charge_before_2019"), case("refund.created__charge_before_2019")
    assert old_sale.payment_id == old_refund.payment_id == "ch_1InventedOld"


def test_a_refund_reported_three_times_has_one_key_and_two_refunds_have_two():
    names = ("refund.created__card", "refund.updated__card", "charge.refund.updated__card")
    assert {case(name)[0].key for name in names} == {"refund:re_3Invented0000000000001"}
    assert case("refund.created__second_partial")[0].key == "refund:re_3Invented0000000000002"


def test_a_failed_refund_and_a_won_dispute_come_to_nothing():
    for name in ("refund.failed__bank", "charge.dispute.funds_reinstated__won"):
        taken, back = case(name)
        assert (taken.kind, back.kind) == (RevenueKind.REFUND, RevenueKind.REFUND_REVERSAL)
        assert (taken.amount, taken.payment_id) == (back.amount, back.payment_id)
        assert taken.own_id == back.own_id


def test_a_lost_dispute_is_the_withdrawal_that_was_told_before():
    assert keys(case("charge.dispute.closed__lost")) == keys(case("charge.dispute.funds_withdrawn__fraud"))


def test_a_dispute_and_a_refund_do_not_share_a_key():
    assert keys(case("charge.dispute.funds_withdrawn__fraud")) != keys(case("refund.created__card"))


def test_several_payments_of_an_invoice_are_several_sales():
    found = case("invoice.paid__two_payments")
    assert [sale.payment_id for sale in found] == ["pi_3InventedHalf1", "pi_3InventedHalf2"]
    assert sum(sale.amount.minor for sale in found) == 6500
    assert sum(sale.tax.minor for sale in found) == 1083


def test_what_was_not_paid_through_stripe_has_the_invoices_id():
    new, old = case("invoice.paid__by_other_means"), case("invoice.paid__by_other_means_2024")
    assert keys(new) == keys(old) == ["payment:in_1InventedByHand"]
    assert new[0].amount == old[0].amount == Money(6500, "USD")
    [through, beside] = case("invoice.paid__partly_by_other_means")
    assert (through.amount.minor, beside.amount.minor, beside.payment_id) == (2500, 4000, "in_1InventedByHand")


def test_an_invoice_whose_payment_is_still_open_is_asked_about_again():
    api = answers("invoice.paid__renewal")
    api["GET /v1/invoice_payments"]["body"]["data"][0]["status"] = "open"
    with pytest.raises(Unavailable, match="still open"):
        drive(fixture("invoice.paid__renewal"), api)


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}])
def test_an_answer_without_a_list_is_unavailable(body):
    with pytest.raises(Unavailable):
        drive(fixture("invoice.paid__renewal"), {"GET /v1/invoice_payments": {"body": body}})


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "checkout.session.completed__one_off",
            [("/v1/checkout/sessions/cs_test_a1Invented0000000001/line_items", {})],
        ),
        (
            "invoice.paid__subscription_create",
            [
                ("/v1/invoice_payments", {"invoice": "in_1Invented0000000000001"}),
                ("/v1/checkout/sessions", {"subscription": "sub_1Invented0000000000001"}),
            ],
        ),
        (
            "invoice.paid__by_hand",
            [
                ("/v1/invoice_payments", {"invoice": "in_1InventedByHand"}),
                ("/v1/checkout/sessions", {"payment_intent": "pi_3InventedByHand"}),
            ],
        ),
        ("invoice.paid__renewal_2024", []),
        ("invoice.paid__by_other_means_2024", []),
        ("invoice.paid__renewal", [("/v1/invoice_payments", {"invoice": "in_1InventedRenewal"})]),
        ("checkout.session.completed__unpaid_bank_debit", []),
        ("checkout.session.completed__subscription", []),
        ("refund.created__card", []),
        ("checkout.session.completed__simulated", []),
    ],
)
def test_only_what_an_event_lacks_is_asked(name, asked):
    _, questions = drive(fixture(name), answers(name))
    found = [(one.path, {key: value for key, value in one.query.items() if key != "limit"}) for one in questions]
    assert found == asked


def test_a_connected_accounts_objects_are_asked_for_in_its_name():
    found, [question] = drive(
        fixture("checkout.session.completed__connected_account"),
        answers("checkout.session.completed__connected_account"),
    )
    assert (found[0].account, question.account) == ("acct_1Invented", "acct_1Invented")


def test_test_money_is_told_by_livemode():
    assert case("checkout.session.completed__one_off")[0].test is True
    assert case("checkout.session.completed__one_off_live")[0].test is False


def test_the_time_is_the_events():
    [sale] = case("checkout.session.completed__one_off")
    created = fixture("checkout.session.completed__one_off")["created"]
    assert sale.occurred_at == datetime.fromtimestamp(created, UTC)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"faVisitorId": "v", "faurya_visitor_id": "w"}, ("v", None, None, None)),
        ({"faVisitorId": "", "faurya_visitor_id": "w"}, ("w", None, None, None)),
        ({"faurya_session_id": "s", "order_id": "o"}, (None, "s", None, "o")),
        ({"faVisitorId": "v" * 257, "faAttributionToken": "a\0b", "orderId": "o" * 256}, (None, None, None, None)),
        ({"faVisitorId": 7, "faSessionId": None, "orderId": {}}, (None, None, None, None)),
        ("text", (None, None, None, None)),
        (None, (None, None, None, None)),
    ],
)
def test_metadata_is_read_in_both_spellings_and_odd_values_are_dropped(metadata, expected):
    name = "checkout.session.completed__one_off"
    [sale] = drive(changed(fixture(name), metadata=metadata), answers(name))[0]
    who = sale.attribution
    assert (who.visitor_id, who.session_id, who.token, sale.reference) == expected


def test_the_visitor_is_taken_from_one_place_whole():
    event, api = fixture("invoice.paid__subscription_create"), answers("invoice.paid__subscription_create")
    session = api["GET /v1/checkout/sessions"]["body"]["data"][0]
    session["metadata"] = {"faSessionId": "only a session"}
    [sale] = drive(event, api)[0]
    assert sale.attribution == WHO
    assert sale.reference == "order-2f9c1d"


def test_half_a_visitor_is_better_than_none():
    event = changed(fixture("invoice.paid__renewal_2024"), subscription_details=None, metadata={"faSessionId": "s"})
    event["data"]["object"]["lines"]["data"][0]["metadata"] = {"faAttributionToken": "t"}
    assert drive(event)[0][0].attribution == Attribution(session_id="s")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("refund.created__card", {"charge": None, "payment_intent": None}),
        ("refund.created__card", {"amount": -1}),
        ("refund.created__card", {"status": None}),
        ("refund.created__card", {"id": "../x y"}),
        ("checkout.session.completed__one_off", {"payment_status": None}),
        ("checkout.session.completed__one_off", {"currency": None}),
        ("checkout.session.completed__one_off", {"id": ".."}),
        ("checkout.session.completed__one_off", {"id": ""}),
        ("invoice.paid__renewal", {"amount_paid": None}),
        ("invoice.paid__renewal", {"amount_paid": True}),
        ("invoice.paid__renewal", {"total": "6500"}),
        ("invoice.paid__renewal", {"status": None}),
    ],
)
def test_signed_nonsense_is_malformed(name, fields):
    with pytest.raises(Malformed):
        drive(changed(fixture(name), **fields), answers(name))


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {},
        {"type": "invoice.paid"},
        {"type": "", "id": "evt_1"},
        {"type": 7, "id": "evt_1"},
        {"type": "invoice.paid", "id": "evt_1", "data": None},
        {"type": "invoice.paid", "id": "evt_1", "data": {"object": []}, "livemode": True, "created": 1},
        {"type": "invoice.paid", "id": "evt_1", "data": {"object": {}}, "livemode": None, "created": 1},
        {"type": "invoice.paid", "id": "evt_1", "data": {"object": {}}, "livemode": True, "created": "1"},
        {"type": "invoice.paid", "id": "evt_1", "data": {"object": {}}, "livemode": True, "created": 10**12},
        {"type": "invoice.paid", "id": "evt_1", "data": {"object": {}}, "livemode": True, "created": -1},
    ],
)
def test_what_is_no_event_is_malformed(event):
    with pytest.raises(Malformed):
        drive(event)


@pytest.mark.parametrize("name", NAMES)
def test_no_odd_part_of_an_event_or_an_answer_raises_anything_else(name):
    event, api = fixture(name), answers(name)
    for where, whole in (("event", event), ("api", {call: answer["body"] for call, answer in api.items()})):
        for path in paths(whole):
            for odd in ODD:
                if where == "event":
                    given = (put(event, path, odd), api)
                elif len(path) > 1:
                    given = (event, {call: {"body": body} for call, body in put(whole, path, odd).items()})
                else:
                    continue
                try:
                    drive(*given)
                except (ProviderError, KeyError) as error:
                    assert isinstance(error, ProviderError) or str(error).startswith("'GET /v1/")  # noqa: PT017


def test_the_list_of_events_takes_all_types():
    assert len(READERS) <= 20


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_malformed(body):
    with pytest.raises(Malformed):
        parse_signed(body)


def test_metadata_that_orjson_refuses_loses_no_sale():
    event = fixture("checkout.session.completed__one_off")
    event["data"]["object"]["metadata"]["note"] = "\ud800"
    [sale] = drive(parse_signed(json.dumps(event).encode()), answers("checkout.session.completed__one_off"))[0]
    assert sale.attribution == WHO
    assert parse_signed(b'{"a": "\\ud800", "b": 12345678901234567890123, "c": 7}')["c"] == 7


def test_a_reading_that_knows_everything_asks_nothing():
    with pytest.raises(StopIteration) as done:
        next(read({"type": "planet.aligned", "id": "evt_1"}))
    assert done.value.value == Ignored("not_revenue")


def test_the_payloads_of_a_stripe_library_are_read(official):
    """Recorded by pay-rails/pay in the shape of the API versions of 2022 to 2025."""
    events = {"checkout.session.completed": "checkout.session.completed", "invoice": "invoice.paid"}
    found = {}
    for name, event_type in events.items():
        entity = json.loads((official / "payloads" / f"{name}.json").read_bytes())
        entity = entity.get("object") if isinstance(entity.get("object"), dict) else entity
        envelope = {"id": "evt_1", "type": event_type, "created": 1, "livemode": False, "data": {"object": entity}}
        found[name] = drive(envelope, {"GET /v1/checkout/sessions": {"body": {"data": []}}})[0]
    assert found["checkout.session.completed"] == Ignored("not_revenue")
    [sale] = found["invoice"]
    assert (sale.key, sale.amount) == ("payment:pi_3RFFrjKXBGcbgpbZ0mAQxeI1", Money(24512, "USD"))
    assert (sale.tax, sale.items) == (Money(1805, "USD"), ("price_1KOpJJKXBGcbgpbZyDoF66XQ", "prod_IxQQWtyij0rvGp"))


def test_the_refund_inside_a_recorded_charge_is_read(official):
    charge = json.loads((official / "payloads" / "charge.refunded.json").read_bytes())["object"]
    entity = charge["refunds"]["data"][0]
    envelope = {"id": "evt_1", "type": "refund.created", "created": 1, "livemode": False, "data": {"object": entity}}
    [refund] = drive(envelope)[0]
    assert (refund.key, refund.payment_id) == ("refund:re_3LQOJoKXBGcbgpbZ10i9Mg75", "pi_3LQOJoKXBGcbgpbZ1Jej1QhS")
    assert refund.amount == Money(500, "USD")
    envelope |= {"type": "charge.refunded", "data": {"object": charge}}
    assert drive(envelope)[0] == Ignored("not_revenue")
