import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Accepted, RefusalReason, Refused, headers_of
from providers.paddle.signature import HEADER, SCHEME, sign, verify
from tests.providers.paddle.conftest import NOW, SECRET, VECTORS, webhook

KEY = SECRET.encode()
OTHER = b"pdl_ntfset_other"


def checked(header, body=b"{}", at=NOW, secrets=(KEY,), tolerance=60):
    return verify(webhook(body, [(HEADER, header)], at), secrets, tolerance)


def signed(body, secrets=(KEY,), secret=KEY, at=NOW, received=NOW, tolerance=60):
    return verify(webhook(body, sign(secret, body, at), received), secrets, tolerance)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_vectors_made_with_openssl(path):
    vector = json.loads(path.read_bytes())
    headers = [] if vector["header"] is None else [(HEADER, vector["header"])]
    request = webhook(vector["body"].encode(), headers, datetime.fromisoformat(vector["time"]))
    answer = verify(request, [vector["secret"].encode()], 60)
    assert ("accepted" if isinstance(answer, Accepted) else answer.reason.value) == vector["expected"]


OFFICIAL = {
    "S1": (
        "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I",
        "ts=1710498758;h1=558bf93944dbeb4790c7a8af6cb2ea435c8ca9c8396aafc1a4e37424ac132744",
        1710498758,
    ),
    "S4": (
        "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh",
        "ts=1696195954;h1=dummy;h1=d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02",
        1696195954,
    ),
}


@pytest.mark.parametrize("offset", [-60, 0, 60])
@pytest.mark.parametrize("name", OFFICIAL)
def test_vectors_of_the_official_sdks(request, name, offset):
    secret, header, time = OFFICIAL[name]
    body = b"hello-world"
    if name == "S1":
        official = request.getfixturevalue("official")
        body = (official / "webhook-envelope" / "customer.created.signed.json").read_bytes().removesuffix(b"\n")
    answer = checked(header, body, datetime.fromtimestamp(time + offset, UTC), [OTHER, secret.encode()])
    assert isinstance(answer, Accepted)
    assert (answer.proof, answer.secret_index) == ("signature", 1)
    assert answer.event_type == ("customer.created" if name == "S1" else None)
    assert answer.event_id == ("evt_01hs0tqfme2xwb2hvwv87p8y3w" if name == "S1" else None)


def test_each_of_several_secrets_is_accepted_and_named():
    for index, secret in enumerate([KEY, OTHER, b"third"]):
        answer = signed(b"{}", [KEY, OTHER, b"third"], secret)
        assert isinstance(answer, Accepted)
        assert answer.secret_index == index


@pytest.mark.parametrize(
    ("seconds", "reason", "off"),
    [
        (0, None, None),
        (60, None, None),
        (-60, None, None),
        (61, RefusalReason.TIMESTAMP_TOO_OLD, 61),
        (-61, RefusalReason.TIMESTAMP_IN_FUTURE, 61),
        (86_400, RefusalReason.TIMESTAMP_TOO_OLD, 86_400),
    ],
)
def test_the_tolerance_counts_both_ways(seconds, reason, off):
    answer = signed(b"{}", received=NOW + timedelta(seconds=seconds))
    if reason is None:
        assert isinstance(answer, Accepted)
    else:
        assert (answer.reason, answer.seconds_off, answer.reply.status) == (reason, off, 401)


def test_a_wrong_secret_is_told_before_a_wrong_time():
    answer = signed(b"{}", secret=OTHER, received=NOW + timedelta(days=1))
    assert answer.reason is RefusalReason.SIGNATURE_MISMATCH


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", RefusalReason.HEADER_MALFORMED),
        (";;;", RefusalReason.HEADER_MALFORMED),
        ("ts=1772443815", RefusalReason.HEADER_MALFORMED),
        ("ts=1772443815;h1=", RefusalReason.HEADER_MALFORMED),
        ("ts=;h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=-1;h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=1.5;h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=١٧٧٢٤٤٣٨١٥;h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=" + "9" * 4000 + ";h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=1;ts=2;h1=aa", RefusalReason.HEADER_MALFORMED),
        ("ts=1;" + "h1=aa;" * 17, RefusalReason.HEADER_MALFORMED),
        ("ts=1;h1=aa" + ";" * 40, RefusalReason.HEADER_MALFORMED),
        ("ts=1;h1=" + "a" * 4096, RefusalReason.HEADER_MALFORMED),
        ("ts=1772443815;h1=\udce4\ud800", RefusalReason.SIGNATURE_MISMATCH),
        ("ts=1772443815;h1=ünïcode", RefusalReason.SIGNATURE_MISMATCH),
        ("TS=1772443815;H1=aa", RefusalReason.HEADER_MALFORMED),
    ],
)
def test_a_bad_header_is_refused_with_the_step_that_failed(header, reason):
    answer = checked(header)
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert answer.detail


def test_no_header_and_two_headers_are_refused():
    good = sign(KEY, b"{}", NOW)[HEADER]
    assert verify(webhook(b"{}", []), [KEY], 60).reason is RefusalReason.HEADER_MISSING
    twice = verify(webhook(b"{}", [(HEADER, good), (HEADER, good)]), [KEY], 60)
    assert twice.reason is RefusalReason.HEADER_MALFORMED


def test_sixteen_signatures_are_all_compared():
    time, _, good = sign(KEY, b"{}", NOW)[HEADER].partition(";")
    assert isinstance(checked(";".join([time, *["h1=dummy"] * 15, good])), Accepted)


def test_spaces_and_unknown_parts_are_ignored():
    good = sign(KEY, b"{}", NOW)[HEADER].replace(";", " ; v=2;h2=abc==;flag; ")
    assert isinstance(checked(good), Accepted)


@pytest.mark.parametrize(
    ("body", "event_id", "event_type"),
    [
        (b'{"event_id":"evt_1","event_type":"transaction.completed"}', "evt_1", "transaction.completed"),
        (b'{"event_id":"","event_type":null}', None, None),
        (b'{"event_id":17,"event_type":["x"]}', None, None),
        (b'{"event_id":" evt_1","event_type":"a\\u0000b"}', None, None),
        (b'{"event_id":"a\\nb","event_type":"' + b"x" * 256 + b'"}', None, None),
        (b'{"event_id":"' + b"e" * 255 + b'"}', "e" * 255, None),
        (b"[]", None, None),
        (b'"evt_1"', None, None),
        (b"", None, None),
        (b"not json", None, None),
        (b"\xff\xfe", None, None),
        (b"[" * 5000, None, None),
        (b'{"event_id":"evt_1","x":"\\ud800"}', None, None),
    ],
)
def test_a_signed_body_is_accepted_whatever_it_says(body, event_id, event_type):
    answer = signed(body)
    assert isinstance(answer, Accepted)
    assert (answer.event_id, answer.event_type) == (event_id, event_type)


ENVELOPE = {"event_id": "evt_1", "event_type": "transaction.completed", "occurred_at": "2026", "notification_id": "n"}
hostile = st.lists(
    st.sampled_from(
        [
            '},"',
            ',"data":{',
            '"event_id":"evt_2"',
            '"event_type":"b"',
            "event_id",
            "event_type",
            "}",
            "{",
            '"',
            ",",
            ":",
        ]
    ),
    max_size=8,
).map("".join)
inside = st.recursive(
    hostile | st.none(), lambda value: st.lists(value, max_size=3) | st.dictionaries(hostile, value, max_size=3)
)


@given(
    order=st.permutations([*ENVELOPE, "data"]),
    data=st.dictionaries(hostile, inside, max_size=4),
    beside=hostile,
    left_out=st.sampled_from([None, *ENVELOPE]),
    blank=st.sampled_from(["", " "]),
)
def test_the_members_of_the_envelope_are_read_wherever_data_stands_and_whatever_it_holds(
    order, data, beside, left_out, blank
):
    envelope = ENVELOPE | {"data": data, "occurred_at": beside, "notification_id": beside}
    body = json.dumps({name: envelope[name] for name in order if name != left_out}, separators=("," + blank, ":"))
    answer = signed(body.encode())
    assert answer.event_id == (None if left_out == "event_id" else "evt_1")
    assert answer.event_type == (None if left_out == "event_type" else "transaction.completed")


def test_the_data_of_a_usual_envelope_is_not_parsed():
    small = json.dumps(ENVELOPE)[1:-1].replace(": ", ":").replace(", ", ",").encode()
    for body in (b'{%b,"data":{oops}}' % small, b'{"data":{oops},%b}' % small):
        assert signed(body).event_id == "evt_1"


def test_every_changed_byte_is_noticed():
    body = b'{"event_id":"evt_1"}'
    headers = sign(KEY, body, NOW)
    for index in range(len(body)):
        changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        assert verify(webhook(changed, headers), [KEY], 60).reason is RefusalReason.SIGNATURE_MISMATCH


def test_a_refusal_shows_neither_digest_nor_secret():
    right = sign(KEY, b"{}", NOW)[HEADER].partition("h1=")[2]
    answer = checked(f"ts={int(NOW.timestamp())};h1={'0' * 64}")
    assert right not in repr(answer)
    assert SECRET not in repr(answer)


headers = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(["ts=", "h1=", ";", "=", "1772443815", "aa", " ", "\ud800", "\0", "é", "h1=" + "a" * 64]),
        max_size=40,
    ).map("".join),
)


@given(header=headers, body=st.binary(max_size=200))
def test_garbage_is_refused_and_never_raises(header, body):
    assert isinstance(checked(header, body), Refused)


@given(body=st.binary(max_size=300))
def test_any_signed_bytes_are_accepted(body):
    assert isinstance(signed(body), Accepted)


@given(values=st.lists(headers, max_size=3))
def test_reading_a_header_never_raises(values):
    SCHEME.parse(values)


def test_the_header_name_is_case_insensitive():
    good = sign(KEY, b"{}", NOW)[HEADER]
    request = webhook(b"{}", headers_of([("paddle-signature", good)]))
    assert isinstance(verify(request, [KEY], 60), Accepted)
