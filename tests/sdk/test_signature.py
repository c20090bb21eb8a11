"""The parts of a webhook signature: any secret, any signature, never an exception, and the clock both ways."""

import base64
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import RefusalReason, Reply, hmac_sha256, matching_secret, refused_by_age, unix_seconds
from gateway.sdk.signature import MAX_SIGNATURES

SECRETS = [b"old-secret", b"new-secret", b"another"]
BODY = b'1793620800:{"event_id":"evt_1"}'


def signed(secret, message=BODY):
    return hmac.new(secret, message, "sha256").hexdigest().encode()


# https://www.rfc-editor.org/rfc/rfc4231, cases 1, 2 and 6 (a key longer than the block)
VECTORS = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@pytest.mark.parametrize(("key", "message", "digest"), VECTORS)
def test_the_vectors_of_rfc_4231_come_out(key, message, digest):
    assert hmac_sha256(key, message).hex() == digest


@pytest.mark.parametrize("index", range(len(SECRETS)))
def test_each_of_several_secrets_matches_and_is_named(index):
    assert matching_secret(SECRETS, BODY, [signed(SECRETS[index])]) == index


@pytest.mark.parametrize("position", [0, 1, MAX_SIGNATURES - 1])
def test_any_of_several_signatures_may_match(position):
    given_signatures = [b"0" * 64] * MAX_SIGNATURES
    given_signatures[position] = signed(b"new-secret")
    assert matching_secret(SECRETS, BODY, given_signatures) == 1


def test_signatures_beyond_the_limit_are_not_compared():
    assert matching_secret(SECRETS, BODY, [b"0" * 64] * MAX_SIGNATURES + [signed(b"new-secret")]) is None


def test_the_first_matching_secret_is_named():
    both = [signed(b"another"), signed(b"old-secret")]
    assert matching_secret(SECRETS, BODY, both) == 0
    assert matching_secret([b"same", b"same"], BODY, [signed(b"same")]) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        signed(b"unknown-secret"),
        signed(b"new-secret", BODY + b" "),
        signed(b"new-secret").upper(),
        signed(b"new-secret")[:-1],
        signed(b"new-secret") + b"0",
        b"",
        "ä".encode(),
        b"\xff\x00",
    ],
)
def test_everything_else_matches_nothing(wrong):
    assert matching_secret(SECRETS, BODY, [wrong]) is None


@pytest.mark.parametrize(("secrets", "signatures"), [([], [signed(b"new-secret")]), (SECRETS, []), ([], [])])
def test_without_secrets_or_signatures_nothing_matches(secrets, signatures):
    assert matching_secret(secrets, BODY, signatures) is None


def test_a_scheme_may_write_digests_in_its_own_way():
    in_base64 = base64.b64encode(hmac.digest(b"new-secret", BODY, "sha256"))
    assert matching_secret(SECRETS, BODY, [in_base64], encode=base64.b64encode) == 1
    assert matching_secret(SECRETS, BODY, [in_base64]) is None


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_garbage_matches_nothing_and_never_raises(garbage):
    assert matching_secret(SECRETS, BODY, garbage) is None


@given(st.binary(min_size=1, max_size=100), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_noticed(message, position, change):
    altered = bytearray(message)
    altered[position % len(message)] ^= change
    assert matching_secret([b"k"], bytes(altered), [signed(b"k", message)]) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1793620800", 1793620800), ("007", 7), ("9" * 12, 10**12 - 1)]
)
def test_plain_digits_are_a_unix_time(text, seconds):
    assert unix_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "-1", "+1", "1.0", "1e9", "1_000", " 1", "1\n", "\u0661", "\u00b2", "abc", "9" * 13, "9" * 10000]
)
def test_anything_else_is_no_time(text):
    assert unix_seconds(text) is None


@given(st.text(max_size=20))
def test_no_text_makes_it_raise(text):
    seconds = unix_seconds(text)
    assert seconds is None or seconds >= 0


NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds_ago", "reason"),
    [
        (0, None),
        (60, None),
        (-60, None),
        (61, RefusalReason.TIMESTAMP_TOO_OLD),
        (-61, RefusalReason.TIMESTAMP_IN_FUTURE),
        (10**9, RefusalReason.TIMESTAMP_TOO_OLD),
        (-(10**9), RefusalReason.TIMESTAMP_IN_FUTURE),
    ],
)
def test_a_signature_is_fresh_within_the_tolerance_both_ways(seconds_ago, reason):
    refused = refused_by_age(int(NOW.timestamp()) - seconds_ago, NOW, 60)
    assert (refused.reason if refused else None) is reason
    assert (refused.seconds_off if refused else None) == (abs(seconds_ago) if reason else None)


def test_no_tolerance_takes_only_the_same_second():
    assert refused_by_age(int(NOW.timestamp()), NOW + timedelta(milliseconds=400), 0) is None
    assert refused_by_age(int(NOW.timestamp()), NOW + timedelta(milliseconds=600), 0) is not None


@pytest.mark.parametrize(
    ("seconds_ago", "detail"),
    [
        (90, "signed 90 seconds ago; 60 are accepted: compare the clocks"),
        (-3600, "signed 3600 seconds in the future; 60 are accepted: compare the clocks"),
    ],
)
def test_a_refusal_says_by_how_much_and_what_to_do(seconds_ago, detail):
    refused = refused_by_age(int(NOW.timestamp()) - seconds_ago, NOW, 60)
    assert (refused.detail, refused.reply) == (detail, Reply(401))


def test_the_clock_is_the_received_time_in_any_zone():
    local = NOW.astimezone(datetime.strptime("+05:30", "%z").tzinfo)
    assert refused_by_age(int(NOW.timestamp()), local, 0) is None
