from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import (
    Attribution,
    Malformed,
    attribution_from,
    json_object,
    metadata_of,
    name_or_none,
    parse_signed,
    reference_from,
    text_from,
    time_of,
)

WHO = Attribution(visitor_id="v", session_id="s", token="t")


@pytest.mark.parametrize(
    "place",
    [
        {"faVisitorId": "v", "faSessionId": "s", "faAttributionToken": "t"},
        {"faurya_visitor_id": "v", "faurya_session_id": "s", "faurya_attribution_token": "t"},
        {"faVisitorId": "v", "faurya_visitor_id": "other", "faSessionId": "s", "faurya_attribution_token": "t"},
        {"faVisitorId": "", "faurya_visitor_id": "v", "faSessionId": "s", "faAttributionToken": "t", "other": 1},
    ],
)
def test_both_spellings_of_a_visitor_are_read(place):
    assert attribution_from(place) == WHO


ODD = [None, "", "  ", 7, True, ["v"], {"a": "v"}, "a\nb", "a\0b", "\ud800", "x" * 257]


@pytest.mark.parametrize("value", ODD)
def test_an_odd_value_counts_as_absent(value):
    assert attribution_from({"faVisitorId": value, "faSessionId": "s"}) == Attribution(session_id="s")
    assert reference_from({"orderId": value, "order_id": "o"}) == "o"


@pytest.mark.parametrize("place", [None, [], "text", 7, {}])
def test_a_place_without_names_names_nobody(place):
    assert attribution_from(place) == Attribution()
    assert reference_from(place) is None
    assert text_from(place, ("a",)) is None


@pytest.mark.parametrize(
    ("places", "who"),
    [
        ((), Attribution()),
        (({"faVisitorId": "a"}, {"faVisitorId": "b"}), Attribution(visitor_id="a")),
        (({"faSessionId": "s"}, {"faVisitorId": "b"}), Attribution(visitor_id="b")),
        (({}, {"faSessionId": "s"}, {"faAttributionToken": "t"}), Attribution(session_id="s")),
    ],
)
def test_the_first_place_with_a_visitor_counts_and_two_are_never_mixed(places, who):
    assert attribution_from(*places) == who


def test_the_first_order_id_counts():
    assert reference_from({}, {"order_id": "1"}, {"orderId": "2"}) == "1"
    assert reference_from({"order_id": "1", "orderId": "2"}) == "2"
    assert reference_from() is None


@pytest.mark.parametrize(("length", "kept"), [(255, True), (256, False)])
def test_an_order_id_has_at_most_255_characters(length, kept):
    assert reference_from({"orderId": "x" * length}) == ("x" * length if kept else None)


def test_text_is_found_under_the_first_name_that_has_some():
    assert text_from({"a": "", "b": "found"}, ("a", "b")) == "found"
    assert text_from({"a": "four"}, ("a",), 3) is None


def test_what_is_sent_is_read_back():
    sent = metadata_of("order_1", WHO)
    assert sent == {"orderId": "order_1", "faVisitorId": "v", "faSessionId": "s", "faAttributionToken": "t"}
    assert (reference_from(sent), attribution_from(sent)) == ("order_1", WHO)


def test_what_is_not_known_is_not_sent():
    assert metadata_of("order_1", Attribution()) == {"orderId": "order_1"}


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b'{"a": 1e999}', {"a": float("inf")}),
        (b'{"a": "\\ud800", "n": 123}', {"a": "\ud800", "n": 123}),
        (b'{"a": "\\ud800", "n": ' + b"9" * 5000 + b"}", {"a": "\ud800", "n": float("inf")}),
    ],
)
def test_a_signed_body_is_read_even_if_a_browser_wrote_part_of_it(body, result):
    assert parse_signed(body) == result


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_signed_body_that_is_no_json_is_malformed(body):
    with pytest.raises(Malformed, match="not JSON"):
        parse_signed(body)


@pytest.mark.parametrize(("body", "result"), [(b'{"a": 1}', {"a": 1}), (b"[]", {}), (b"7", {}), (b"<html>", {})])
def test_whatever_is_no_object_is_an_empty_one(body, result):
    assert json_object(body) == result


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("evt_1", "evt_1"),
        ("e" * 255, "e" * 255),
        ("e" * 256, None),
        ("", None),
        (" evt_1", None),
        ("a\nb", None),
        ("\ud800", None),
        (7, None),
        (None, None),
    ],
)
def test_an_event_is_named_only_by_clean_text(value, name):
    assert name_or_none(value) == name


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:30:15Z",
        "2026-03-02t09:30:15z",
        "2026-03-02T09:30:15.000000999Z",
        "2026-03-02T11:30:15.0+02:00",
    ],
)
def test_a_time_is_aware_and_in_utc(text):
    assert time_of(text, "at") == datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "not an RFC 3339 time"),
        (1772443815, "not an RFC 3339 time"),
        ("2026-03-02", "not an RFC 3339 time"),
        ("2026-03-02T09:30:15", "with a time zone"),
        ("2026-02-30T09:30:15Z", "does not exist"),
        ("9999-12-31T23:59:59-23:59", "does not exist"),
    ],
)
def test_a_time_that_cannot_be_placed_is_malformed(value, why):
    with pytest.raises(Malformed, match=f"created_at.*{why}"):
        time_of(value, "created_at")


values = st.one_of(st.none(), st.integers(), st.text(max_size=300), st.lists(st.text(max_size=3), max_size=2))


@given(place=st.dictionaries(st.sampled_from(["faVisitorId", "faurya_session_id", "orderId"]), values))
def test_nothing_in_metadata_raises(place):
    attribution_from(place)
    reference_from(place)
