"""Signature schemes that several providers share: recorded vectors pass, everything else is refused with a reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import (
    BodyHmac,
    Proven,
    RefusalReason,
    Refused,
    StandardWebhooks,
    TimestampedHmac,
    WebhookRequest,
    decoded_secret,
    headers_of,
    hmac_sha256,
)

WHEN = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'

# libraries/python/tests/test_webhooks.py of https://github.com/standard-webhooks/standard-webhooks
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
WRONG = "v1,AAAAAsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def request(headers, body=BODY, at=WHEN):
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    return WebhookRequest(method="POST", url="https://pay.test/w", headers=headers_of(pairs), body=body, received_at=at)


def standard(**changed):
    given = {"webhook-id": MESSAGE_ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE}
    given |= {f"webhook-{name}": value for name, value in changed.items()}
    return {name: value for name, value in given.items() if value is not None}


# An HMAC of the body.

HEX = BodyHmac(header="X-Signature")
BASE64 = BodyHmac(header="X-Hmac", encoding="base64")
PREFIXED = BodyHmac(header="X-Hub", prefix="sha256=")
BODY_SCHEMES = [HEX, BASE64, PREFIXED]


def test_known_digests_are_accepted_in_both_encodings():
    """HMAC-SHA256 of RFC 4231, case 2."""
    body = b"what do ya want for nothing?"
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
    for scheme, value in ((HEX, digest), (BASE64, base64), (PREFIXED, f"sha256={digest}"), (HEX, digest.upper())):
        assert scheme.verify(request({scheme.header: f" {value} "}, body), ["Jefe"]) == Proven(secret_index=0)
    assert PREFIXED.sign(body, "Jefe") == {"X-Hub": f"sha256={digest}"}


@pytest.mark.parametrize("scheme", BODY_SCHEMES)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_any_secret_may_have_signed_the_body(scheme, index):
    secrets = ["old", "new", "Schlüssel"]
    assert scheme.verify(request(scheme.sign(BODY, secrets[index])), secrets) == Proven(secret_index=index)


@pytest.mark.parametrize("scheme", BODY_SCHEMES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RefusalReason.HEADER_MISSING),
        ("", RefusalReason.HEADER_MISSING),
        ("ä", RefusalReason.HEADER_MALFORMED),
        ("\udcff", RefusalReason.HEADER_MALFORMED),
        ("0" * 5000, RefusalReason.HEADER_MALFORMED),
        ("sha256=00", RefusalReason.SIGNATURE_MISMATCH),
    ],
)
def test_a_body_without_its_signature_is_refused_with_the_step_that_failed(scheme, value, reason):
    headers = {} if value is None else {scheme.header: value}
    refused = scheme.verify(request(headers), ["secret"])
    assert (refused.reason, refused.reply.status) == (reason, 401)
    assert "secret" not in refused.detail.replace("no secret of this connection", "")


def test_a_signature_without_its_prefix_is_malformed():
    signed = PREFIXED.sign(BODY, "secret")["X-Hub"]
    refused = PREFIXED.verify(request({"X-Hub": signed.removeprefix("sha256=")}), ["secret"])
    assert refused.reason is RefusalReason.HEADER_MALFORMED
    assert refused.detail == "X-Hub is not sha256=<hex digest>"


@pytest.mark.parametrize("scheme", BODY_SCHEMES)
def test_one_changed_byte_of_the_body_is_noticed(scheme):
    refused = scheme.verify(request(scheme.sign(BODY, "secret"), BODY + b" "), ["secret"])
    assert refused.reason is RefusalReason.SIGNATURE_MISMATCH


# Standard Webhooks.

STANDARD = StandardWebhooks()


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_")])
@pytest.mark.parametrize(
    "signatures",
    [
        SIGNATURE,
        f"{WRONG} {SIGNATURE}",
        f"v1a,x v2,y {SIGNATURE}",
        f"{SIGNATURE} {SIGNATURE}",
        f" {SIGNATURE} no-comma",
    ],
)
def test_the_vector_of_the_standard_is_accepted(secret, signatures):
    proven = STANDARD.verify(request(standard(signature=signatures)), ["whsec_b2xk", secret])
    assert proven == Proven(secret_index=1, message_id=MESSAGE_ID)


def test_the_vector_of_the_standard_is_what_we_sign():
    assert STANDARD.sign(BODY, WHEN, MESSAGE_ID, SECRET) == standard()


def test_a_dialect_may_take_the_secret_s_own_bytes_and_other_headers():
    polar = StandardWebhooks(key_of=str.encode, headers=("svix-id", "svix-timestamp", "svix-signature"))
    headers = polar.sign(BODY, WHEN, "msg_1", "polar_whs_Zm9v")
    assert set(headers) == {"svix-id", "svix-timestamp", "svix-signature"}
    assert polar.verify(request(headers), ["polar_whs_Zm9v"]) == Proven(secret_index=0, message_id="msg_1")
    assert STANDARD.verify(request(headers), ["polar_whs_Zm9v"]).reason is RefusalReason.HEADER_MISSING


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": None}, RefusalReason.HEADER_MISSING),
        ({"id": ""}, RefusalReason.HEADER_MISSING),
        ({"timestamp": None}, RefusalReason.HEADER_MISSING),
        ({"signature": None}, RefusalReason.HEADER_MISSING),
        ({"timestamp": "now"}, RefusalReason.HEADER_MALFORMED),
        ({"timestamp": "1614265330.5"}, RefusalReason.HEADER_MALFORMED),
        ({"signature": "no-comma"}, RefusalReason.HEADER_MALFORMED),
        ({"signature": "v1a,only-ed25519"}, RefusalReason.HEADER_MALFORMED),
        ({"signature": "\ud800\udcff"}, RefusalReason.HEADER_MALFORMED),
        ({"id": "a\0b"}, RefusalReason.HEADER_MALFORMED),
        ({"id": "\udcff"}, RefusalReason.HEADER_MALFORMED),
        ({"id": "x" * 5000}, RefusalReason.HEADER_MALFORMED),
        ({"signature": WRONG}, RefusalReason.SIGNATURE_MISMATCH),
        ({"signature": "v1,"}, RefusalReason.SIGNATURE_MISMATCH),
        ({"signature": "v1,\ud800"}, RefusalReason.SIGNATURE_MISMATCH),
        ({"id": "msg_other"}, RefusalReason.SIGNATURE_MISMATCH),
        ({"timestamp": "1614265331"}, RefusalReason.SIGNATURE_MISMATCH),
    ],
)
def test_a_message_that_is_not_proven_is_refused_with_the_step_that_failed(changed, reason):
    refused = STANDARD.verify(request(standard(**changed)), [SECRET])
    assert refused.reason is reason
    assert "MfKQ" not in refused.detail


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (300, None),
        (-300, None),
        (301, RefusalReason.TIMESTAMP_TOO_OLD),
        (-301, RefusalReason.TIMESTAMP_IN_FUTURE),
    ],
)
def test_a_message_is_fresh_for_5_minutes_both_ways(seconds, reason):
    verdict = STANDARD.verify(request(standard(), at=WHEN + timedelta(seconds=seconds)), [SECRET])
    assert getattr(verdict, "reason", None) is reason


def test_the_message_id_is_only_taken_from_a_proven_message():
    assert not hasattr(STANDARD.verify(request(standard(id="evil")), [SECRET]), "message_id")


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_c2VjcmV0", b"secret"),
        ("c2VjcmV0", b"secret"),
        ("not base64!", b"not base64!"),
        ("whsec_c2VjcmV", b"whsec_c2VjcmV"),
        ("Schlüssel", "Schlüssel".encode()),
        ("whsec_", b"whsec_"),
    ],
)
def test_a_secret_is_decoded_where_it_can_be_and_never_becomes_empty(secret, key):
    assert decoded_secret(secret) == key


header = st.text(max_size=40)


@given(header, header, header, st.binary(max_size=20))
def test_garbage_is_refused_and_never_raises(message_id, timestamp, signature, body):
    headers = standard(id=message_id, timestamp=timestamp, signature=signature) | {"X-Signature": signature}
    garbage = request(headers, body)
    assert not isinstance(STANDARD.verify(garbage, [SECRET]), Proven)
    assert not isinstance(HEX.verify(garbage, ["secret"]), Proven)


# One header with a time and signatures of time and body.

COMMAS = TimestampedHmac(header="X-Signed")
SEMICOLONS = TimestampedHmac(header="X-Other", time_name="ts", signature_name="h1", separator=";", joint=":")
TIMED = [COMMAS, SEMICOLONS]


def timed(scheme, value, secrets=("secret",), body=BODY):
    return scheme.verify(request({scheme.header: value}, body), list(secrets))


def test_a_vector_of_a_company_is_accepted():
    """`S4` of the vectors of Paddle's own SDKs: the second signature matches."""
    header = "ts=1696195954;h1=dummy;h1=d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02"
    secret = "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh"
    received = request({"X-Other": header}, b"hello-world", datetime.fromtimestamp(1696195954, UTC))
    assert SEMICOLONS.verify(received, ["other", secret]) == Proven(secret_index=1)


def test_the_header_holds_the_time_and_the_digest_of_time_and_body():
    digest = hmac_sha256(b"secret", b"1614265330." + BODY).hex()
    assert COMMAS.sign(BODY, WHEN, "secret") == {"X-Signed": f"t=1614265330,v1={digest}"}


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_any_secret_may_have_signed_time_and_body(scheme, index):
    secrets = ["old", "new", "Schlüssel"]
    assert timed(scheme, scheme.sign(BODY, WHEN, secrets[index])[scheme.header], secrets) == Proven(secret_index=index)


def test_spaces_other_parts_and_other_signatures_are_passed_over():
    value = COMMAS.sign(BODY, WHEN, "secret")["X-Signed"].replace(",", " , v0=ab, flag, v1=dummy, ")
    assert timed(COMMAS, value) == Proven(secret_index=0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", RefusalReason.HEADER_MALFORMED),
        ("t=1", RefusalReason.HEADER_MALFORMED),
        ("v1=ab", RefusalReason.HEADER_MALFORMED),
        ("t=1.5,v1=ab", RefusalReason.HEADER_MALFORMED),
        ("t=\u0661,v1=ab", RefusalReason.HEADER_MALFORMED),
        ("t=1,t=1,v1=ab", RefusalReason.HEADER_MALFORMED),
        ("t=1,v1=", RefusalReason.HEADER_MALFORMED),
        ("t=1" + ",v1=ab" * 17, RefusalReason.HEADER_MALFORMED),
        ("t=1,v1=ab" + ",x" * 40, RefusalReason.HEADER_MALFORMED),
        ("t=1,v1=" + "a" * 5000, RefusalReason.HEADER_MALFORMED),
        ("T=1,V1=ab", RefusalReason.HEADER_MALFORMED),
        ("t=1,v1=ab", RefusalReason.SIGNATURE_MISMATCH),
        ("t=1,v1=\udce4\ud800", RefusalReason.SIGNATURE_MISMATCH),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_with_the_step_that_failed(value, reason):
    refused = timed(COMMAS, value)
    assert (refused.reason, refused.reply.status) == (reason, 401)


def test_no_header_and_two_headers_are_refused():
    value = COMMAS.sign(BODY, WHEN, "secret")["X-Signed"]
    assert COMMAS.verify(request({}), ["secret"]).reason is RefusalReason.HEADER_MISSING
    assert COMMAS.parse([value, value]).reason is RefusalReason.HEADER_MALFORMED


@pytest.mark.parametrize(
    ("secret", "reason", "off"),
    [("secret", RefusalReason.TIMESTAMP_TOO_OLD, 301), ("other", RefusalReason.SIGNATURE_MISMATCH, 301)],
)
def test_an_age_is_the_reason_only_of_what_is_really_signed(secret, reason, off):
    value = COMMAS.sign(BODY, WHEN - timedelta(seconds=301), "secret")["X-Signed"]
    refused = timed(COMMAS, value, [secret])
    assert (refused.reason, refused.seconds_off) == (reason, off)


@given(value=st.text(alphabet="tv01=,9 \udcff\u0661"))
def test_no_timed_header_raises(value):
    assert isinstance(timed(COMMAS, value), Refused)
