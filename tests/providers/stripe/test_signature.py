"""Signatures against vectors that the plugin's own `sign` did not make: openssl's, and those of Stripe's SDKs."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Accepted, RefusalReason, Refused
from providers.stripe.signature import HEADER, SCHEME, sign, verify
from tests.providers.stripe.conftest import FOLDER, NOW, SECRET, webhook

VECTORS = sorted((FOLDER / "vectors").glob("*.json"))
BODY = b'{"id": "evt_1", "type": "invoice.paid"}'
SECRETS = (SECRET.encode(),)


def judged(value, body=BODY, at=NOW, secrets=SECRETS):
    return verify(webhook(body, [(HEADER, value)], at), secrets, 300)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_vector_made_with_openssl(path):
    vector = json.loads(path.read_bytes())
    at = datetime.fromtimestamp(vector["now"], UTC)
    secrets = [secret.encode() for secret in vector["config"]["secrets"]]
    verdict = verify(webhook(vector["body"].encode(), vector["headers"], at), secrets, 300)
    found = "accepted" if isinstance(verdict, Accepted) else verdict.reason
    assert found == vector["expected"]


def test_vectors_recorded_from_stripes_sdks(official):
    for vector in json.loads((official / "vectors.json").read_bytes())["vectors"]:
        body = (official / vector["body_file"]).read_bytes()
        at = datetime.fromtimestamp(vector["now"], UTC)
        secrets = [secret.encode() for secret in vector["config"]["secrets"]]
        verdict = verify(webhook(body, vector["headers"], at), secrets, 300)
        assert isinstance(verdict, Accepted) is vector["valid"], vector["name"]
        if isinstance(verdict, Accepted):
            assert verdict.event_id == json.loads(body)["id"]


def test_the_matching_secret_is_named():
    value = sign(SECRET.encode(), BODY, NOW)[HEADER]
    assert judged(value, secrets=(b"whsec_other", SECRET.encode())).secret_index == 1


def test_the_event_is_named_from_the_signed_body():
    verdict = judged(sign(SECRET.encode(), BODY, NOW)[HEADER])
    assert (verdict.proof, verdict.event_id, verdict.event_type) == ("signature", "evt_1", "invoice.paid")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"{", b'{"id": 7}', b'{"id": " x"}', b'{"id": "a\\u0000"}', b"\xff"]
)
def test_a_signed_body_without_names_is_accepted_without(body):
    verdict = judged(sign(SECRET.encode(), body, NOW)[HEADER], body)
    assert isinstance(verdict, Accepted)
    assert (verdict.event_id, verdict.event_type) == (None, None)


def test_a_name_that_is_too_long_is_left_out():
    body = json.dumps({"id": "e" * 300, "type": "t"}).encode()
    assert judged(sign(SECRET.encode(), body, NOW)[HEADER], body).event_id is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=1",
        "v1=ab",
        "t=,v1=ab",
        "t=1.5,v1=ab",
        "t=\u0661,v1=ab",
        "t=9999999999999,v1=ab",
        "t=1,t=1,v1=ab",
        "t=1,v1=",
        "t=1,v0=ab",
        "t=1," + ",".join(["v1=ab"] * 17),
        "t=1,v1=ab" + ",x" * 40,
        "t=1,v1=" + "a" * 5000,
    ],
)
def test_an_unreadable_header_is_refused_as_such(value):
    verdict = judged(value)
    assert verdict.reason is RefusalReason.HEADER_MALFORMED
    assert verdict.reply.status == 401


def test_two_headers_are_one_too_many():
    value = sign(SECRET.encode(), BODY, NOW)[HEADER]
    assert verify(webhook(BODY, [(HEADER, value), (HEADER, value)]), SECRETS, 300).reason == "header_malformed"


def test_the_name_of_the_header_has_no_case():
    value = sign(SECRET.encode(), BODY, NOW)[HEADER]
    assert isinstance(verify(webhook(BODY, [("stripe-signature", value)]), SECRETS, 300), Accepted)


@pytest.mark.parametrize(("seconds", "reason"), [(301, "timestamp_too_old"), (-301, "timestamp_in_future")])
def test_the_age_is_told_in_both_directions(seconds, reason):
    verdict = judged(sign(SECRET.encode(), BODY, NOW)[HEADER], at=NOW + timedelta(seconds=seconds))
    assert (verdict.reason, verdict.seconds_off) == (reason, 301)


def test_a_wrong_signature_is_told_before_its_age():
    value = sign(b"whsec_other", BODY, NOW)[HEADER]
    verdict = judged(value, at=NOW + timedelta(days=1), secrets=(SECRET.encode(), b"whsec_third"))
    assert verdict.reason is RefusalReason.SIGNATURE_MISMATCH
    assert "any of the 2 secrets" in verdict.detail


@given(value=st.text(), body=st.binary())
def test_garbage_is_refused_and_never_raises(value, body):
    assert isinstance(judged(value, body), Refused)


@given(value=st.text(alphabet="tv01=,9 \udcff"))
def test_a_header_of_the_right_letters_never_raises(value):
    assert SCHEME.parse([value])
