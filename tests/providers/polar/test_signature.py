import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Accepted, RefusalReason, Refused, hmac_sha256
from providers.polar.signature import is_standard, sign, standard_key, verify
from tests.providers.polar.conftest import NOW, SECRET, STANDARD_SECRET, VECTORS, webhook

OTHER = "whsec_Anoth3rInventedSecret0fTheYear2025zyxwvuts"
NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature"]


def signed(body, secrets=(SECRET,), secret=SECRET, received=NOW, tolerance=300):
    return verify(webhook(body, sign(secret, body, NOW), received), secrets, tolerance)


def checked(vector, body):
    at = datetime.fromtimestamp(vector["now"], UTC)
    return verify(webhook(body, vector["headers"], at), vector["config"]["secrets"], 300)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_vectors_made_with_openssl(path):
    vector = json.loads(path.read_bytes())
    answer = checked(vector, vector["body"].encode())
    assert ("accepted" if isinstance(answer, Accepted) else answer.reason.value) == vector["expected"]


@pytest.mark.parametrize("folder", ["polar", "standard-webhooks"])
def test_vectors_of_others(recorded, folder):
    found = json.loads((recorded / folder / "vectors.json").read_bytes())["vectors"]
    for vector in found:
        answer = checked(vector, (recorded / folder / vector["body_file"]).read_bytes())
        assert isinstance(answer, Accepted) == vector["valid"], vector["name"]


def test_a_recorded_polar_webhook_names_its_event(recorded):
    [vector] = json.loads((recorded / "polar" / "vectors.json").read_bytes())["vectors"]
    answer = checked(vector, (recorded / "polar" / vector["body_file"]).read_bytes())
    assert (answer.proof, answer.event_id, answer.event_type) == (
        "signature",
        "0f0e0d0c-0000-4000-8000-0000000000ff",
        "order.paid",
    )


def test_each_of_several_secrets_is_accepted_and_named_under_both_rules():
    secrets = [SECRET, STANDARD_SECRET, "typed by somebody"]
    for index, secret in enumerate(secrets):
        answer = signed(b"{}", secrets, secret)
        assert isinstance(answer, Accepted)
        assert answer.secret_index == index


@pytest.mark.parametrize(
    ("secret", "standard"),
    [
        (STANDARD_SECRET, True),
        (STANDARD_SECRET.rstrip("="), True),
        (SECRET, False),
        ("whsec_c2hvcnQ=", False),
        ("polar_whs_" + "A" * 44, False),
        ("", False),
    ],
)
def test_a_secret_of_the_standard_is_known_by_its_form(secret, standard):
    assert is_standard(secret) is standard


def test_the_standards_key_is_never_empty():
    assert standard_key("whsec_") == b"whsec_"


def test_sign_follows_the_rule_of_the_secret():
    seconds = str(int(NOW.timestamp()))
    for secret, key in ((SECRET, SECRET.encode()), (STANDARD_SECRET, bytes(range(7, 39)))):
        headers = sign(secret, b"{}", NOW, "evt")
        message = f"evt.{seconds}.".encode() + b"{}"
        assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac_sha256(key, message)).decode()


def test_the_same_body_is_the_same_event_whenever_it_is_signed():
    first, later = sign(SECRET, b"{}", NOW), sign(SECRET, b"{}", NOW + timedelta(hours=1))
    assert first["webhook-id"] == later["webhook-id"] != sign(SECRET, b"[]", NOW)["webhook-id"]
    assert sign(SECRET, b"{}", NOW, "evt")["webhook-id"] == "evt"


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (300, None),
        (-300, None),
        (301, RefusalReason.TIMESTAMP_TOO_OLD),
        (-301, RefusalReason.TIMESTAMP_IN_FUTURE),
    ],
)
def test_the_tolerance_counts_both_ways_and_under_both_rules(seconds, reason):
    for secret in (SECRET, STANDARD_SECRET):
        answer = signed(b"{}", [secret], secret, received=NOW + timedelta(seconds=seconds))
        assert isinstance(answer, Accepted) if reason is None else answer.reason is reason
    assert isinstance(signed(b"{}", received=NOW + timedelta(seconds=60), tolerance=59), Refused)


@pytest.mark.parametrize(
    ("body", "event_type"),
    [
        (b'{"type":"order.paid"}', "order.paid"),
        (b'{"type":""}', None),
        (b'{"type":17}', None),
        (b'{"type":"a\\nb"}', None),
        (b'{"type":"' + b"x" * 256 + b'"}', None),
        (b"[]", None),
        (b"", None),
        (b"not json", None),
        (b"\xff\xfe", None),
        (b"[" * 5000, None),
    ],
)
def test_a_signed_body_is_accepted_whatever_it_says(body, event_type):
    answer = signed(body)
    assert isinstance(answer, Accepted)
    assert answer.event_type == event_type


def test_every_changed_byte_is_noticed():
    body = b'{"type":"order.paid"}'
    headers = sign(SECRET, body, NOW)
    for index in range(len(body)):
        changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        answer = verify(webhook(changed, headers), [SECRET], 300)
        assert answer.reason is RefusalReason.SIGNATURE_MISMATCH


@pytest.mark.parametrize(("secrets", "says"), [([SECRET], "the secret"), ([SECRET, OTHER], "any of the 2 secrets")])
def test_a_mismatch_says_what_to_compare_and_shows_neither_digest_nor_secret(secrets, says):
    right = sign(SECRET, b"{}", NOW)["webhook-signature"].removeprefix("v1,")
    wrong = {**sign(SECRET, b"{}", NOW), "webhook-signature": "v1," + "A" * 44}
    answer = verify(webhook(b"{}", wrong), secrets, 300)
    assert says in answer.detail
    assert right not in repr(answer)
    assert SECRET not in repr(answer)


headers = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            st.text(max_size=60),
            st.sampled_from(["v1,", "v1,AAAA", "1772443815", "\ud800", "\0", "é", "v1," * 500, "v1,\udce4"]),
        )
        for name in NAMES
    },
)


@given(headers=headers, body=st.binary(max_size=200))
def test_garbage_is_refused_and_never_raises(headers, body):
    assert isinstance(verify(webhook(body, headers), [SECRET, STANDARD_SECRET], 300), Refused)


@given(body=st.binary(max_size=300))
def test_any_signed_bytes_are_accepted(body):
    assert isinstance(signed(body), Accepted)


def test_header_names_are_case_insensitive():
    pairs = {name.upper(): value for name, value in sign(SECRET, b"{}", NOW).items()}
    assert isinstance(verify(webhook(b"{}", pairs), [SECRET], 300), Accepted)
