"""The parts of the kit that are pure: bodies taken apart, requests made worse, files of authors."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.conformance import tampering
from gateway.conformance.documents import GONE, document, odd_shapes, other_id
from gateway.conformance.findings import Evidence, Finding, shown
from gateway.conformance.recordings import (
    Unreadable,
    event_as_json,
    expectation_of,
    expectations,
    recordings,
    write_expectations,
)
from gateway.conformance.subject import Subject
from gateway.conformance.tampering import Spot
from gateway.conformance.vectors import vectors
from gateway.sdk import (
    Attribution,
    Ignored,
    Malformed,
    Money,
    RevenueEvent,
    RevenueKind,
    WebhookRequest,
    headers_of,
)
from providers.example import plugin

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


def request(*headers: tuple[str, str], url: str = "https://pay.example.com/w", body: bytes = b"{}") -> WebhookRequest:
    return WebhookRequest(method="POST", url=url, headers=headers_of(headers), body=body, received_at=NOW)


# Bodies taken apart.


def test_a_json_body_is_changed_in_one_place() -> None:
    found = document(b'{"type": "paid", "data": [{"type": "paid"}, 7]}')
    assert found is not None
    assert found.places_of("paid") == [("type",), ("data", 0, "type")]
    assert json.loads(found.changed([("data", 0, "type")], "x")) == {"type": "paid", "data": [{"type": "x"}, 7]}
    assert json.loads(found.changed([("data", 1), ("type",)], GONE)) == {"data": [{"type": "paid"}]}


def test_a_form_is_changed_in_one_place() -> None:
    found = document(b"id=1&note=a+b&empty=")
    assert found is not None
    assert found.places_of("a b") == [("note",)]
    assert parse_qs(found.changed([("note",)], "\ud800").decode(), errors="surrogatepass")["note"] == ["\ud800"]


@pytest.mark.parametrize("body", [b"", b"plain text", b"\xff\xfe", b"[" * 100_000])
def test_other_bodies_are_not_taken_apart(body: bytes) -> None:
    assert document(body) is None


def test_odd_shapes_change_each_part_and_leave_the_original_alone() -> None:
    body = b'{"a": 1, "b": "t", "c": true, "d": null, "e": [2], "f": {}}'
    found = document(body)
    assert found is not None
    odd = dict(odd_shapes(found))
    assert {what.partition(" ")[0] for what in odd} == {"a", "b", "c", "d", "e", "e.0", "f"}
    assert body not in odd.values()
    assert json.loads(odd["a taken out"]) == {"b": "t", "c": True, "d": None, "e": [2], "f": {}}
    assert found.content == json.loads(body)


@pytest.mark.parametrize(
    ("value", "other"),
    [("evt_9", "evt_0"), ("evt_1", "evt_9"), ("evt_a", "evt_b"), ("evt_z!", "evt_a!"), ("--", "--9")],
)
def test_another_id_has_the_same_shape(value: str, other: str) -> None:
    assert other_id(value) == other


# Requests made worse.


def test_a_body_differs_by_as_little_as_possible() -> None:
    changed = dict(tampering.changed_bodies(b'{"a": 1}'))
    assert b'{"a":1}' in changed.values()
    assert b'{ "a": 1}' in changed.values()
    assert b'{"a": 1}' not in changed.values()
    assert dict(tampering.changed_bodies(b"")) == {"a line end added": b"\n", "the last byte cut off": b"x"}
    assert len(dict(tampering.changed_bodies(b"<a/>"))) == 5


def test_a_digest_is_changed_in_its_middle_and_cut_to_half() -> None:
    digest = "a" * 64
    assert tampering.flipped(f"t=1,v1={digest}") == f"t=1,v1={'a' * 32}0{'a' * 31}"
    assert tampering.flipped("v1," + "0" * 43 + "=") == "v1," + "0" * 21 + "1" + "0" * 21 + "="
    assert tampering.shortened(f"t=1,v1={digest},x=y") == f"t=1,v1={'a' * 32},x=y"
    assert (tampering.flipped("short"), tampering.shortened("short")) == (None, None)


def test_a_spot_is_a_header_or_a_parameter() -> None:
    header, query = Spot("X-Sign"), Spot("token", in_query=True)
    sent = request(("x-sign", "1"), ("Other", "2"), url="https://pay.example.com/w?token=a&b=c")
    assert (header.value(sent), query.value(sent), str(header)) == ("1", "a", "the header X-Sign")
    assert list(header.put(sent, None).headers.items()) == [("Other", "2")]
    assert header.put(sent, "\udcff").headers.getall("X-SIGN") == ["\udcff"]
    assert query.put(sent, None).url == "https://pay.example.com/w?b=c"
    assert parse_qs(urlsplit(query.put(sent, "\udcff").url).query, errors="surrogateescape")["token"] == ["\udcff"]
    assert (query.value(query.put(sent, None)), str(query)) == ("", "the parameter token")


def test_a_pasted_time_replaces_the_one_in_the_headers() -> None:
    sent, later = request(("X-Sign", "t=1788264000,v1=00")), NOW + timedelta(days=1)
    pasted = tampering.pasted_time(sent, NOW, later)
    assert pasted is not None
    assert (pasted.headers["X-Sign"], pasted.received_at) == ("t=1788350400,v1=00", later)
    assert tampering.pasted_time(request(("X-Sign", "00")), NOW, later) is None


# Files of authors.


EVENT = RevenueEvent(
    kind=RevenueKind.REFUND,
    key="refund:1",
    payment_id="1",
    amount=Money(6500, "JPY"),
    tax=Money(0, "JPY"),
    occurred_at=NOW,
    test=True,
    attribution=Attribution(session_id="s"),
    items=["p"],
)


def test_what_came_out_of_a_fixture_is_kept_in_words() -> None:
    assert event_as_json(EVENT) == {
        "kind": "refund",
        "key": "refund:1",
        "payment_id": "1",
        "amount": "6500 JPY",
        "tax": "0 JPY",
        "occurred_at": "2026-09-01T12:00:00+00:00",
        "test": True,
        "attribution": {"session_id": "s"},
        "items": ["p"],
    }
    assert expectation_of((EVENT,)) == {"events": [event_as_json(EVENT)]}
    assert expectation_of(Ignored("not_final")) == {"ignored": "not_final"}
    assert expectation_of(Malformed("x")) == {"malformed": True}


@pytest.mark.parametrize("outcome", [None, ValueError("x"), {"kind": "refund"}])
def test_other_outcomes_cannot_be_expected(outcome: object) -> None:
    with pytest.raises(Unreadable):
        expectation_of(outcome)


def test_expectations_are_written_in_order_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    assert expectations(path) == {}
    write_expectations(path, {"b": {"ignored": "not_final"}, "a": {"malformed": True}})
    assert list(expectations(path)) == ["a", "b"]


def test_a_fixture_is_a_body_with_what_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "paid__first.json").write_bytes(b'{"a": 1}\n')
    (tmp_path / "paid__first.headers.json").write_text('{"X-Type": "paid"}')
    (tmp_path / "paid__first.api.json").write_text('{"GET /1": {"body": 2}}')
    (tmp_path / "paid__form.body").write_bytes(b"a=1")
    (tmp_path / "notes.txt").write_text("not a fixture")
    first, form = recordings(tmp_path)
    assert (first.name, first.event_type, first.body) == ("paid__first", "paid", b'{"a": 1}\n')
    assert (first.headers, first.api) == ({"X-Type": "paid"}, {"GET /1": {"body": 2}})
    assert (form.name, form.body, form.headers) == ("paid__form", b"a=1", {})


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="there is no folder"):
        recordings(tmp_path / "nothing")
    (tmp_path / "paid__first.json").write_bytes(b"{}")
    companion = tmp_path / "paid__first.headers.json"
    companion.write_text("{")
    with pytest.raises(Unreadable, match=r"paid__first\.headers\.json cannot be read as JSON"):
        recordings(tmp_path)
    companion.write_text("[]")
    with pytest.raises(Unreadable, match="must be a JSON object"):
        recordings(tmp_path)


def subject(folder: Path | None, **more: object) -> Subject:
    settings = {"webhook_secrets": ["one", "two"]}
    return Subject(plugin=plugin, settings=settings, vectors=folder, **more)  # type: ignore[arg-type]


def vector_of(folder: Path, **given: object) -> None:
    (folder / "v.json").write_text(json.dumps(given))


def test_a_vector_is_one_request_or_several_in_a_file(tmp_path: Path) -> None:
    assert vectors(subject(None)) == ()
    one = {"headers": {"A": "b"}, "body": "é", "now": 1788264000, "valid": True}
    (tmp_path / "one.json").write_text(json.dumps(one))
    two = {"name": "second", "config": {"secrets": ["x"]}, "headers": {}, "body_base64": "/w==", "expected": "too_old"}
    (tmp_path / "two.json").write_text(json.dumps({"vectors": [two]}))
    first, second = vectors(subject(tmp_path))
    assert (first.name, first.accepted, first.reason, first.secrets) == ("one", True, None, ("one", "two"))
    assert (first.request.body, first.request.received_at, first.request.headers["a"]) == ("é".encode(), NOW, "b")
    assert (second.name, second.accepted, second.reason, second.secrets) == ("second", False, "too_old", ("x",))
    assert (second.request.body, second.request.method) == (b"\xff", "POST")


def test_a_vector_in_the_short_form_names_the_value_of_the_header(tmp_path: Path) -> None:
    vector_of(tmp_path, secret="s", header="h", body="", time="2026-09-01T12:00:00Z", expected="accepted")
    (found,) = vectors(subject(tmp_path, signature_header="X-Sign"))
    assert (found.secrets, list(found.request.headers.items())) == (("s",), [("X-Sign", "h")])
    assert (found.accepted, found.request.received_at) == (True, NOW)
    vector_of(tmp_path, secret="s", header=None, body="", expected="header_missing")
    (found,) = vectors(subject(tmp_path, signature_header="X-Sign"))
    assert (list(found.request.headers.items()), found.reason) == ([], "header_missing")


def test_the_body_of_a_vector_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "v.body").write_bytes(b"\x00")
    vector_of(tmp_path, headers={}, body_file="v.body", method="GET", url="https://a.example", valid=False)
    (found,) = vectors(subject(tmp_path))
    assert (found.request.body, found.request.method, found.request.url) == (b"\x00", "GET", "https://a.example")
    assert (found.accepted, found.reason) == (False, None)


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {}, "body": "x"},
        {"headers": {}, "valid": True},
        {"headers": {}, "body": "x", "valid": True, "now": [1]},
        {"headers": {}, "body_file": "nothing", "valid": True},
        {"header": "h", "body": "x", "valid": True},
        {"vectors": [1]},
    ],
)
def test_a_vector_that_cannot_be_used_is_named(given: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(given))
    with pytest.raises(Unreadable, match=r"v\.json"):
        vectors(subject(tmp_path))


def test_a_vector_file_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="there is no folder"):
        vectors(subject(tmp_path / "nothing"))
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(Unreadable, match="is not JSON"):
        vectors(subject(tmp_path))


# Findings.


def test_a_finding_teaches_and_stays_short() -> None:
    evidence = tuple(Evidence(f"request {number}", "x" * 5000, "mend it") for number in range(5))
    text = str(Finding(check="c", rule="The rule.", why="The reason.", evidence=evidence))
    lines = text.splitlines()
    assert lines[:2] == ["rule:      The rule.", "why:       The reason."]
    assert lines[3] == "sent:      request 0"
    assert len(lines[4]) < 700
    assert lines[5] == "mend:      mend it"
    assert lines[-1] == "... and 2 more like these"
    assert "mend:" not in str(Finding(check="c", rule="r", why="w", evidence=(Evidence("a", "b"),)))


def test_outcomes_are_shown_as_their_author_would_say_them() -> None:
    assert shown(ValueError("no")) == "raised ValueError: no"
    assert shown(b"\xff{}") == "\\xff{}"
    assert shown(Decimal(1)) == "Decimal('1')"
