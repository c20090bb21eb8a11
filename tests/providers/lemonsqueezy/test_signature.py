import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import Accepted, Refused
from providers.lemonsqueezy.signature import event_name, sign, verify
from tests.providers.lemonsqueezy.conftest import FOLDER, SECRET, webhook

VECTORS = sorted(path for path in (FOLDER / "vectors").glob("*.json"))
BODY = b'{"meta":{"event_name":"order_created"},"data":{}}'


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_signature_made_by_openssl_gets_its_verdict(path):
    vector = json.loads(path.read_bytes())
    verdict = verify(webhook(vector["body"].encode(), vector["headers"]), vector["config"]["secrets"])
    if vector["expected"] == "accepted":
        assert isinstance(verdict, Accepted), verdict
        assert verdict.reply.status == 200
    else:
        assert isinstance(verdict, Refused)
        assert verdict.reason == vector["expected"]


def test_no_event_id_is_named_and_the_type_comes_from_the_signed_body():
    headers = {**sign(BODY, SECRET), "X-Event-Name": "order_refunded"}
    verdict = verify(webhook(BODY, headers), ["other", SECRET])
    assert verdict == Accepted(proof="signature", event_type="order_created", secret_index=1)


def test_what_is_signed_here_is_accepted_here():
    assert sign(BODY, SECRET)["X-Event-Name"] == "order_created"
    assert "X-Event-Name" not in sign(b"hello", SECRET)
    assert isinstance(verify(webhook(b"hello", sign(b"hello", SECRET)), [SECRET]), Accepted)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"meta": 7}',
        b'{"meta": {}}',
        b'{"meta": {"event_name": 7}}',
        b'{"meta": {"event_name": ""}}',
        b'{"meta": {"event_name": " x "}}',
        b'{"meta": {"event_name": "a\\u0000b"}}',
        b'{"meta": {"event_name": "' + b"x" * 256 + b'"}}',
    ],
)
def test_a_body_without_a_usable_name_has_no_type(body):
    assert event_name(body) is None
    assert verify(webhook(body, sign(body, SECRET)), [SECRET]) == Accepted(proof="signature", secret_index=0)


@given(body=st.binary(max_size=80), header=st.text(max_size=200))
def test_garbage_is_refused_and_never_raises(body, header):
    assert isinstance(verify(webhook(body, {"X-Signature": header}), [SECRET]), Refused)
